"""The page of tables is the one that the measured rows give."""

from __future__ import annotations

from provenance import RESULTS
from tables import page


def test_the_page_of_tables_is_up_to_date() -> None:
    written = (RESULTS / "tables.md").read_text("utf-8")
    assert written == page(), "run `python benchmarks/tables.py`"
