"""Which Chinese pages are older than the English ones they were written against.

A Chinese page names, in its first line, the content of the English page as git does:

    <!-- translated from 3f2a9c14d0b7 -->

    python -m sitebuild.ages                    what changed since, as a difference
    python -m sitebuild.ages --accept PAGE ...  the pages say the same again
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sitebuild.pages import ROOT

__all__ = ["Pair", "identifier", "pairs", "stale"]

DIGITS = 12
_STATED = re.compile(r"\A<!-- translated from ([0-9a-f]{12,40}) -->\n")


@dataclass(frozen=True)
class Pair:
    """A Chinese page and the English one."""

    chinese: Path
    english: Path

    @property
    def stated(self) -> str | None:
        """Which content of the English page the Chinese one names; None where it names none."""
        found = _STATED.match(self.chinese.read_text("utf-8"))
        return found[1] if found else None

    @property
    def is_stale(self) -> bool:
        """Whether the English page has other content now."""
        return not identifier(self.english).startswith(self.stated or "none")


def identifier(page: Path) -> str:
    """Return the identifier that git gives the content of a file."""
    content = page.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def pairs(root: Path = ROOT) -> list[Pair]:
    """Return every Chinese page that has an English counterpart."""
    chinese = root / "docs" / "zh"
    found = [
        Pair(page, root / "docs" / "en" / page.relative_to(chinese))
        for page in sorted(chinese.rglob("*.md"))
    ]
    found.append(Pair(root / "README.zh.md", root / "README.md"))
    return [each for each in found if each.chinese.exists() and each.english.exists()]


def stale(root: Path = ROOT) -> list[Pair]:
    """Return the pairs whose Chinese page is older."""
    return [each for each in pairs(root) if each.is_stale]


def _show(pair: Pair) -> None:
    print(f"{pair.chinese.relative_to(ROOT)} is older than {pair.english.relative_to(ROOT)}")
    if pair.stated is None:
        print("  It names no content of the English page; --accept writes it.")
        return
    command = ["git", "diff", "--color=never", pair.stated, str(pair.english)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(shown.stdout or f"  git does not know {pair.stated}: compare the whole pages.")


def _accept(page: Path) -> None:
    for pair in pairs():
        if pair.chinese == page.resolve():
            text = _STATED.sub("", page.read_text("utf-8"))
            line = f"<!-- translated from {identifier(pair.english)[:DIGITS]} -->\n"
            page.write_text(line + text, "utf-8")


def main(arguments: list[str]) -> int:
    """Show or accept; return 1 where pages are older."""
    if arguments[:1] == ["--accept"]:
        for name in arguments[1:]:
            _accept(Path(name))
        return 0
    found = stale()
    for each in found:
        _show(each)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
