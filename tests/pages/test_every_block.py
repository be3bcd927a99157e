"""The blocks of every page that costs more than a change should: `make docs` runs these."""

from __future__ import annotations

from pathlib import Path

import pytest

from sitebuild.given import Given
from sitebuild.pages import is_slow, written_pages
from sitebuild.run import run_unit, units

UNITS = units(written_pages())
DEAR = [name for name, pages in UNITS.items() if any(map(is_slow, pages))]


@pytest.mark.parametrize("name", DEAR)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path, given: Given) -> None:
    run_unit(UNITS[name], tmp_path, given)
