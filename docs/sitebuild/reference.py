"""The pages of the reference that are written from the code: python -m sitebuild.reference.

`commands.md` from the parsers of all commands, `python.md` from the docstrings of the public names.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import re
import sys
from pathlib import Path

import griffe

__all__ = ["GENERATED", "commands_page", "python_page"]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "en" / "reference"

_COMMANDS = """# Commands

What `multihot help COMMAND` says of every command. The [options that are written `key=value`](options.md) have a page of their own, as has [what all commands share](command-line.md).

Written by `python -m sitebuild.reference`.
"""
_OF_THE_HELP = "<!-- plain: of the help, with names of the reader's files -->"
_PYTHON = """# Python

The public names of the package, from their docstrings. [Options](options.md) explains every field of the option classes; `multihot.errors` has all exceptions.

Written by `python -m sitebuild.reference`.
"""
_GROUPS = {
    "Classifier": ("MultiLabelClassifier", "Predictor", "Prediction"),
    "Data": (
        "read_examples",
        "Examples",
        "LabelMatrix",
        "LabelSpace",
        "union_of",
        "split",
        "SplitReport",
        "audit",
        "AuditReport",
        "apply_corrections",
        "CorrectionReport",
    ),
    "Evaluation": ("Report", "compare", "Comparison"),
    "Options": ("TrainOptions", "DataOptions", "PretrainOptions"),
    "Pretraining": (
        "pretrain",
        "PretrainReport",
        "fill_mask",
        "FillMask",
        "Fill",
        "next_sentence",
        "NextSentence",
    ),
    "Progress and errors": ("Listener", "StepProgress", "MultihotError"),
}
_WITH_FIELDS_ELSEWHERE = ("TrainOptions", "DataOptions", "PretrainOptions")


def commands_page() -> str:
    """Return the page of all commands."""
    from multihot.cli.main import COMMANDS

    os.environ["COLUMNS"] = "10000"  # paragraphs of the help are broken by the browser
    parts = [_COMMANDS]
    for command, summary in COMMANDS.items():
        parts.append(f"## `{command}`\n")
        if command in ("help", "version"):
            parts.append(f"{summary[0].upper()}{summary[1:]}.\n")
        else:
            name = command.replace("-", "_")
            parser = importlib.import_module(f"multihot.cli.{name}").build_parser()
            parts.append(_command(parser))
    return "\n".join(parts)


def _command(parser: argparse.ArgumentParser) -> str:
    actions = [each for each in parser._actions if each.dest != "quiet" and each.help]
    actions = [each for each in actions if each.dest != "help"]
    positional = " ".join(_metavar(each) for each in actions if not each.option_strings)
    usage = parser.usage or f"{parser.prog} {positional} [--option ...]"
    parts = [f"{parser.description}\n", f"`{' '.join(usage.split())}`\n", "| | |\n|---|---|"]
    for action in actions:
        name = ", ".join(action.option_strings) or _metavar(action)
        if action.option_strings and action.nargs != 0:
            name += f" {_metavar(action)}"
        meaning = (action.help or "") % {"default": action.default, "prog": parser.prog}
        parts.append(f"| `{_cell(name)}` | {_cell(meaning)} |")
    if len(parts) == 3:
        parts.pop()
    if parser.epilog:
        parts.append(f"\n{_epilog(parser.epilog)}")
    return "\n".join(parts) + "\n"


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    if action.metavar is None and action.choices:
        return "{" + ",".join(str(each) for each in action.choices) + "}"
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    return f"{name} ..." if action.nargs in ("+", "*") else str(name)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _epilog(text: str) -> str:
    """Return the text below the options: indented lines are shown as they are, others are joined."""
    parts: list[str] = []
    for is_shown, lines in itertools.groupby(
        text.strip("\n").split("\n"), lambda line: line.startswith("  ")
    ):
        if is_shown:
            block = "\n".join(line[2:] for line in lines)
            parts.append(f"{_OF_THE_HELP}\n```text\n{block}\n```\n")
            continue
        for paragraph in "\n".join(lines).split("\n\n"):
            joined = " ".join(paragraph.split()).replace("<", "&lt;")
            if joined:
                parts.append(f"{joined.replace('examples:', 'Examples:')}\n")
    return "\n".join(parts)


def python_page() -> str:
    """Return the page of the public names."""
    import multihot

    listed = {name for names in _GROUPS.values() for name in names}
    missing = set(multihot.__all__) - listed - {"__version__"}
    assert not missing, f"name the group of {missing} in sitebuild/reference.py"
    package = griffe.load("multihot", search_paths=[str(ROOT / "src")], docstring_parser="numpy")
    parts = [_PYTHON]
    for group, names in _GROUPS.items():
        parts.append(f"## {group}\n")
        for name in names:
            home = multihot._HOMES[name].removeprefix("multihot.")
            found = package[f"{home}.{name}"]
            parts.append(_public(found.final_target if found.is_alias else found, name))
    return "\n".join(parts)


def _public(found: griffe.Object, name: str) -> str:
    parts = [f"### `multihot.{name}`\n"]
    if isinstance(found, griffe.Function):
        parts += [_signature(name, found), _text(found)]
        return "\n".join(parts)
    assert isinstance(found, griffe.Class)
    constructor = found.members.get("__init__")
    if isinstance(constructor, griffe.Function) and name not in ("Predictor",):
        parts.append(_signature(name, constructor))
    parts.append(_text(found))
    members = [
        each
        for each in found.members.values()
        if not each.name.startswith("_") and not each.is_alias and each.has_docstring
    ]
    if name not in _WITH_FIELDS_ELSEWHERE:
        fields = [
            each
            for each in members
            if isinstance(each, griffe.Attribute) or "property" in each.labels
        ]
        if fields:
            parts += [*map(_field, fields), ""]
    for each in members:
        if isinstance(each, griffe.Function) and "property" not in each.labels:
            parts += [f"#### `{name}.{each.name}`\n", _signature(each.name, each), _text(each)]
    return "\n".join(parts)


def _field(found: griffe.Object) -> str:
    assert found.docstring is not None
    summary = " ".join(found.docstring.value.split())
    kind = getattr(found, "annotation", None)
    return f"- `{found.name}`" + (f" (`{kind}`)" if kind else "") + f": {_safe(summary)}"


def _signature(name: str, found: griffe.Function) -> str:
    shown = []
    star_seen = False
    for each in found.parameters:
        if each.name in ("self", "cls"):
            continue
        kind = str(each.kind.value) if each.kind else ""
        prefix = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        star_seen = star_seen or prefix == "*"
        if kind == "keyword-only" and not star_seen:
            shown.append("*")
            star_seen = True
        text = f"{prefix}{each.name}"
        if each.default is not None and not prefix:
            text += f"={each.default}"
        shown.append(text)
    return f"`{name}({', '.join(shown)})`\n"


def _text(found: griffe.Object) -> str:
    if found.docstring is None:
        return ""
    parts: list[str] = []
    for section in found.docstring.parse("numpy"):
        kind = section.kind.value
        if kind == "text":
            parts.append(f"{_safe(section.value)}\n")
            continue
        if kind == "examples":
            parts.append("\n".join(f"{_safe(text)}\n" for _, text in section.value))
            continue
        parts.append(f"**{kind.capitalize()}**\n")
        for each in section.value:
            described = " ".join(str(each.description).split())
            label = getattr(each, "name", "") or str(each.annotation or "")
            parts.append(f"- `{label}`: {_safe(described)}" if label else f"- {_safe(described)}")
        parts.append("")
    return "\n".join(parts)


def _safe(text: str) -> str:
    """Return text of a docstring as Markdown: outside backticks `<` and `*` mean themselves."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else p.replace("<", "&lt;") for p in pieces)


GENERATED = {"commands.md": commands_page, "python.md": python_page}


def main() -> int:
    """Write the pages."""
    for name, page in GENERATED.items():
        (FOLDER / name).write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
