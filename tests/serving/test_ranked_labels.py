"""Labels in the shapes of Hugging Face, the highest score first: in time that grows with their number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from multihot.serving.huggingface import _ranked


class _Names(tuple[str, ...]):
    """Refuses to be searched: that takes the square of the number of labels."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        raise AssertionError(f"{name} was looked for among all labels.")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"logits": False, "chosen_only": False}, [("c", 0.9), ("a", 0.5), ("b", 0.1)]),
        ({"logits": False, "chosen_only": False, "count": 1}, [("c", 0.9)]),
        ({"logits": True, "chosen_only": True}, [("c", 2.0), ("a", 0.0)]),
    ],
)
def test_labels_are_ranked_without_a_search_for_each(
    asked: dict[str, Any], expected: list[tuple[str, float]]
) -> None:
    answer: Any = SimpleNamespace(
        names=_Names("abc"),
        scores=[[0.5, 0.1, 0.9]],
        logits=[[0.0, -2.0, 2.0]],
        labels=[["a", "c"]],
    )

    assert _ranked(answer, **asked) == [expected]
