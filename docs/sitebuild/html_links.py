"""Whether every link and anchor inside built pages leads somewhere."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["broken_links", "read_page"]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name in ("id", "name") and tag != "meta":
                self.anchors.add(value)
            if (name == "href" and tag in ("a", "link")) or name == "src":
                self.links.append(value)


def read_page(path: Path) -> tuple[list[str], set[str]]:
    """Return the links and the anchors of a page."""
    page = _Page()
    page.feed(path.read_text("utf-8"))
    return page.links, page.anchors


def broken_links(root: Path) -> list[str]:
    """Return `page: link` for every link below `root` that leads nowhere; other hosts are not asked."""
    anchors = cache(lambda path: read_page(path)[1])
    broken = []
    for path in sorted(root.rglob("*.html")):
        if path.name == "404.html":
            continue  # its links are those of the site's root
        for link in read_page(path)[0]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            if target.is_dir() or parts.path.endswith("/"):
                target = target / "index.html"
            anchor = unquote(parts.fragment)
            if not target.is_file() or not target.is_relative_to(root.resolve()):
                broken.append(f"{path.relative_to(root)}: {link}")
            elif (
                anchor
                and not re.match(r"__|:~:", anchor)
                and target.suffix == ".html"
                and anchor not in anchors(target)
            ):
                broken.append(f"{path.relative_to(root)}: {link} has no such heading")
    return broken
