from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from multihot.data.columns.binary_labels import binary_values, first_not_binary
from multihot.errors import DataError


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0", "0.0", "false", "False", " FALSE ", 0, 0.0, False], 0.0),
        (["1", "1.0", "true", "True", "TRUE\t", 1, 1.0, True], 1.0),
        (
            ["", " ", "null", "NULL", "nan", "NaN", "-1", "-1.0", None, -1, -1.0, float("nan")],
            np.nan,
        ),
    ],
)
def test_all_ways_to_write_a_value(cells: list[Any], expected: float) -> None:
    rows = [(line, [cell]) for line, cell in enumerate(cells)]

    values = binary_values(rows, [0], ["joy"], "f")

    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.full((len(cells), 1), expected), values)
    assert first_not_binary(rows, [0]) == {}


@pytest.mark.parametrize("cell", ["2", "yes", "NA", "0,5", 2, 0.5, [1], {"a": 1}])
def test_any_other_value_is_an_error(cell: Any) -> None:
    rows = [(2, ["x", "0"]), (3, ["x", cell])]

    with pytest.raises(
        DataError, match=r"f:3, column 'joy': .* is not a label value: expected 0 or 1"
    ) as error:
        binary_values(rows, [1], ["joy"], "f")
    assert repr(cell) in str(error.value)
    assert first_not_binary(rows, [1]) == {1: (3, cell)}


@pytest.mark.parametrize("cell", ["NONE", "none "])
def test_none_means_the_unlabelled_test_file(cell: str) -> None:
    with pytest.raises(DataError, match=r"unlabelled official test file.*use the gold file"):
        binary_values([(2, [cell])], [0], ["joy"], "f")


def test_fractions_are_values_where_they_are_asked_for() -> None:
    cells = ["0.25", " 1e-1 ", 0.75, "", "1", "-1", ".5"]
    rows = [(line, [cell]) for line, cell in enumerate(cells)]

    values = binary_values(rows, [0], ["joy"], "f", soft=True)

    expected = np.array([[0.25], [0.1], [0.75], [np.nan], [1], [np.nan], [0.5]], dtype=np.float32)
    np.testing.assert_array_equal(values, expected)
    assert first_not_binary(rows, [0], soft=True) == {}
    assert first_not_binary(rows, [0]) == {0: (0, "0.25")}


def test_a_fraction_that_was_not_asked_for_names_the_option() -> None:
    with pytest.raises(
        DataError, match=r"f:7, column 'joy': '0.3' is not .*annotators, set data.soft_labels=true"
    ):
        binary_values([(7, ["0.3"])], [0], ["joy"], "f")


@pytest.mark.parametrize("cell", ["1.2", "-0.1", "x", 2, "inf"])
def test_other_numbers_are_no_fractions(cell: Any) -> None:
    with pytest.raises(
        DataError, match=r"expected 0 or 1 .*, a number between them, or for unknown"
    ):
        binary_values([(7, [cell])], [0], ["joy"], "f", soft=True)
