"""Counts: definitions by hand, unknown cells, streaming and symmetry."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.decision.counts import COUNT_METRICS, Counts, LabelCounts
from multihot.errors import LabelError

Array = npt.NDArray[Any]
LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=60)
NAN = np.nan


@st.composite
def truth_and_prediction(draw: st.DrawFn) -> tuple[Array, Array]:
    shape = draw(st.tuples(st.integers(0, 8), st.integers(1, 4)))
    truth = draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0, NAN])))
    return truth, draw(arrays(np.bool_, shape))


def counted(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Counts:
    counts = Counts(np.shape(truth)[1])
    counts.update(np.asarray(truth, np.float32), np.asarray(predicted, bool))
    return counts


def test_every_metric_of_a_small_table_is_what_one_computes_by_hand() -> None:
    truth = [[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    predicted = [[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]]

    metrics = counted(truth, predicted).metrics()

    assert metrics == pytest.approx(
        {
            "jaccard": (1 / 2 + 1 + 1 / 2 + 0) / 4,
            "jaccard_empty_zero": (1 / 2 + 0 + 1 / 2 + 0) / 4,
            "micro_f1": 4 / 7,
            "macro_f1": (1 + 0) / 2,
            "weighted_f1": (2 * 1 + 2 * 0) / 4,
            "samples_f1": (2 / 3 + 1 + 2 / 3 + 0) / 4,
            "micro_precision": 2 / 3,
            "micro_recall": 2 / 4,
            "subset_accuracy": 1 / 4,
            "hamming_loss": 3 / 12,
        }
    )


def test_the_metrics_have_their_names_and_order() -> None:
    assert tuple(Counts(1).metrics()) == COUNT_METRICS


def test_a_label_that_is_never_true_nor_given_has_no_f1() -> None:
    labels = counted([[1, 0], [0, 0]], [[1, 0], [1, 0]]).per_label()

    assert labels[0] == LabelCounts(support=1, precision=0.5, recall=1.0, f1=2 / 3)
    assert labels[1] == LabelCounts(support=0, precision=None, recall=None, f1=None)


def test_with_no_rows_everything_is_undefined() -> None:
    metrics = Counts(3).metrics()

    assert set(metrics.values()) == {None}


def test_with_nothing_true_and_nothing_given_only_ratios_of_rows_and_cells_are_defined() -> None:
    metrics = counted(np.zeros((2, 2)), np.zeros((2, 2))).metrics()

    defined = {name: value for name, value in metrics.items() if value is not None}
    assert defined == {
        "jaccard": 1.0,
        "jaccard_empty_zero": 0.0,
        "samples_f1": 1.0,
        "subset_accuracy": 1.0,
        "hamming_loss": 0.0,
    }


def test_rows_without_a_known_cell_are_excluded_and_counted() -> None:
    counts = counted([[NAN, NAN], [1, NAN]], [[1, 1], [1, 1]])

    assert (counts.num_rows, counts.num_rows_excluded) == (1, 1)
    assert counts.known.tolist() == [1, 0]
    assert counts.metrics()["subset_accuracy"] == 1.0


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LabelError, match=r"Truth has shape \(2, 3\) and prediction \(2, 2\)"):
        Counts(3).update(np.zeros((2, 3)), np.zeros((2, 2), bool))
    with pytest.raises(LabelError, match=r"expected \(rows, 4\) for both"):
        Counts(4).update(np.zeros((2, 3)), np.zeros((2, 3), bool))


@LAWS
@given(truth_and_prediction())
def test_what_is_predicted_for_unknown_cells_changes_nothing(case: tuple[Array, Array]) -> None:
    truth, predicted = case
    flipped = np.where(np.isnan(truth), ~predicted, predicted)

    assert vars_of(counted(truth, predicted)) == vars_of(counted(truth, flipped))


@LAWS
@given(truth_and_prediction(), st.integers(1, 3))
def test_chunks_count_exactly_as_all_rows_at_once(case: tuple[Array, Array], size: int) -> None:
    truth, predicted = case
    chunked = Counts(truth.shape[1])
    for start in range(0, len(truth), size):
        chunked.update(truth[start : start + size], predicted[start : start + size])

    assert vars_of(counted(truth, predicted)) == vars_of(chunked)
    assert counted(truth, predicted).metrics() == chunked.metrics()


@LAWS
@given(truth_and_prediction(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_labels_does_not_matter(
    case: tuple[Array, Array], shuffler: random.Random
) -> None:
    truth, predicted = case
    rows = shuffler.sample(range(truth.shape[0]), truth.shape[0])
    columns = shuffler.sample(range(truth.shape[1]), truth.shape[1])

    permuted = counted(truth[rows][:, columns], predicted[rows][:, columns])

    original = counted(truth, predicted)
    assert original.metrics() == permuted.metrics()
    assert [original.per_label()[column] for column in columns] == permuted.per_label()


@LAWS
@given(truth_and_prediction())
def test_every_metric_lies_between_0_and_1(case: tuple[Array, Array]) -> None:
    values = [value for value in counted(*case).metrics().values() if value is not None]

    assert all(0 <= value <= 1 for value in values)


def vars_of(counts: Counts) -> dict[str, object]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(counts).items()
    }
