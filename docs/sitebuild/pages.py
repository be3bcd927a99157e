"""A page taken apart: its blocks and the comments that say how they run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from sybil import Document, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

__all__ = ["ROOT", "Block", "PageError", "Step", "is_slow", "read_steps", "written_pages"]

ROOT = Path(__file__).parents[2]

_FENCES = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)$\n", re.MULTILINE))
_OF_A_BLOCK = ("tolerance", "exit", "raises", "instead", "file", "plain", "background")
_OF_A_PLACE = ("given", "run")
_OF_A_PAGE = ("slow",)
_COMMENT = re.compile(
    r"^[ \t]*<!--\s*(?P<name>"
    + "|".join((*_OF_A_BLOCK, *_OF_A_PLACE, *_OF_A_PAGE))
    + r")\b(?::\s*(?P<value>.*?))?\s*-->[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("python", "console", "output")
PARSED = ("json", "jsonl", "toml", "yaml")
DATA = ("csv", "tsv", "ini", "html", "text")
LANGUAGES = (*RUN, *PARSED, *DATA)


class PageError(AssertionError):
    """A page is not written as pages are."""


@dataclass(frozen=True)
class Block:
    """A fenced block with the comments above it."""

    page: Path
    line: int
    language: str
    source: str
    settings: dict[str, list[str]] = field(default_factory=dict)

    def setting(self, name: str) -> str | None:
        """Return the value of a comment that may be there once."""
        values = self.settings.get(name, [])
        if len(values) > 1:
            raise PageError(f"{self.page}:{self.line}: '{name}' is stated twice.")
        return values[0] if values else None

    @property
    def code(self) -> str:
        """The source with what `instead` replaces."""
        code = self.source
        for rule in self.settings.get("instead", []):
            old, arrow, new = rule.partition("=>")
            if not arrow or old.strip() not in code:
                raise PageError(f"{self.page}:{self.line}: '{old.strip()}' is not in the block.")
            code = code.replace(old.strip(), new.strip())
        return code


@dataclass(frozen=True)
class Step:
    """A block, or a comment that acts at its place (`given`, `run`)."""

    line: int
    block: Block | None = None
    name: str = ""
    value: str = ""


def written_pages() -> list[Path]:
    """Return every page whose blocks run: the READMEs and both languages."""
    languages = (ROOT / "docs" / each for each in ("en", "zh"))
    return [
        *sorted(ROOT.glob("README*.md")),
        *(p for each in languages for p in sorted(each.rglob("*.md"))),
    ]


def is_slow(page: Path) -> bool:
    """Return whether a page runs in the whole build of the documentation only."""
    return re.search(r"^<!--\s*slow\s*-->", page.read_text("utf-8"), re.MULTILINE) is not None


def read_steps(page: Path) -> list[Step]:
    """Return blocks and comments of a page in order; refuse what no rule covers."""
    text = page.read_text("utf-8")
    document = Document(text, str(page))
    fences = sorted(_FENCES(document), key=lambda each: each.start)
    comments = [
        each
        for each in _COMMENT.finditer(text)
        if not any(fence.start <= each.start() < fence.end for fence in fences)
    ]
    pieces: list[tuple[int, Region | re.Match[str]]] = [(each.start, each) for each in fences]
    pieces += [(each.start(), each) for each in comments]
    steps: list[Step] = []
    waiting: dict[str, list[str]] = {}
    end = 0
    for start, piece in sorted(pieces, key=lambda each: each[0]):
        line = text.count("\n", 0, start) + 1
        if waiting and text[end:start].strip():
            raise PageError(f"{page}:{line}: {', '.join(waiting)} above is not above a block.")
        if isinstance(piece, re.Match):
            end = piece.end()
            name, value = piece["name"], piece["value"] or ""
            if name in _OF_A_BLOCK:
                waiting.setdefault(name, []).append(value)
            elif name in _OF_A_PLACE:
                steps.append(Step(line, name=name, value=value))
        else:
            end = piece.end
            language = piece.lexemes["language"].strip().split(" ")[0]
            block = Block(page, line, language, str(piece.lexemes["source"]), waiting)
            _check(block)
            steps.append(Step(line, block))
            waiting = {}
    if waiting:
        raise PageError(f"{page}: {', '.join(waiting)} at the end is not above a block.")
    return steps


def _check(block: Block) -> None:
    where = f"{block.page}:{block.line}"
    if not block.language:
        raise PageError(f"{where}: the block names no language.")
    if block.language not in LANGUAGES:
        raise PageError(f"{where}: '{block.language}' is none of {', '.join(LANGUAGES)}.")
    if block.language == "text" and not (block.setting("plain") or block.setting("file")):
        raise PageError(f"{where}: a text block needs its reason: <!-- plain: REASON -->.")
    if block.language in RUN and block.setting("plain"):
        raise PageError(f"{where}: what is plain is marked as text.")
