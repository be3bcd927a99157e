"""The part of a model card that says what the decision promises; `decide` renews it, and nothing else of the page."""

from __future__ import annotations

import re
from pathlib import Path

from multihot.core.files import storage_errors, write_text
from multihot.core.text_tables import printable
from multihot.decision.decision import Decision
from multihot.errors import ArtifactError
from multihot.gate.folder_contents import FolderContents

__all__ = ["promises_section", "renew_card"]

_CARD = "README.md"
_MAX_BYTES = 16 << 20
_BEGIN, _END = "<!-- multihot: promises -->", "<!-- multihot: end of promises -->"
_SECTION = re.compile(f"\\n*{re.escape(_BEGIN)}.*?{re.escape(_END)}\\n*", re.DOTALL)


def promises_section(decision: Decision) -> str:
    """Return the section as Markdown, between two comments; empty without a promise."""
    if not decision.promises:
        return ""
    source = "" if decision.fitted_on is None else f" of {_text(decision.fitted_on.source)}"
    lines = [
        f"- {_text(promise.parsed().sentence())} (`{promise.method}`, {promise.rows} rows{source}, there "
        f"{promise.value:.3f})"
        for promise in decision.promises
    ]
    return "\n".join(
        [
            _BEGIN,
            "## Promises",
            "",
            "For texts drawn as the rows were that fitted the decision; `multihot evaluate` says whether they "
            "hold elsewhere.",
            "",
            *lines,
            _END,
        ]
    )


def renew_card(folder: Path, decision: Decision) -> None:
    """Write the section into the card of a model folder, or take it out; a folder without a card stays so."""
    path = folder / _CARD
    if not path.is_file():
        return
    content = FolderContents(folder, error=ArtifactError).content(_CARD, most_bytes=_MAX_BYTES)
    try:
        card = bytes(content).decode("utf-8")
    except UnicodeDecodeError:
        return  # a page in another encoding is somebody else's
    section = promises_section(decision)
    if not section and _BEGIN not in card:
        return
    rest = _SECTION.sub("\n\n", card).rstrip("\n")
    with storage_errors(path):
        write_text(path, f"{rest}\n\n{section}\n" if section else f"{rest}\n")


def _text(words: str) -> str:
    """Return words of a file as text of Markdown: no link, no HTML, no code, nothing hidden."""
    return re.sub(r"([\\|\[\]`*_])", r"\\\1", printable(words)).replace("<", "&lt;")
