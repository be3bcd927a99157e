"""The walk runs from its first page to its last, as pages and as notebooks, in both languages.

What the English pages train is there for the others. The part that pretrains needs nothing of the part that
fine-tunes, so they may run side by side; `conftest` says in which order.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sitebuild.given import Given
from sitebuild.notebooks import execute, kernel_in, progress_lines, walk_pages, write_notebooks
from sitebuild.run import run_unit

LANGUAGES = [each for each in ("en", "zh") if walk_pages(each)]
FIRST, *OTHERS = LANGUAGES
PRETRAINING, FINE_TUNING = slice(2), slice(2, None)  # chapters


def _trained(given: Given) -> Path:
    """Return the folder in which the first language has run the chapters that fine-tune."""

    def make(place: Path) -> None:
        place.mkdir()
        run_unit(walk_pages(FIRST)[FINE_TUNING], place, given)

    return given.once("walk", make)


def _copied(given: Given, place: Path) -> Path:
    """Return a folder that begins as that of `_trained` and can be changed.

    Files are linked: whatever changes one here writes another in its place.
    """
    shutil.copytree(_trained(given) / "scratch", place / "scratch", copy_function=os.link)
    return place


def _most_progress_lines(chapters: slice, language: str, place: Path) -> int:
    """Run notebooks; return the most lines of progress that a cell shows."""
    written = write_notebooks(place / language, language)[chapters]
    with kernel_in(place / "scratch", place / "tools") as kernel:
        return max(progress_lines(execute(path, kernel)) for path in written)


@pytest.mark.begins
def test_the_chapters_that_fine_tune_run(given: Given) -> None:
    assert any((_trained(given) / "scratch" / "runs").iterdir())


@pytest.mark.begins
def test_the_chapters_that_pretrain_run_as_pages_and_as_notebooks(
    tmp_path: Path, given: Given
) -> None:
    for language in LANGUAGES:
        run_unit(walk_pages(language)[PRETRAINING], tmp_path, given)
    for language in LANGUAGES:
        assert _most_progress_lines(PRETRAINING, language, tmp_path) <= 1


@pytest.mark.ends
@pytest.mark.parametrize("language", OTHERS)
def test_the_chapters_that_fine_tune_run_in_another_language(
    language: str, tmp_path: Path, given: Given
) -> None:
    place = _copied(given, tmp_path)

    assert run_unit(walk_pages(language)[FINE_TUNING], place, given) > 0


@pytest.mark.ends
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_notebooks_that_fine_tune_run_and_show_progress_in_one_line(
    language: str, tmp_path: Path, given: Given
) -> None:
    place = _copied(given, tmp_path)
    if language == FIRST:
        shutil.rmtree(place / "scratch" / "runs" / "short")  # so that one of them trains

    assert _most_progress_lines(FINE_TUNING, language, place) <= 1
