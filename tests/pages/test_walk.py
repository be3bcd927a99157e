"""The walk runs from its first page to its last, as pages and as notebooks, in both languages.

All of it shares one folder: what one has trained the next finds. The first notebooks pretrain anew, so
that they have progress to show.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sitebuild.given import Given
from sitebuild.notebooks import execute, progress_lines, walk_pages, write_notebooks
from sitebuild.run import run_unit

LANGUAGES = [each for each in ("en", "zh") if walk_pages(each)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walk")


@pytest.mark.xdist_group("walk")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_of_the_walk_run(language: str, place: Path, given: Given) -> None:
    run_unit(walk_pages(language), place, given)


@pytest.mark.xdist_group("walk")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_notebooks_of_the_walk_run_and_their_progress_is_one_line(
    language: str, place: Path
) -> None:
    scratch = place / "scratch"
    if language == LANGUAGES[0]:
        shutil.rmtree(scratch / "runs" / "mini-bert", ignore_errors=True)
    scratch.mkdir(exist_ok=True)
    most = 0
    for path in write_notebooks(place / language, language):
        made = execute(path, scratch, place / "tools")
        most = max(most, progress_lines(made))

    assert most <= 1
