"""The `pip` of pages: whether what a page installs exists in pyproject.toml. Nothing is installed."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Return 0 where every extra of multihot that is asked for is one."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    if arguments[:1] != ["install"]:
        print("Pages show `pip install` only.", file=sys.stderr)
        return 2
    for wanted in arguments[1:]:
        named = re.fullmatch(r"multihot(?:\[([\w,-]+)\])?", wanted)
        if named:
            unknown = set(filter(None, (named[1] or "").split(","))) - set(
                project["optional-dependencies"]
            )
            if unknown:
                print(f"multihot has no extra {', '.join(sorted(unknown))}.", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
