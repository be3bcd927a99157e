"""The pages can be laid out as a site: links lead somewhere, every page has one title."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sitebuild.html_links import broken_links
from sitebuild.stage import Site, lay_out, navigation


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return lay_out(tmp_path_factory.mktemp("site") / "work")


def _text(page: Path) -> str:
    text = re.sub(
        r"^( *)(`{3,}).*?^\1\2", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    return re.sub(r"^---\n.*?\n---\n", "", text, flags=re.DOTALL)


def test_pages_link_to_nothing_that_is_not_there(site: Site) -> None:
    assert site.problems == []
    assert len(site.pages) > 100


def test_every_page_begins_with_its_only_title(site: Site) -> None:
    pages = [
        path
        for path in site.folder.glob("*/docs/**/*.md")
        if "files" not in path.relative_to(site.folder).parts
    ]
    wrong = [
        str(path.relative_to(site.folder))
        for path in pages
        if len(re.findall(r"^# ", _text(path), re.MULTILINE)) != 1
    ]

    assert wrong == []


def test_every_page_is_in_the_navigation(site: Site) -> None:
    docs = site.folder / "en" / "docs"
    listed: set[str] = set()
    for section in navigation("en", docs):
        for pages in section.values():
            listed |= set(pages if isinstance(pages, list) else [pages])

    assert {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} == listed


def test_a_link_or_anchor_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h2 id="为什么">x</h2><a href="../b/">b</a>')
    (tmp_path / "index.html").write_text(
        '<a href="a/#%E4%B8%BA%E4%BB%80%E4%B9%88">a</a><a href="a/#there">b</a><img src="x.png">'
        '<a href="https://example.org/nowhere">c</a>'
    )

    assert broken_links(tmp_path) == [
        "a/index.html: ../b/",
        "index.html: a/#there has no such heading",
        "index.html: x.png",
    ]
