"""docs/options.md says what the option classes say. Rewrite it with: python tests/docs/test_options_page.py."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

from multihot.core.objective_options import ObjectiveOptions
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions

PAGE = Path(__file__).parents[2] / "docs" / "options.md"
INTRODUCTION = """# Options

Every option of `multihot train` and `multihot pretrain`, as `key=value` behind the verb, as a line of a TOML recipe, or (those of the first table) as an argument of `MultiLabelClassifier`.
`none` means: decided from the data or the encoder, and said aloud.
"""
OBJECTIVE = """In Python, the argument `objective={"loss": "zlpr"}`. [Train better on small data](how-to/train-better-on-small-data.md) has the formulas, their papers, and when to try which.
"""
PRETRAINING = """Of `multihot pretrain`, and arguments of `multihot.PretrainOptions`; `probe.NAME` sets an option of the first table for its probe.
"""


def page() -> str:
    parts = [INTRODUCTION, "## Training\n", *_rows(TrainOptions, "")]
    parts += ["\n## What training minimises\n", OBJECTIVE, *_rows(ObjectiveOptions, "objective.")]
    parts += ["\n## Reading files\n", "Stored with the model; `data.label_column` and so on.\n"]
    parts += [*_rows(DataOptions, "data."), "\n## Pretraining\n", PRETRAINING]
    return "\n".join([*parts, *_rows(PretrainOptions, ""), ""])


def _rows(kind: type[Any], prefix: str) -> list[str]:
    sentences = _sentences(kind)
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for field in fields(kind):
        if field.name not in ("data", "objective", "probe"):
            value = "none" if field.default in (None, ()) else str(field.default).lower()
            meaning = sentences[field.name].replace("|", "\\|")
            lines.append(f"| `{prefix}{field.name}` | {value} | {meaning} |")
    return lines


def _sentences(kind: type[Any]) -> dict[str, str]:
    """Return the sentence under each field of a class."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, sentence in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(sentence, ast.Expr):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(str(ast.literal_eval(sentence.value)).split())
    return found


def test_the_page_of_options_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
