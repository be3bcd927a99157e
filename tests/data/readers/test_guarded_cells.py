from __future__ import annotations

from pathlib import Path

import pytest

from multihot.core.options import DataOptions
from multihot.data.columns.headings import prediction_columns
from multihot.data.readers.guarded_cells import guarded, is_formula, unguarded
from multihot.data.readers.open_table import open_table

CELLS = [
    "=1",
    "'=1",
    "''=1",
    "+x",
    "-1",
    "@me",
    "\ttab",
    "\rcr",
    "  =1",
    "＝1",
    "'tis",
    "it's",
    "",
    "'",
    "joy",
]


@pytest.mark.parametrize("cell", CELLS)
def test_a_guard_is_taken_away_again(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).lstrip(" ").startswith(tuple("=+-@\t\r＝"))


def test_signed_numbers_are_no_formulas() -> None:
    found = [cell for cell in (*CELLS, "-1.5e3", "+3,2 %", "-") if is_formula(cell)]

    assert found == ["=1", "+x", "@me", "\ttab", "\rcr", "  =1", "＝1", "-"]


@pytest.mark.parametrize("tail", ["", "_"])
def test_only_rows_that_say_so_lose_guards(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "rows.csv"
    heads = [
        "text",
        "joy",
        *(f"{name}{tail}" for name in ("predicted_labels", "truncated", "guarded")),
    ]
    heads.append(f"score_joy{tail}")
    path.write_text(
        ",".join(heads)
        + "\n'=one,1,[],false,yes,0.5\n'=two,,[],false,,0.5\nthree,0,[],false,yes,0.1\n",
        "utf-8",
    )

    table = open_table(path, DataOptions())
    assert table.again is not None
    first, second = (
        [list(rows) for _, rows in table.rows],
        [row for batch in table.again() for _, row in batch.rows()],
    )

    assert [row[0] for row in first] == ["=one", "'=two", "three"]
    assert {row[4] for row in first} == {""}
    assert second == first
    assert prediction_columns(heads) == tuple(heads[2:])


def test_a_column_of_that_name_elsewhere_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,guarded\n'=one,yes\n'=two,no\n", "utf-8")

    assert [cells for _, cells in open_table(path, DataOptions()).rows] == [
        ["'=one", "yes"],
        ["'=two", "no"],
    ]
