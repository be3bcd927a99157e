from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from multihot.data.binary_cells import binary_values, first_not_binary
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
