from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.core.options import DataOptions
from multihot.data.columns.binary_labels import ValueReader, binary_values, value_reader
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError, OptionError


def values_of(*cells: Any, first_line: int = 2, soft: bool = False) -> npt.NDArray[np.float32]:
    lines = range(first_line, first_line + len(cells))
    return binary_values([cells], lines, ["joy"], "f", ValueReader(soft=soft))[:, 0]


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
    values = values_of(*cells)

    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.full(len(cells), expected), values)


@pytest.mark.parametrize("cell", ["2", "yes", "N", "0,5", 2, 0.5, [1], {"a": 1}])
def test_any_other_value_is_an_error_that_names_line_and_column(cell: Any) -> None:
    with pytest.raises(DataError, match="is not a label value: expected 0 or 1") as error:
        values_of("0", cell, "x")

    assert (error.value.path, error.value.line, error.value.column) == ("f", 3, "joy")
    assert repr(cell) in str(error.value)


@given(
    batches=st.lists(
        st.lists(
            st.sampled_from(["0", "1", "", "-1", "true", " 1 ", "x", "01", 1, 0.0, None, [1]])
        ),
        max_size=4,
    )
)
def test_what_a_cell_means_does_not_depend_on_the_cells_read_before(
    batches: list[list[Any]],
) -> None:
    reader = ValueReader()

    for cells in batches:
        alone = [ValueReader().values([cell])[0] for cell in cells]
        np.testing.assert_array_equal(reader.values(cells), np.array(alone, dtype=np.float32))


@pytest.mark.parametrize("cell", ["NONE", "none "])
def test_none_means_the_unlabelled_test_file(cell: str) -> None:
    with pytest.raises(DataError, match=r"unlabelled official test file.*use the gold file"):
        values_of(cell)


def test_fractions_are_values_where_they_are_asked_for() -> None:
    values = values_of("0.25", " 1e-1 ", 0.75, "", "1", "-1", ".5", soft=True)

    expected = np.array([0.25, 0.1, 0.75, np.nan, 1, np.nan, 0.5], dtype=np.float32)
    np.testing.assert_array_equal(values, expected)


def test_a_fraction_that_was_not_asked_for_names_the_option() -> None:
    with pytest.raises(
        DataError, match=r"f:7, column 'joy': '0.3' is not .*annotators, set data.soft_labels=true"
    ):
        values_of("0.3", first_line=7)


@pytest.mark.parametrize("cell", ["1.2", "-0.1", "x", 2, "inf"])
def test_other_numbers_are_no_fractions(cell: Any) -> None:
    with pytest.raises(
        DataError, match=r"expected 0 or 1 .*, a number between them, or for unknown"
    ):
        values_of(cell, soft=True)


@pytest.mark.parametrize("order", [1, -1])
def test_numbers_of_any_type_are_read_alike_whichever_comes_first(order: int) -> None:
    columns = [[1, 0], [Decimal("1.0"), Decimal("0.0")], [True, False], [1.0, 0.0]][::order]

    values = binary_values(columns, [2, 3], ["a", "b", "c", "d"], "t.parquet", ValueReader())

    assert values.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]
    assert np.isnan(ValueReader().values([Decimal(-1), Decimal("NaN")])).all()
    with pytest.raises(DataError):
        binary_values([[1], [Decimal("0.5")]], [2], ["a", "b"], "t.parquet", ValueReader())


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("share", [0, 0.25, 0.5, 0.75, 1]),
        ("majority", [0, 0, np.nan, 1, 1]),
        ("union", [0, 1, 1, 1, 1]),
    ],
)
def test_votes_become_shares_or_what_most_say(rule: str, expected: list[float]) -> None:
    reader = value_reader(DataOptions(votes=4, aggregate=rule))

    np.testing.assert_array_equal(reader.values(["0", "1.0", 2, "3", 4.0]), expected)
    assert np.isnan(reader.values(["", None, "-1"])).all()
    assert (reader.values(["5", "1.5", "-2", "yes", True, [1]]) == -1).all()


def test_declared_words_are_values_in_any_case() -> None:
    reader = value_reader(DataOptions(true_values=("X", "ja"), false_values=("blank", "nein")))

    np.testing.assert_array_equal(
        reader.values(["x", "JA ", "", None, "Nein", "1", "null"]), [1, 1, 0, 0, 0, 1, np.nan]
    )
    assert reader.values(["vielleicht"]) == -1
    with pytest.raises(OptionError, match=r"data.true_values and in data.false_values"):
        value_reader(DataOptions(true_values=("x",), false_values=("X",)))


@pytest.mark.parametrize(
    ("columns", "option"),
    [
        ([["yes", "no", "yes", ""], ["no"] * 4], "data.true_values=yes data.false_values=no"),
        ([["x", "", "", "x"], [""] * 4], "data.true_values=x data.false_values=blank"),
        ([["Ja", "nein", "ja", "nein"]] * 2, "data.true_values=ja data.false_values=nein"),
        ([["bad", "good", "bad", "bad"]] * 2, "data.true_values=bad data.false_values=good, or"),
        ([["0.0", "2.0", "3.0", ""], ["0"] * 4], "data.votes=3"),
        ([["0.5", "0", "1", "0.25"]] * 2, "data.soft_labels=true"),
        ([["yes", "no", "maybe", "yes"]] * 2, "maybe, no, yes: .*data.true_values"),
    ],
)
def test_cells_that_look_like_values_name_their_option(
    tmp_path: Path, columns: list[list[str]], option: str
) -> None:
    names = "joy,anger"[: 3 if len(columns) == 1 else 9]
    rows = [",".join(["a", *cells]) for cells in zip(*columns, strict=True)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([f"text,{names}", *rows, ""]), "utf-8")

    with pytest.raises(DataError, match=option) as error:
        read_examples(path)

    assert "ignore_columns" not in str(error.value)
    assert error.value.column == "joy"


def test_cells_of_other_types_have_no_value() -> None:
    assert (ValueReader().values([date(2024, 5, 1), b"1", ("a",)]) == -1).all()
