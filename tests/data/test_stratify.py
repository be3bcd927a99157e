"""Stratified splits: a partition of the wanted size that keeps the share of every label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.data.stratify import stratified_split
from multihot.errors import DataError, OptionError

LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=80)


@st.composite
def label_matrices(draw: st.DrawFn) -> LabelMatrix:
    shape = draw(st.tuples(st.integers(2, 30), st.integers(1, 5)))
    return matrix(draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0, np.nan]))))


def matrix(values: npt.ArrayLike) -> LabelMatrix:
    values = np.asarray(values, dtype=np.float32)
    return LabelMatrix(LabelSpace(tuple(f"label {c}" for c in range(values.shape[1]))), values)


@LAWS
@given(label_matrices(), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_split_is_a_partition_with_the_wanted_number_of_rows(
    labels: LabelMatrix, fraction: float, seed: int
) -> None:
    kept, held_out = stratified_split(labels, fraction, np.random.default_rng(seed))

    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert np.all(np.diff(kept) > 0)
    assert np.all(np.diff(held_out) > 0)
    assert 1 <= len(held_out) < len(labels)
    assert abs(len(held_out) - fraction * len(labels)) <= 1


@LAWS
@given(label_matrices(), st.floats(0.01, 0.99))
def test_the_same_generator_state_gives_the_same_split(
    labels: LabelMatrix, fraction: float
) -> None:
    first = stratified_split(labels, fraction, np.random.default_rng(3))
    second = stratified_split(labels, fraction, np.random.default_rng(3))

    assert [part.tolist() for part in first] == [part.tolist() for part in second]


def test_another_seed_gives_another_split() -> None:
    labels = matrix(np.random.default_rng(0).random((200, 4)) < 0.2)

    splits = {
        tuple(stratified_split(labels, 0.2, np.random.default_rng(seed))[1]) for seed in range(3)
    }

    assert len(splits) == 3


@LAWS
@given(label_matrices(), st.floats(0.01, 0.99))
def test_unknown_cells_count_as_not_having_the_label(labels: LabelMatrix, fraction: float) -> None:
    filled = matrix(np.nan_to_num(labels.values))

    ours = stratified_split(labels, fraction, np.random.default_rng(0))

    theirs = stratified_split(filled, fraction, np.random.default_rng(0))
    assert [part.tolist() for part in ours] == [part.tolist() for part in theirs]


def test_labels_that_never_meet_are_split_exactly() -> None:
    values = np.repeat(np.eye(4), [10, 20, 50, 120], axis=0)

    _, held_out = stratified_split(matrix(values), 0.1, np.random.default_rng(0))

    assert values[held_out].sum(axis=0).tolist() == [1, 2, 5, 12]


def test_a_rare_label_reaches_both_sides() -> None:
    values = np.zeros((1000, 2))
    values[:2, 0] = 1
    values[:500, 1] = 1

    for seed in range(10):
        _, held_out = stratified_split(matrix(values), 0.5, np.random.default_rng(seed))
        assert values[held_out, 0].sum() == 1


def test_rows_without_a_label_are_shared_as_well() -> None:
    values = np.zeros((100, 1))
    values[:40] = 1

    _, held_out = stratified_split(matrix(values), 0.25, np.random.default_rng(0))

    assert (len(held_out), values[held_out].sum()) == (25, 10)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 10, float("nan")])
def test_a_fraction_outside_0_and_1_is_refused(fraction: float) -> None:
    with pytest.raises(OptionError, match=rf"hold out is {fraction}; expected a number between 0"):
        stratified_split(matrix([[1], [0]]), fraction, np.random.default_rng(0))


@pytest.mark.parametrize("num_rows", [0, 1])
def test_fewer_than_two_rows_cannot_be_split(num_rows: int) -> None:
    with pytest.raises(DataError, match=f"needs at least 2 rows; there are {num_rows}"):
        stratified_split(matrix(np.ones((num_rows, 2))), 0.5, np.random.default_rng(0))
