"""The walk runs from its first page to its last, as pages and as notebooks, in both languages.

What one language has trained the other finds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sitebuild.given import Given
from sitebuild.notebooks import execute, progress_lines, walk_pages, write_notebooks
from sitebuild.run import run_unit

LANGUAGES = [each for each in ("en", "zh") if walk_pages(each)]


@pytest.fixture(scope="module")
def pages_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walk")


@pytest.fixture(scope="module")
def notebooks_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("notebooks")
    (place / "scratch").mkdir()
    return place


@pytest.mark.xdist_group("walk")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_of_the_walk_run(language: str, pages_place: Path, given: Given) -> None:
    run_unit(walk_pages(language), pages_place, given)


@pytest.mark.xdist_group("notebooks")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_notebooks_of_the_walk_run_and_their_progress_is_one_line(
    language: str, notebooks_place: Path
) -> None:
    most = 0
    for path in write_notebooks(notebooks_place / language, language):
        made = execute(path, notebooks_place / "scratch", notebooks_place / "tools")
        most = max(most, progress_lines(made))

    assert most <= 1
