"""Nothing in the repository depends on, or speaks of, the place where it was written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.sources import ROOT, text_files

FOREIGN = {
    "a path of one machine": r"(?<![\w.])/(?:work|home|root|Users|opt/pypi)/",
    "a tracker number": r"\b[Ii]ssue #\d",
    "a package index": r"(?:files\.pythonhosted|test\.pypi|download\.pytorch)\.org|--(?:extra-)?index-url",
}


@pytest.mark.parametrize("path", text_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_another_place(path: Path) -> None:
    if path == Path(__file__):
        return
    text = path.read_text("utf-8")
    found = {
        what: match.group() for what, rule in FOREIGN.items() if (match := re.search(rule, text))
    }

    assert found == {}
