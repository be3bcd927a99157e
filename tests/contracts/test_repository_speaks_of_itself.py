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


def _foreign(text: str) -> list[str]:
    """Return what `text` names that is not of this repository."""
    return [
        f"{what}: {match.group()}"
        for what, rule in FOREIGN.items()
        if (match := re.search(rule, text))
    ]


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        ("see /home/someone/models", True),
        ("as Issue #12 asks", True),
        ("pip install --index-url https://example.org", True),
        ("https://example.org/home/paper.pdf and ./home/model", False),
    ],
)
def test_the_rules_recognise_foreign_text(text: str, is_foreign: bool) -> None:
    assert bool(_foreign(text)) is is_foreign


def test_no_file_names_another_place() -> None:
    files = [path for path in text_files() if path != Path(__file__)]
    offenders = {
        str(path.relative_to(ROOT)): foreign
        for path in files
        if (foreign := _foreign(path.read_text("utf-8")))
    }

    assert len(files) > 100
    assert offenders == {}
