"""What the verbs' parsers share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from multihot.config import build_options, parse_assignments, updated
from multihot.errors import OptionError
from multihot.options import DataOptions

__all__ = ["data_options", "new_parser", "parse", "print_json"]


def new_parser(verb: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser that keeps its epilog as written and knows no abbreviations."""
    return argparse.ArgumentParser(
        prog=f"multihot {verb}",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse with options and positionals in any order (`FILE --output DIR epochs=3`)."""
    return parser.parse_intermixed_args(list(arguments))


def data_options(pairs: Sequence[str], stored: dict[str, Any]) -> DataOptions:
    """Return `data.*` options: those stored with a model, with `data.KEY=VALUE` pairs laid over."""
    given = parse_assignments(pairs)
    wrong = [key for key in given if key != "data"]
    if wrong:
        raise OptionError(f"'{wrong[0]}' is not an option here; only data.KEY=VALUE is.")
    changes = given.get("data", {})
    if not isinstance(changes, dict):
        raise OptionError("'data' is a table; set 'data.NAME' instead.")
    return build_options(DataOptions, updated(stored, changes), prefix="data.")


def print_json(content: Any) -> None:
    """Print one strict JSON document on stdout."""
    import json

    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
