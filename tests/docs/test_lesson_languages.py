"""The chapters of the lesson run the same blocks in every language."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
LESSON = Path("tutorials") / "step-by-step"


def _blocks(page: Path) -> list[str]:
    """Return the fenced blocks of a page in their order."""
    return re.findall(r"^```\w+\n.*?^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_chapters_in_chinese_have_the_blocks_of_those_in_english() -> None:
    english = {page.name: _blocks(page) for page in (DOCS / "en" / LESSON).glob("*.md")}
    chinese = {page.name: _blocks(page) for page in (DOCS / "zh" / LESSON).glob("*.md")}

    assert len(english) == 12
    assert chinese == english
