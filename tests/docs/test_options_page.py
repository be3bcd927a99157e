"""docs/options.md says what options.py says. Rewrite it with: python tests/docs/test_options_page.py."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

from multihot import options
from multihot.options import DataOptions, TrainOptions

PAGE = Path(__file__).parents[2] / "docs" / "options.md"
INTRODUCTION = """# Options

Every option of `multihot train`, as `key=value` behind the verb, as a line of a TOML recipe, or (those of the first table) as an argument of `MultiLabelClassifier`.
`none` means: decided from the data or the encoder, and said aloud.
"""


def page() -> str:
    parts = [INTRODUCTION, "## Training\n", *_rows(TrainOptions, "")]
    parts += ["\n## Reading files\n", "Stored with the model; `data.label_column` and so on.\n"]
    return "\n".join([*parts, *_rows(DataOptions, "data."), ""])


def _rows(kind: type[Any], prefix: str) -> list[str]:
    sentences = _sentences(kind.__name__)
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for field in fields(kind):
        if field.name != "data":
            value = "none" if field.default in (None, ()) else str(field.default).lower()
            meaning = sentences[field.name].replace("|", "\\|")
            lines.append(f"| `{prefix}{field.name}` | {value} | {meaning} |")
    return lines


def _sentences(name: str) -> dict[str, str]:
    """Return the sentence under each field of the class called `name`."""
    (kind,) = (
        node
        for node in ast.parse(inspect.getsource(options)).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    found = {}
    for field, sentence in zip(kind.body, kind.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(sentence, ast.Expr):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(str(ast.literal_eval(sentence.value)).split())
    return found


def test_the_page_of_options_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
