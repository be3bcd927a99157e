"""The blocks of every page that costs more than a change should: `make docs` runs these."""

from __future__ import annotations

from pathlib import Path

import pytest

from sitebuild.given import Given
from sitebuild.pages import is_slow, written_pages
from sitebuild.run import run_unit, units

UNITS = {
    name: pages
    for name, pages in units(written_pages()).items()
    if any(map(is_slow, pages)) and not name.endswith("step-by-step")
}


@pytest.mark.parametrize("name", UNITS)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path, given: Given) -> None:
    run_unit(UNITS[name], tmp_path, given)
