"""Every link inside the repository leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub builds them."""
    headings = re.findall(r"^#+ +(.+?) *$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(page: Path) -> list[str]:
    """Return the targets of a page's links inside the repository; code is no link."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def _is_broken(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in _anchors(target)


def test_a_link_needs_its_file_and_its_heading(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    page.write_text("# One `two`, three\n[a](other.md) [b](https://example.org) `[c](d.md)`\n")
    other.write_text("# Other\n")

    assert _links(page) == ["other.md"]
    assert not _is_broken(page, "#one-two-three")
    assert not _is_broken(page, "other.md#other")
    assert _is_broken(page, "other.md#one")
    assert _is_broken(page, "missing.md")


def test_every_link_inside_the_repository_resolves() -> None:
    folders = ("docs", "results", "recipes", "benchmarks", "examples")
    pages = [*ROOT.glob("*.md"), *(p for each in folders for p in ROOT.glob(f"{each}/**/*.md"))]
    links = [(page, link) for page in pages for link in _links(page)]
    broken = [f"{page.relative_to(ROOT)}: {link}" for page, link in links if _is_broken(page, link)]

    assert len(links) > 50
    assert broken == []
