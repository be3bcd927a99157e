"""Fitting on very many cells: the results of fewer, and memory for a handful of bytes a cell."""

from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from multihot.core import blocks
from multihot.core.labels import LabelSpace
from multihot.decision import calibration, scored_cells, thresholds
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.decision.sweep_in_parts import threshold_in_parts

KINDS = ("global", "per_label", "shrunk", "by_frequency=0.5")


def drawn(num_rows: int, num_labels: int) -> tuple[LabelSpace, FittingRows]:
    generator = np.random.default_rng(0)
    truth = (generator.random((num_rows, num_labels)) < 0.05).astype(np.float32)
    logits = (generator.normal(size=truth.shape) + 3 * truth - 3).astype(np.float32)
    truth[generator.random(truth.shape) < 0.02] = np.nan
    truth[3] = np.nan
    space = LabelSpace(tuple(f"l{number}" for number in range(num_labels)))
    hashes = generator.integers(2**63, size=num_rows).astype(np.uint64)
    return space, FittingRows(logits, truth, hashes)


def in_small_parts(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    for each in (blocks.row_blocks, blocks.column_blocks):
        monkeypatch.setitem(each.__kwdefaults__, "cells", cells)
    monkeypatch.setattr(thresholds, "_VERY_MANY_CELLS", 1)
    small = partial(threshold_in_parts, largest_part=cells)
    monkeypatch.setattr(thresholds, "threshold_in_parts", small)
    monkeypatch.setattr(thresholds, "BLOCK_CELLS", cells)
    monkeypatch.setattr(scored_cells, "_MAX_SORTED_CELLS", cells)


def fitted(goal: str, kind: str, method: str = "none") -> Decision:
    space, rows = drawn(200, 150)
    options = DecisionOptions(goal, kind, method)
    return fit(space, rows, options, source="x").decision.with_facts(rows.logits, rows.truth)


@pytest.mark.parametrize("goal", ["micro_f1", "macro_f1", "jaccard", "recall>=0.6"])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_make_no_difference(goal: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(goal, kind)
    in_small_parts(monkeypatch, 777)

    assert fitted(goal, kind).to_json() == whole.to_json()


@pytest.mark.parametrize("method", ["temperature", "platt", "beta", "isotonic"])
def test_calibrations_differ_by_rounding_alone(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rows = drawn(200, 150)
    whole = fitted("micro_f1", "global", method)
    in_small_parts(monkeypatch, 777)
    monkeypatch.setattr(calibration, "_MANY_CELLS", 1)
    monkeypatch.setattr(calibration, "_BLOCKS_AT_ONCE", 1)

    parts = fitted("micro_f1", "global", method)

    assert whole.calibration is not None
    assert parts.calibration is not None
    assert parts.calibration.temperature == pytest.approx(whole.calibration.temperature, rel=1e-7)
    np.testing.assert_allclose(
        parts.own_scores(rows.logits), whole.own_scores(rows.logits), rtol=2e-6
    )


def test_rare_labels_of_very_many_share_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    space, rows = drawn(200, 150)
    truth = rows.truth.copy()
    truth[20:, ::2] = 0  # too rare for a map of their own

    def offset() -> npt.NDArray[np.float64]:
        found, _ = calibration.fit_calibration("platt", rows.logits, truth, space.names)
        assert found.maps[0] is not None
        return np.array(found.maps[0])

    whole = offset()
    monkeypatch.setattr(calibration, "_MANY_CELLS", 1)

    np.testing.assert_allclose(offset(), whole, rtol=1e-7)


@pytest.mark.parametrize("goal", ["micro_f1", "jaccard"])
@pytest.mark.parametrize(("kind", "most_bytes"), [("global", 6), ("per_label", 18), ("shrunk", 32)])
def test_memory_is_a_few_bytes_a_cell(
    goal: str, kind: str, most_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beside logits and truth: the scores, 4 bytes. Single labels are fitted on the rows with a known cell,
    # whose scores and truth are copied, and on decisions of one byte; shrunk
    # ones on four fifths of the rows, too.
    space, rows = drawn(1000, 2000)
    in_small_parts(monkeypatch, 1 << 14)
    tracemalloc.start()
    try:
        fit(space, rows, DecisionOptions(goal, kind), source="x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < most_bytes * rows.logits.size + 3e6
