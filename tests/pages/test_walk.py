"""The walk runs from its first page to its last, as pages and as notebooks, in both languages.

What one language has trained the other finds. The part that pretrains and the part that fine-tunes need
nothing of each other, so they may run side by side.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sitebuild.given import Given
from sitebuild.notebooks import execute, kernel_in, progress_lines, walk_pages, write_notebooks
from sitebuild.run import run_unit

LANGUAGES = [each for each in ("en", "zh") if walk_pages(each)]
NUM_OF_PRETRAINING = 2  # chapters


def _run(chapters: slice, place: Path, given: Given, *, trained_anew: Sequence[str] = ()) -> int:
    """Run chapters in every language; return the most lines of progress that a notebook's cell shows."""
    for language in LANGUAGES:
        run_unit(walk_pages(language)[chapters], place, given)
    for name in trained_anew:
        shutil.rmtree(place / "scratch" / "runs" / name)
    most = 0
    for language in LANGUAGES:
        written = write_notebooks(place / language, language)[chapters]
        with kernel_in(place / "scratch", place / "tools") as kernel:
            most = max(most, *(progress_lines(execute(path, kernel)) for path in written))
    return most


def test_the_chapters_that_fine_tune_run_as_pages_and_as_notebooks_whose_progress_is_one_line(
    tmp_path: Path, given: Given
) -> None:
    rest = slice(NUM_OF_PRETRAINING, None)

    assert _run(rest, tmp_path, given, trained_anew=["short"]) <= 1


def test_the_chapters_that_pretrain_run_as_pages_and_as_notebooks(
    tmp_path: Path, given: Given
) -> None:
    assert _run(slice(NUM_OF_PRETRAINING), tmp_path, given) <= 1
