"""Parts and folds: a partition that keeps the frequency of every label and never splits a unit."""

from __future__ import annotations

import importlib.util

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.data.stratify import stratified_folds, stratified_parts, units_of
from multihot.errors import DataError, MissingExtraError, OptionError

LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=60)
CELLS = st.sampled_from([0.0, 1.0, np.nan, 0.3, 0.5, 0.8])


def matrix(values: npt.ArrayLike) -> LabelMatrix:
    values = np.asarray(values, dtype=np.float32)
    return LabelMatrix(LabelSpace(tuple(f"label {c}" for c in range(values.shape[1]))), values)


@st.composite
def label_matrices(draw: st.DrawFn) -> LabelMatrix:
    shape = draw(st.tuples(st.integers(6, 40), st.integers(1, 5)))
    return matrix(draw(arrays(np.float32, shape, elements=CELLS)))


@LAWS
@given(label_matrices(), st.integers(2, 6), st.integers(0, 5), st.booleans())
def test_folds_partition_the_rows_into_equal_parts(
    labels: LabelMatrix, num_folds: int, seed: int, pairs: bool
) -> None:
    fold = stratified_folds(labels, num_folds, seed, pairs=pairs)

    sizes = np.bincount(fold, minlength=num_folds)
    assert sizes.sum() == len(labels)
    assert len(sizes) == num_folds
    assert sizes.max() - sizes.min() <= 1
    assert fold.tolist() == stratified_folds(labels, num_folds, seed, pairs=pairs).tolist()


@LAWS
@given(label_matrices(), st.integers(0, 5), st.data())
def test_permuting_the_label_columns_gives_the_same_split(
    labels: LabelMatrix, seed: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(labels.space))))
    names = tuple(labels.space.names[column] for column in order)
    permuted = LabelMatrix(LabelSpace(names), labels.values[:, order])

    parts = [
        stratified_parts(one, [3, 1, 1], seed, pairs=pairs).tolist()
        for one in (labels, permuted)
        for pairs in (False, True)
    ]

    assert parts[:2] == parts[2:]


@LAWS
@given(label_matrices(), st.data())
def test_units_are_never_split_and_no_part_is_empty(
    labels: LabelMatrix, data: st.DataObject
) -> None:
    key = data.draw(arrays(np.int64, len(labels), elements=st.integers(-1, 6)))
    units = units_of(key)
    num_units = len(np.unique(units))
    if num_units < 3:
        with pytest.raises(DataError):
            stratified_parts(labels, [2, 1, 1], 0, units=units)
        return

    part = stratified_parts(labels, [2, 1, 1], 0, units=units)

    assert set(part.tolist()) == {0, 1, 2}
    for value in range(7):
        assert len(set(part[key == value].tolist())) <= 1


@LAWS
@given(label_matrices())
def test_unknown_cells_and_ties_count_for_nothing(labels: LabelMatrix) -> None:
    has = matrix(np.nan_to_num(labels.values) > 0.5)

    assert stratified_folds(labels, 3, 1).tolist() == stratified_folds(has, 3, 1).tolist()


def test_label_counts_deviate_by_at_most_two_rows() -> None:
    generator = np.random.default_rng(0)
    labels = matrix(generator.random((600, 8)) < generator.random(8) * 0.4)
    fold = stratified_folds(labels, 5, 0)

    positives = [(labels.values[fold == number] == 1).sum(axis=0) for number in range(5)]

    assert np.abs(np.array(positives) - labels.positives() / 5).max() <= 2


def test_pairs_of_labels_keep_their_frequency_on_request() -> None:
    generator = np.random.default_rng(0)
    values = (generator.random((400, 6)) < 0.3).astype(np.float32)

    def deviation(pairs: bool) -> float:
        part = stratified_folds(matrix(values), 4, 0, pairs=pairs)
        both = [values[part == number].T @ values[part == number] for number in range(4)]
        return float(np.abs(np.array(both) - values.T @ values / 4).mean())

    assert deviation(True) < 0.8 * deviation(False)


def test_small_groups_keep_frequencies_and_sizes() -> None:
    generator = np.random.default_rng(0)
    labels = matrix(generator.random((1000, 5)) < 0.2)
    units = units_of(generator.integers(0, 250, 1000))

    part = stratified_parts(labels, [0.8, 0.2], 0, units=units)

    assert abs(int((part == 1).sum()) - 200) <= 2
    frequencies = [(labels.values[part == number] == 1).mean(axis=0) for number in range(2)]
    assert np.abs(frequencies[1] - frequencies[0]).max() < 0.03


def test_units_follow_chains_through_both_keys() -> None:
    first, second = np.array([1, 1, -1, 2, -1]), np.array([-1, 5, 5, -1, -1])

    assert units_of(first, second).tolist() == [0, 0, 0, 3, 4]
    assert units_of(np.array([-1, -1])).tolist() == [0, 1]


def test_only_several_keys_need_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    key = np.array([4, -1, 4])

    assert units_of(key).tolist() == [0, 1, 0]
    with pytest.raises(MissingExtraError):
        units_of(key, key)


@given(st.lists(st.tuples(st.integers(-1, 8), st.integers(-1, 8)), min_size=1, max_size=30))
def test_units_are_the_first_rows_of_what_equal_keys_connect(pairs: list[tuple[int, int]]) -> None:
    keys = np.array(pairs).T
    expected = np.arange(len(pairs))
    for _ in pairs:  # until the smallest row number has gone through the longest chain
        for key in keys:
            for value in set(key.tolist()) - {-1}:
                expected[key == value] = expected[key == value].min()

    assert units_of(*keys).tolist() == expected.tolist()


@pytest.mark.parametrize("proportions", [[1, 0], [1, -1], [1, float("nan")]])
def test_proportions_that_are_not_above_0_are_refused(proportions: list[float]) -> None:
    with pytest.raises(OptionError):
        stratified_parts(matrix(np.ones((4, 1))), proportions, 0)


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(OptionError):
        stratified_folds(matrix(np.ones((4, 1))), 1, 0)
    with pytest.raises(DataError):
        stratified_folds(matrix(np.ones((2, 1))), 3, 0)


def test_the_part_to_train_on_has_every_label_that_groups_allow() -> None:
    generator = np.random.default_rng(0)
    values = np.zeros((60, 40), dtype=np.float32)
    values[np.arange(60), np.minimum(np.arange(60), generator.integers(0, 40, 60))] = 1
    values[:40] = np.eye(40)
    units = units_of(generator.integers(0, 18, 60))

    for seed in range(5):
        part = stratified_parts(matrix(values), [0.8, 0.1, 0.1], seed, units=units)
        outside = values[part != 0].any(axis=0) & ~values[part == 0].any(axis=0)
        assert set(part.tolist()) == {0, 1, 2}
        assert outside.sum() <= 2  # of units that alone keep their part from being empty


def test_sizes_stay_exact_where_rare_labels_are_moved() -> None:
    values = np.zeros((100, 3), dtype=np.float32)
    values[0, 0] = values[1, 1] = 1
    values[2:, 2] = 1

    part = stratified_parts(matrix(values), [0.1, 0.9], 0)  # most of everything is in the second

    assert np.bincount(part).tolist() == [10, 90]
    assert part[:2].tolist() == [0, 0]


@pytest.mark.parametrize("seed", [40, 86, 91])
def test_a_label_whose_share_is_a_row_reaches_a_small_part_in_spite_of_groups(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = (generator.random((60, 5)) < [0.1, 0.12, 0.15, 0.3, 0.5]).astype(np.float32)
    units = units_of(generator.integers(0, 25, 60))

    part = stratified_parts(matrix(values), [0.8, 0.2], 0, units=units)

    assert values[part == 0].any(axis=0).all()
    assert values[part == 1].any(axis=0)[values.sum(axis=0) >= 5].all()
