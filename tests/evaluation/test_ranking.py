"""Ranking metrics: definitions by hand, ties, unknown cells, chunks, files, bins, what is undefined."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.errors import LabelError, StorageError
from multihot.evaluation.ranking import Ranking, RankingMetrics
from multihot.evaluation.ranking_cells import Areas

NAN = np.nan
Array = npt.NDArray[np.float32]


def ranked(
    truth: npt.ArrayLike, scores: npt.ArrayLike, chunk_rows: int = 100, **options: int
) -> RankingMetrics:
    values = np.asarray(truth, dtype=np.float32)
    numbers = np.asarray(scores, dtype=np.float32)
    found = Ranking(*values.shape, **options)
    for start in range(0, len(values), chunk_rows):
        found.update(values[start : start + chunk_rows], numbers[start : start + chunk_rows])
    return found.result()


def column(*values: float) -> Array:
    return np.array(values, dtype=np.float32)[:, None]


def some_rows(num_rows: int, num_labels: int, seed: int = 0) -> tuple[Array, Array]:
    """Return truth with unknown cells, and scores with ties."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, num_labels)) < 0.3).astype(np.float32)
    noise = generator.normal(size=truth.shape)
    scores = (1 / (1 + np.exp(2 - truth - noise))).astype(np.float32)
    scores[:, 0] = np.round(scores[:, 0], 1)
    truth[generator.random(truth.shape) < 0.1] = NAN
    return truth, scores


def test_a_perfect_order_is_1_and_the_reverse_has_no_pair_right() -> None:
    truth = column(1, 1, 0)

    assert ranked(truth, column(0.9, 0.8, 0.1)).labels == [Areas(1.0, 1.0)]
    assert ranked(truth, column(0.1, 0.2, 0.9)).labels[0].roc_auc == 0.0


def test_equal_scores_are_half_right() -> None:
    (label,) = ranked(column(1, 0, 1, 0), column(0.5, 0.5, 0.5, 0.5)).labels

    assert label == Areas(roc_auc=0.5, average_precision=0.5)


def test_a_label_with_one_class_has_no_roc_auc() -> None:
    labels = ranked([[1, 0, NAN], [1, 0, NAN]], np.full((2, 3), 0.3)).labels

    assert labels == [Areas(None, 1.0), Areas(None, None), Areas(None, None)]


@pytest.mark.parametrize("limit", [0, 100])
def test_without_any_known_cell_everything_is_undefined(limit: int) -> None:
    truth = np.full((2, 2), NAN)

    unknown = ranked(truth, np.zeros((2, 2)), max_exact_cells=limit)
    empty = ranked(truth[:0], np.zeros((0, 2)), max_exact_cells=limit)

    assert set(unknown.metrics.values()) == set(empty.metrics.values()) == {None}


@pytest.mark.parametrize("limit", [0, 10_000])
def test_how_rows_were_cut_into_chunks_makes_no_difference_to_the_last_bit(limit: int) -> None:
    truth, scores = some_rows(200, 7)

    at_once = ranked(truth, scores, 200, max_exact_cells=limit)

    for chunk_rows in (1, 3, 64):
        assert ranked(truth, scores, chunk_rows, max_exact_cells=limit) == at_once
    backwards = ranked(truth[::-1], scores[::-1], 7, max_exact_cells=limit)
    assert backwards == at_once


def test_a_file_gives_what_memory_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, scores = some_rows(300, 5)
    in_memory = ranked(truth, scores)

    assert ranked(truth, scores, 9, max_cells_in_memory=0) == in_memory
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    assert ranked(truth, scores, 9, max_cells_in_memory=0) == in_memory


def test_the_file_has_no_name_that_could_be_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = Ranking(10, 2, max_cells_in_memory=0)
    found.update(np.ones((10, 2), np.float32), np.ones((10, 2), np.float32))

    assert list(tmp_path.iterdir()) == []
    assert found.result().metrics["mean_average_precision"] == 1


def test_no_room_for_the_file_is_said_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))

    with pytest.raises(
        StorageError, match=r"5000000 texts and 4 labels need a temporary file of 80 MB.*TMPDIR"
    ):
        Ranking(5_000_000, 4)


def test_rows_that_never_came_count_in_nothing() -> None:
    truth, scores = some_rows(50, 3)
    found = Ranking(80, 3)
    found.update(truth, scores)

    assert found.result() == ranked(truth, scores)


@given(
    seed=st.integers(0, 2**32 - 1),
    num_labels=st.integers(1, 6),
    levels=st.sampled_from([3, 40, 1_000_000]),
    extreme=st.booleans(),
)
def test_bins_are_within_their_stated_bound(
    seed: int, num_labels: int, levels: int, extreme: bool
) -> None:
    generator = np.random.default_rng(seed)
    truth, scores = some_rows(int(generator.integers(1, 150)), num_labels, seed)
    scores = (np.round(scores * levels) / levels).astype(np.float32)
    if extreme:  # where the bins are widest in proportion, and their very edges
        scores = np.where(generator.random(scores.shape) < 0.5, scores**20, 1 - scores**20)
        edges = np.array([0, 0.5, 1, 2**-17, 2**-18, 1 - 2**-17, 1 - 2**-24], np.float32)
        chosen = generator.random(scores.shape) < 0.2
        scores = np.where(chosen, generator.choice(edges, scores.shape), scores)
    exact = ranked(truth, scores)

    binned = ranked(truth, scores, max_exact_cells=0)

    assert list(binned.errors) == [
        "mean_average_precision",
        "micro_roc_auc",
        "macro_roc_auc",
        "expected_calibration_error",
        "mean_label_ece",
    ]
    for name, bound in binned.errors.items():
        value, expected = binned.metrics[name], exact.metrics[name]
        if expected is None:
            assert value is None
        else:
            assert value is not None
            assert abs(value - expected) <= bound + 1e-9
    for label, expected_label in zip(binned.labels, exact.labels, strict=True):
        undefined = [label.roc_auc is None, label.average_precision is None]
        assert undefined == [
            expected_label.roc_auc is None,
            expected_label.average_precision is None,
        ]


def test_bins_of_many_rows_are_close() -> None:
    truth, scores = (values[:, 1:] for values in some_rows(20_000, 5))  # without its many ties

    exact, binned = ranked(truth, scores), ranked(truth, scores, max_exact_cells=79_999)

    errors = {
        name: bound for name, bound in binned.errors.items() if "auc" in name or "pre" in name
    }
    assert len(errors) == 3
    assert max(errors.values()) < 2e-3
    assert max(binned.errors.values()) < 3e-2  # the ends of the reliability bins
    assert replace(binned, errors={}).metrics == pytest.approx(exact.metrics, abs=2e-4)
    assert ranked(truth, scores, max_exact_cells=80_000).errors == {}


def test_wrong_shapes_and_scores_are_refused() -> None:
    with pytest.raises(LabelError, match=r"Truth has shape \(1, 2\) and scores \(1, 3\)"):
        ranked(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(LabelError, match="more rows than the 1 that were announced"):
        Ranking(1, 1).update(column(1, 0), column(1, 0))
    for score in (NAN, -0.1, 1.1):
        with pytest.raises(LabelError, match="A score is not between 0 and 1"):
            ranked(column(1), column(score))
