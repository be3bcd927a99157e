from __future__ import annotations

import numpy as np
import pytest

from multihot.decision.next_texts import (
    choose_texts,
    gains_of_scores,
    gains_of_similarities,
    worth_comparing,
)
from multihot.errors import OptionError

APART = np.eye(6, dtype=np.float32)
"""Vectors of six texts that have nothing in common."""


def test_a_rare_label_comes_before_a_frequent_one_and_then_they_take_turns() -> None:
    gains = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)

    chosen = choose_texts(gains, [10, 0], APART, 3)
    equal = choose_texts(gains, [0, 0], APART, 4)

    assert chosen.rows.tolist() == [3, 4, 5]
    assert np.allclose(chosen.shares, [[0, 1]] * 3)
    assert sorted((equal.rows < 3).tolist()[:2]) == [False, True]
    assert (equal.rows < 3).sum() == 2


def test_of_texts_that_say_the_same_one_is_chosen() -> None:
    gains = np.array([[0.9], [0.89], [0.5]], dtype=np.float32)
    vectors = APART[[0, 0, 1]]

    assert choose_texts(gains, [0], vectors, 2, diversity=1).rows.tolist() == [0, 2]
    assert choose_texts(gains, [0], vectors, 2, diversity=0).rows.tolist() == [0, 1]


def test_all_of_few_texts_are_chosen_and_values_fall() -> None:
    gains = np.random.default_rng(0).random((6, 3)).astype(np.float32)

    chosen = choose_texts(gains, [0, 1, 2], APART, 50)

    assert sorted(chosen.rows.tolist()) == [0, 1, 2, 3, 4, 5]
    assert (np.diff(chosen.values) <= 0).all()
    assert choose_texts(gains[:0], [0, 1, 2], APART[:0], 5).shares.shape == (0, 3)


def test_a_probable_positive_tells_more_than_an_certain_one_and_that_more_than_an_improbable_one() -> (
    None
):
    gains = gains_of_scores(np.array([[0.4, 0.999, 0.05]], dtype=np.float32))

    assert gains[0, 0] > gains[0, 1] > gains[0, 2] > 0


def test_the_most_similar_texts_stand_out_for_every_label_alike() -> None:
    random = np.random.default_rng(0)
    cosines = random.normal(size=(1000, 2)) * [0.1, 0.01] + [0.2, 0.6]

    gains = gains_of_similarities(cosines.astype(np.float32))

    assert ((gains >= 0.5).sum(axis=0) == 20).all()
    assert gains_of_similarities(np.zeros((5, 2), np.float32)) == pytest.approx(0.5)


def test_of_a_large_pool_only_texts_that_are_worth_something_are_compared() -> None:
    gains = np.zeros((20_000, 1), dtype=np.float32)
    gains[[7, 15_000]] = 1

    kept = worth_comparing(gains, [3], 10)

    assert len(kept) == 5000
    assert {7, 15_000} <= set(kept.tolist())


def test_a_diversity_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match="diversity is 2"):
        choose_texts(APART[:, :1], [0], APART, 1, diversity=2)
