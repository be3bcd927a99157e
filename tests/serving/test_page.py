"""The page at `/` is one file that runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from multihot.serving.page import PAGE_POLICY, page_html
from served import Served


class _Elements(HTMLParser):
    """Collects what elements and attributes a page has, and the content of its scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.attributes: list[tuple[str, str | None]] = []
        self.inline: list[tuple[str, str]] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style"):
            self.inline.append((self._open, data))
        self._open = ""


@pytest.fixture(scope="module")
def elements() -> _Elements:
    found = _Elements()
    found.feed(page_html().decode())
    return found


def test_the_policy_allows_the_script_and_the_style_of_the_page_and_no_other(
    elements: _Elements,
) -> None:
    hashes = {
        kind: base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        for kind, content in elements.inline
    }

    assert [kind for kind, _ in elements.inline] == ["style", "script"]
    assert f"script-src 'sha256-{hashes['script']}';" in PAGE_POLICY
    assert f"style-src 'sha256-{hashes['style']}';" in PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY


def test_the_page_loads_nothing_and_has_no_inline_handlers(elements: _Elements) -> None:
    names = {name for name, _ in elements.attributes}

    assert not {name for name in names if name.startswith("on") or name in ("src", "style")}
    assert not re.search(
        r"innerHTML|insertAdjacentHTML|document\.write|eval\(", page_html().decode()
    )
    assert "://" not in page_html().decode()


@pytest.mark.slow
def test_the_server_shows_the_page_under_its_policy(server: Served) -> None:
    reply = server.ask("GET", "/")

    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"] == PAGE_POLICY
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.body == page_html()
