"""The blocks of every page that costs more than a change should: `make docs` runs these.

A Chinese page that has the blocks of its English one, and nothing else, is run with that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sitebuild.given import Given
from sitebuild.pages import ROOT, is_slow, read_steps, written_pages
from sitebuild.run import run_unit, units


def _what_runs(page: Path) -> list[Any]:
    """Return what the steps of a page do, wherever they stand."""
    found: list[Any] = []
    for step in read_steps(page):
        block = step.block
        found += [step.name, step.value] if block is None else [block.language, block.source]
        found.append(None if block is None else block.settings)
    return found


def _repeats(pages: list[Path]) -> bool:
    (page, *others) = pages
    english = ROOT / "docs" / "en" / page.relative_to(ROOT / "docs" / "zh")
    return not others and english.exists() and _what_runs(page) == _what_runs(english)


UNITS = {
    name: pages
    for name, pages in units(written_pages()).items()
    if any(map(is_slow, pages))
    and not name.endswith("step-by-step")
    and not (name.startswith("docs/zh/") and _repeats(pages))
}


@pytest.mark.parametrize("name", UNITS)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path, given: Given) -> None:
    run_unit(UNITS[name], tmp_path, given)
