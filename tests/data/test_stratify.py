"""A split in two: a partition of the requested size that keeps the frequency of every label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.data.stratify import split_positives
from multihot.errors import DataError, OptionError

LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=80)


BoolArray = npt.NDArray[np.bool_]


@st.composite
def label_matrices(draw: st.DrawFn) -> BoolArray:
    return draw(arrays(np.bool_, st.tuples(st.integers(2, 30), st.integers(1, 5))))


def split(positive: npt.ArrayLike, fraction: float, seed: int = 0) -> tuple[list[int], list[int]]:
    generator = np.random.default_rng(seed)
    first, second = split_positives(np.asarray(positive, dtype=np.bool_), fraction, generator)
    return first.tolist(), second.tolist()


@LAWS
@given(label_matrices(), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_split_is_a_reproducible_partition_of_the_requested_size(
    positive: BoolArray, fraction: float, seed: int
) -> None:
    first, second = split(positive, fraction, seed)

    assert sorted([*first, *second]) == list(range(len(positive)))
    assert first == sorted(first)
    assert second == sorted(second)
    assert 1 <= len(second) < len(positive)
    assert abs(len(second) - fraction * len(positive)) <= 1
    assert (first, second) == split(positive, fraction, seed)


def test_another_seed_gives_another_split() -> None:
    positive = np.random.default_rng(0).random((200, 4)) < 0.2

    assert len({tuple(split(positive, 0.2, seed)[1]) for seed in range(3)}) == 3


def test_labels_that_never_meet_are_split_exactly() -> None:
    positive = np.repeat(np.eye(4, dtype=np.bool_), [10, 20, 50, 120], axis=0)

    _, second = split(positive, 0.1)

    assert positive[second].sum(axis=0).tolist() == [1, 2, 5, 12]


def test_a_rare_label_reaches_both_sides() -> None:
    positive = np.zeros((1000, 2), dtype=np.bool_)
    positive[:2, 0] = True
    positive[:500, 1] = True

    for seed in range(10):
        assert positive[split(positive, 0.5, seed)[1], 0].sum() == 1


def test_rows_without_a_label_are_distributed_as_well() -> None:
    positive = np.arange(100)[:, None] < 40

    _, second = split(positive, 0.25)

    assert (len(second), positive[second].sum()) == (25, 10)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 10, float("nan")])
def test_a_fraction_that_is_not_between_0_and_1_is_refused(fraction: float) -> None:
    with pytest.raises(OptionError):
        split([[1], [0]], fraction)


@pytest.mark.parametrize("num_rows", [0, 1])
def test_fewer_than_two_rows_cannot_be_split(num_rows: int) -> None:
    with pytest.raises(DataError):
        split(np.ones((num_rows, 2)), 0.5)
