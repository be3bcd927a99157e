"""Label frequencies, row counts, and the tests for shifts, against figures computed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.data.label_bits import LabelBits
from multihot.data.label_statistics import (
    LabelFrequency,
    count_rows,
    label_frequencies,
    prior_shifts,
    two_proportion_p_value,
    unseen_label_sets,
)

NAN = float("nan")


def packed(rows: Sequence[Sequence[float]]) -> LabelBits:
    names = tuple("abcdefgh"[: len(rows[0])])
    return LabelBits.from_matrix(LabelMatrix(LabelSpace(names), np.array(rows, dtype=np.float32)))


def test_two_proportion_test_by_hand() -> None:
    # 30/100 against 45/100: p = .375, z = -.15 / sqrt(.375 * .625 * .02) = -2.1909
    p_value = two_proportion_p_value(30, 100, 45, 100)

    assert p_value == pytest.approx(0.02846, abs=1e-5)
    assert p_value == two_proportion_p_value(45, 100, 30, 100)


@pytest.mark.parametrize("positives", [0, 10])
def test_samples_that_are_all_positive_or_all_negative_do_not_differ(positives: int) -> None:
    assert two_proportion_p_value(positives, 10, positives, 10) == 1.0


def test_frequencies_are_fractions_of_the_texts_with_a_known_value() -> None:
    frequencies = label_frequencies(
        packed([[1, NAN, NAN], [0, 1, NAN], [1, 1, NAN], [1, NAN, NAN]])
    )

    assert frequencies == {
        "a": LabelFrequency(3, 0, 0.75),
        "b": LabelFrequency(2, 2, 1.0),
        "c": LabelFrequency(0, 4, None),
    }


def test_rows_are_counted_by_their_number_of_labels() -> None:
    counts = count_rows(packed([[0, 0], [1, 0], [1, 1], [1, NAN], [NAN, NAN], [1, 0]]))

    assert counts.unlabelled == 1
    assert (counts.without_label, counts.with_one_label, counts.with_several_labels) == (1, 3, 1)
    assert counts.mean_labels == pytest.approx(5 / 5)
    assert counts.label_sets == 3


def test_rows_without_any_known_label_have_no_mean() -> None:
    assert count_rows(packed([[NAN], [NAN]])).mean_labels is None


def test_unseen_label_sets_leave_out_incomplete_rows() -> None:
    first = packed([[1, 0, 0], [0, 1, 0]])
    second = packed([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 1, 1], [NAN, 1, 1], [0, 0, 0]])

    unseen = unseen_label_sets(first, second)

    assert (unseen.rows, unseen.sets) == (4, 3)
    assert unseen.examples[0] == ("b", "c")
    assert set(unseen.examples) == {("b", "c"), ("a", "b"), ()}


def test_a_planted_shift_is_significant_and_equal_frequencies_are_not() -> None:
    first = packed([[1, 1]] * 100 + [[0, 1]] * 100 + [[0, 0]] * 200)
    second = packed([[1, 1]] * 100 + [[1, 0]] * 52 + [[0, 0]] * 48)

    shifts = prior_shifts(first, second)

    assert (shifts["a"].first, shifts["a"].second) == (0.25, 0.76)
    assert shifts["a"].difference == pytest.approx(0.51)
    assert shifts["a"].significant
    assert not shifts["b"].significant
    assert shifts["b"].p_value == pytest.approx(1.0)


def test_labels_that_are_unknown_in_one_file_are_not_compared() -> None:
    shifts = prior_shifts(packed([[1, NAN], [0, NAN]]), packed([[1, 1], [0, 0]]))

    assert list(shifts) == ["a"]
    assert math.isclose(shifts["a"].p_value, 1.0)
