from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from multihot.core.labels import LabelSpace
from multihot.data.in_memory import as_examples
from multihot.errors import DataError, LabelError

SPACE = LabelSpace(("joy", "fear"))


@pytest.mark.parametrize("unknown", [None, -1, np.nan])
def test_nan_none_and_minus_one_are_unknown_in_arrays(unknown: Any) -> None:
    given = np.array([[1, 0], [unknown, 0.25]], dtype=object)

    examples = as_examples(["a", "b"], given, SPACE, "rows")

    assert examples.labels is not None
    np.testing.assert_array_equal(examples.labels.values, [[1, 0], [np.nan, 0.25]])
    assert given[1, 0] is unknown or given[1, 0] == unknown  # the caller's array stays as it was


def test_minus_one_does_not_change_the_array_of_the_caller() -> None:
    given = np.array([[1, -1]], dtype=np.float32)

    as_examples(["a"], given, SPACE, "rows")

    assert given.tolist() == [[1, -1]]


def test_values_outside_0_and_1_are_refused() -> None:
    with pytest.raises(LabelError, match="value 2 in row 0, label 'joy'"):
        as_examples(["a"], np.array([[2, 0]]), SPACE, "rows")


def test_weights_come_with_the_rows_and_are_taken_along() -> None:
    examples = as_examples(["a", "b"], [["joy"], []], SPACE, "rows", sample_weight=[2, 0])

    assert examples.weights is not None
    assert examples.weights.tolist() == [2, 0]
    assert examples.take([1]).weights.tolist() == [0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1], "has the shape (1,); expected one number for each of the 2 texts"),
        ([1, -1], "sample_weight of row 1 is -1; expected a number, 0 or more"),
        ([1, np.nan], "sample_weight of row 1 is nan"),
        ([1, "x"], "holds values that are not numbers"),
    ],
)
def test_wrong_weights_are_explained(weights: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        as_examples(["a", "b"], [["joy"], []], SPACE, "rows", sample_weight=weights)
