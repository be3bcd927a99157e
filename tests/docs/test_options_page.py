"""docs/en/reference/options.md is generated from the option classes: python tests/docs/test_options_page.py."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

from multihot.core.options import DataOptions, ObjectiveOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions

PAGE = Path(__file__).parents[2] / "docs" / "en" / "reference" / "options.md"
INTRODUCTION = """# Options

Every option of `multihot train` and `multihot pretrain`: `key=value` on the command line, a line of a TOML recipe, or (first table) an argument of `MultiLabelClassifier`.
The default `none` means: derived from the data or the encoder, and reported.

**Experimental** options are those that no recipe uses because our measurements do not support them. The effect stated with each is the difference in validation Jaccard, in percentage points with a 95 % interval, from plain cross-entropy on SemEval-2018 E-c (886 rows, two epochs of the starter encoder, one seed; [ablation_202611.csv](../../../results/ablation_202611.csv)).
All variants have `head_learning_rate=1e-3`, which is now the default and accounts for +1.1 points (+0.1 to +2.3) by itself. [Train better on small data](../how-to/train-better-on-small-data.md#measured-effects) has the complete tables.
They stay available because saved models and recipes may refer to them.
"""
OBJECTIVE = """In Python: `objective={"loss": "zlpr"}`. [Train better on small data](../how-to/train-better-on-small-data.md) has the formulas, their papers, and when to try which.
"""
PRETRAINING = """Options of `multihot pretrain` and arguments of `multihot.PretrainOptions`; `probe.NAME` sets an option of the first table for the probe.
"""


def page() -> str:
    parts = [INTRODUCTION, "## Training\n", *_rows(TrainOptions, "")]
    parts += ["\n## Loss\n", OBJECTIVE, *_rows(ObjectiveOptions, "objective.")]
    parts += [
        "\n## Reading files\n",
        "Stored with the model, so that other files are read in the same way.\n",
    ]
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
    sentences = {}
    for field, sentence in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(sentence, ast.Expr):
            assert isinstance(field.target, ast.Name)
            sentences[field.target.id] = " ".join(str(ast.literal_eval(sentence.value)).split())
    return sentences


def test_the_options_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
