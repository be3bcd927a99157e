"""Options are frozen, have defaults and a sentence each, and stand on the page of options.

Before you add one: can the value be derived from the data or the encoder? Is it a plain argument
of one function? Only what a user must be able to set belongs into the options.
"""

from __future__ import annotations

import ast
import dataclasses
import re

import pytest

from contracts.sources import ROOT, parsed
from multihot.core.options import DataOptions, ObjectiveOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions

PREFIXES = {
    DataOptions: "data.",
    ObjectiveOptions: "objective.",
    TrainOptions: "",
    PretrainOptions: "",
}
"""What stands before the name of an option in recipes and on the command line."""


@pytest.mark.parametrize("options", PREFIXES)
def test_options_are_frozen_and_have_defaults(options: type) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options(), dataclasses.fields(options)[0].name, "anything")


@pytest.mark.parametrize("options", PREFIXES)
def test_every_option_is_followed_by_a_sentence(options: type) -> None:
    (definition,) = (
        node
        for node in parsed()[options.__module__].body
        if isinstance(node, ast.ClassDef) and node.name == options.__name__
    )
    without = []
    for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        text = following.value if isinstance(following, ast.Expr) else None
        sentence = text.value if isinstance(text, ast.Constant) else None
        if not isinstance(sentence, str) or not sentence.endswith((".", "...", ":")):
            without.append(ast.unparse(node.target))

    assert without == []


def test_every_option_stands_on_the_page_of_options() -> None:
    page = (ROOT / "docs" / "en" / "reference" / "options.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.+) \|$", page, re.MULTILINE)
    named = [
        prefix + field.name
        for options, prefix in PREFIXES.items()
        for field in dataclasses.fields(options)
        if not dataclasses.is_dataclass(
            getattr(options(), field.name)
        )  # `data`, `objective`, `probe`
    ]

    assert sorted(name for name, _, _ in rows) == sorted(named)
