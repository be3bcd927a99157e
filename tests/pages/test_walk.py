"""The walk runs from its first page to its last, as pages and as notebooks, in both languages.

All of it shares one folder: what one has trained the next finds. The first notebooks pretrain anew, so
that they have progress to show.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sitebuild.given import Given
from sitebuild.notebooks import execute, progress_lines, walk_pages, write_notebooks
from sitebuild.run import run_unit

LANGUAGES = [each for each in ("en", "zh") if walk_pages(each)]


def test_the_walk_runs_as_pages_and_as_notebooks_whose_progress_is_one_line(
    tmp_path: Path, given: Given
) -> None:
    for language in LANGUAGES:
        run_unit(walk_pages(language), tmp_path, given)

    scratch = tmp_path / "scratch"
    shutil.rmtree(scratch / "runs" / "mini-bert")
    most = 0
    for language in LANGUAGES:
        for path in write_notebooks(tmp_path / language, language):
            made = execute(path, scratch, tmp_path / "tools")
            most = max(most, progress_lines(made))

    assert most <= 1
