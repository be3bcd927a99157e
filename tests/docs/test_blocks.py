"""Every page is written so that its blocks run, and those of pages that cost little do.

`make docs` runs all of them (tests/pages).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sitebuild.given import Given
from sitebuild.pages import is_slow, read_steps, written_pages
from sitebuild.run import run_unit, units

UNITS = units(written_pages())
CHEAP = [name for name, pages in UNITS.items() if not any(map(is_slow, pages))]


def test_every_block_of_every_page_runs_or_says_why_not() -> None:
    blocks = [step.block for page in written_pages() for step in read_steps(page) if step.block]

    assert len(blocks) > 100
    assert all(block.code for block in blocks)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path, given: Given) -> None:
    run_unit(UNITS[name], tmp_path, given)
