"""The sentences that stand under the fields of options dataclasses, read from their source."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

__all__ = ["option_sentences", "short_sentence"]


def option_sentences(kind: type[Any]) -> dict[str, str]:
    """Return the sentence of every field of a dataclass; nothing where its source is not installed."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except OSError:
        return {}
    assert isinstance(definition, ast.ClassDef)
    sentences = {}
    for node, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                sentences[node.target.id] = value.value
    return sentences


def short_sentence(sentence: str) -> str:
    """Return the first sentence, for a list in which the measured effects have no room."""
    first = re.split(r"(?<=[.)])\s+(?=[A-Z*])", sentence, maxsplit=1)[0]
    return first.rstrip(".").replace("*", "")
