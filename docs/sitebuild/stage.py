"""The pages of the site, laid out for Zensical: one folder per language, links rewritten to what is there.

Pages stay where readers of the repository look for them; the site shows copies of them.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from sitebuild.pages import ROOT

__all__ = ["Site", "Staged", "lay_out"]

HERE = Path(__file__).parent
LANGUAGES = ("en", "zh")

_FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2`*[ \t]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?P<open>!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?P<target>[^)\s]+)(?P<close>\))")
_SOURCE = re.compile(r'(?P<open><img[^>]*\bsrc=")(?P<target>[^"]+)(?P<close>")')
_LEXERS = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".sh": "bash", ".json": "json"}


@dataclass(frozen=True)
class Staged:
    """Where a file of the repository is on the site."""

    language: str
    path: str
    """Below the folder of its language, as Markdown."""
    anchor: str = ""

    @property
    def url(self) -> str:
        """The address below the root of both languages."""
        path = f"{self.language}/{self.path}"
        if not path.endswith(".md"):
            return path
        path = path.removesuffix(".md")
        return f"{path.removesuffix('index')}" if path.endswith("/index") else f"{path}/"


@dataclass
class Site:
    """What has been laid out."""

    folder: Path
    pages: dict[str, Path] = field(default_factory=dict)
    """Address below the root -> file of the repository."""
    files: set[str] = field(default_factory=set)
    """Files of the repository that pages link to and that become pages of code."""
    problems: list[str] = field(default_factory=list)


def lay_out(folder: Path) -> Site:
    """Write the pages of both languages and their configurations below `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    site = Site(folder)
    sources = {path: staged for path in _sources() if (staged := place(path)) is not None}
    for path, staged in sources.items():
        _write_page(site, path, staged)
    for name in sorted(site.files):
        _write_code(site, name)
    for language in LANGUAGES:
        docs = folder / language / "docs"
        pictures = ROOT / "docs" / "pictures"
        for each in pictures.rglob("*"):
            if each.suffix in (".svg", ".png"):
                copy = docs / "pictures" / each.relative_to(pictures)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(each, copy)
        shutil.copytree(HERE / "assets", docs / "assets", dirs_exist_ok=True)
        shutil.copytree(HERE / "theme", folder / language / "theme")
    return site


def _sources() -> Iterator[Path]:
    yield from sorted(ROOT.glob("*.md"))
    for pattern in ("docs/en", "docs/zh", "docs/decisions", "results", "examples"):
        yield from sorted((ROOT / pattern).rglob("*.md"))


def place(path: Path) -> Staged | None:
    """Return where a file is on the site; None for one that only becomes a page where pages link to it."""
    name = path.relative_to(ROOT).as_posix()
    fixed = {
        "README.md": Staged("en", "index.md"),
        "README.zh.md": Staged("zh", "index.md"),
        "CHANGELOG.md": Staged("en", "changelog.md"),
        "CONTRIBUTING.md": Staged("en", "contributing.md"),
    }
    if name in fixed:
        return fixed[name]
    as_index = re.sub(r"README\.md$", "index.md", name)
    if found := re.match(r"docs/(en|zh)/(.+\.md)$", as_index):
        return Staged(found[1], found[2])
    if found := re.match(r"docs/(decisions/.+\.md)$", as_index):
        return Staged("en", found[1])
    if re.match(r"(results|examples)/.+\.md$", as_index):
        return Staged("en", as_index)
    if found := re.match(r"results/(.+\.csv)$", name):
        return Staged("en", "results/tables.md", re.sub(r"[^\w-]", "", found[1]))
    return None


def _write_page(site: Site, path: Path, staged: Staged) -> None:
    text = path.read_text("utf-8")
    text = _outside_code(text, lambda part: _linked(site, path, staged, part))
    text = re.sub(r"<details>", '<details markdown="1">', text)
    target = site.folder / staged.language / "docs" / staged.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_front_matter(path, staged) + _as_python_markdown(text), "utf-8")
    site.pages[staged.url] = path


def _front_matter(path: Path, staged: Staged) -> str:
    """Return the head of a page: where it is in the other language."""
    other = "zh" if staged.language == "en" else "en"
    name = staged.path
    counterpart = (
        ROOT / ("README.zh.md" if other == "zh" else "README.md")
        if name == "index.md"
        else ROOT / "docs" / other / name
    )
    there = Staged(other, name if counterpart.exists() else "index.md")
    return f'---\nother: "{_relative(there.url, staged.url)}"\n---\n\n'


def _outside_code(text: str, change: Any) -> str:
    parts: list[str] = []
    end = 0
    for fence in _FENCE.finditer(text):
        parts += [_outside_inline(text[end : fence.start()], change), fence.group()]
        end = fence.end()
    return "".join([*parts, _outside_inline(text[end:], change)])


def _outside_inline(text: str, change: Any) -> str:
    """Change text outside of inline code; the text of a link may hold code."""
    spans = [m.span() for m in re.finditer(r"(`+)[^`](?:.*?[^`])??\1(?!`)", text)]
    marked = {f"\x00{number}\x00": text[a:b] for number, (a, b) in enumerate(spans)}
    for (a, b), mark in reversed(list(zip(spans, marked, strict=True))):
        text = f"{text[:a]}{mark}{text[b:]}"
    text = change(text)
    for mark, code in marked.items():
        text = text.replace(mark, code)
    return text


def _linked(site: Site, path: Path, staged: Staged, text: str) -> str:
    def rewritten(found: re.Match[str]) -> str:
        target = found["target"]
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            return found.group()
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve()
        return f"{found['open']}{_address(site, path, staged, there, anchor)}{found['close']}"

    return _SOURCE.sub(rewritten, _LINK.sub(rewritten, text))


def _address(site: Site, path: Path, staged: Staged, there: Path, anchor: str) -> str:
    if not there.exists() or not there.is_relative_to(ROOT):
        site.problems.append(f"{path.relative_to(ROOT)}: {there} does not exist")
        return "#"
    if there.is_dir():
        index = next((there / n for n in ("README.md", "index.md") if (there / n).exists()), None)
        if index is None:
            site.problems.append(f"{path.relative_to(ROOT)}: {there} is a folder without a page")
            return "#"
        there = index
    name = there.relative_to(ROOT).as_posix()
    if name.startswith("docs/pictures/") and there.suffix in (".svg", ".png"):
        return os.path.relpath(name.removeprefix("docs/"), Path(staged.path).parent)
    found = place(there)
    if found is None:
        site.files.add(name)
        found = _shown(name)
    anchor = anchor or found.anchor
    suffix = f"#{anchor}" if anchor else ""
    if found.language == staged.language:
        return os.path.relpath(found.path, Path(staged.path).parent) + suffix
    return _relative(found.url, f"{staged.language}/{Path(staged.path).parent}") + suffix


def _relative(there: str, here: str) -> str:
    path = os.path.relpath(there, here or ".")
    return f"{path}/" if there.endswith("/") else path


def _shown(name: str) -> Staged:
    """Return the page that shows a file of the repository."""
    if name.endswith(".md"):
        return Staged("en", f"files/{re.sub(r'README.md$', 'index.md', name)}")
    return Staged("en", f"files/{name}.md")


def _write_code(site: Site, name: str) -> None:
    """Write a page that shows a file of the repository."""
    path = ROOT / name
    staged = _shown(name)
    target = site.folder / "en" / "docs" / staged.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".md":
        body = path.read_text("utf-8")
    else:
        code = path.read_text("utf-8").rstrip()
        body = f"# {name}\n\n````{_LEXERS.get(path.suffix, 'text')}\n{code}\n````\n"
    target.write_text(_front_matter(path, staged) + body, "utf-8")
    site.pages[staged.url] = path


def _as_python_markdown(text: str) -> str:
    """Return CommonMark as Python-Markdown reads it: lists stand apart, nested ones four columns in."""
    lines = text.split("\n")
    apart: set[int] = set()
    for number, columns, own in _list_lines(text, lines, apart):
        line = lines[number]
        blanks = len(line) - len(line.lstrip(" "))
        lines[number] = " " * columns + line[min(own, blanks) :] if line.strip() else line
    return "\n".join(f"\n{line}" if number in apart else line for number, line in enumerate(lines))


def _list_lines(text: str, lines: list[str], apart: set[int]) -> list[tuple[int, int, int]]:
    """Return (line, columns it needs, columns that are its list's) for lines of lists, innermost last."""
    found: dict[int, tuple[int, int]] = {}
    depth = 0
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type.endswith("list_open"):
            depth += 1
            assert token.map is not None
            if depth == 1 and token.map[0] > 0 and lines[token.map[0] - 1].strip():
                apart.add(token.map[0])
        elif token.type.endswith("list_close"):
            depth -= 1
        elif token.type == "list_item_open":
            assert token.map is not None
            first, end = token.map
            marker = re.match(r"( *)(?:[-*+]|\d+[.)]) *", lines[first])
            assert marker is not None
            found[first] = ((depth - 1) * 4, len(marker[1]))
            found |= dict.fromkeys(range(first + 1, end), (depth * 4, len(marker.group())))
    return [(number, *columns) for number, columns in sorted(found.items())]


def navigation(language: str, docs: Path) -> list[dict[str, Any]]:
    """Return the navigation of a language: nav.toml, and pages that it does not name behind the others."""
    wanted = tomllib.loads((ROOT / "docs" / language / "nav.toml").read_text("utf-8"))
    named = {page for each in wanted["section"] for page in each.get("pages", [])}
    result: list[dict[str, Any]] = [{wanted["home"]: "index.md"}]
    for each in wanted["section"]:
        pages = list(each.get("pages", []))
        for folder in each.get("folders", []):
            found = sorted(p.relative_to(docs).as_posix() for p in (docs / folder).rglob("*.md"))
            pages += [page for page in found if page not in named and page not in pages]
        pages = [page for page in pages if (docs / page).exists()]
        if pages:
            result.append({each["title"]: pages})
    return result
