"""Metrics of the scores themselves, without a threshold: ranking and calibration.

Letters: `N` texts, `L` labels. Truth is float32 (N, L) with 1 = positive, 0 = negative, NaN = unknown;
unknown cells count in nothing. What is undefined is `None`. The packed cells of all texts are kept in
memory, or in a file that vanishes with the array.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import numpy.typing as npt

from multihot.errors import LabelError, StorageError
from multihot.evaluation.calibration_error import (
    Reliability,
    error_intervals,
    num_simulations,
    reliability_of,
    reliability_of_bins,
)
from multihot.evaluation.intervals import Interval, logit_interval
from multihot.evaluation.ranking_cells import UNKNOWN, Areas, BinnedCells, areas_of, packed_cells
from multihot.evaluation.ranking_intervals import (
    INFLUENCED,
    Influences,
    binned_influences,
    exact_influences,
    is_near,
    standard_errors,
)

__all__ = ["MAX_CELLS_IN_MEMORY", "MAX_EXACT_CELLS", "Ranking", "RankingMetrics", "new_cells"]

FloatArray = npt.NDArray[np.float32]

MAX_CELLS_IN_MEMORY = 1 << 22
"""16 MB; more cells are kept in a file."""

MAX_EXACT_CELLS = 1 << 28
"""Cells (texts times labels) up to which ranking metrics are exact: 1 GiB in the temporary folder."""

_BYTES_AT_ONCE = 1 << 20
_ERRORS = ("expected_calibration_error", "mean_label_ece")


def new_cells(
    num_labels: int, num_rows: int, *, max_in_memory: int = MAX_CELLS_IN_MEMORY
) -> npt.NDArray[np.uint32]:
    """Return room for all cells, uninitialised. *Shape:* (L, N), uint32.

    Raises `StorageError` when the temporary folder has no room for them.
    """
    num_cells = num_labels * num_rows
    if num_cells <= max_in_memory:
        return np.empty((num_labels, num_rows), dtype=np.uint32)
    try:
        with tempfile.TemporaryFile(prefix="multihot-") as handle:
            _reserve(handle, 4 * num_cells)
            return np.memmap(handle, dtype=np.uint32, mode="r+", shape=(num_labels, num_rows))
    except OSError as error:
        raise StorageError(
            f"Ranking metrics of {num_rows} texts and {num_labels} labels need a temporary file of "
            f"{4e-6 * num_cells:.0f} MB, which {tempfile.gettempdir()} refuses: "
            f"{error.strerror or error}. Free some space, or name another folder in TMPDIR."
        ) from error


def _reserve(handle: IO[bytes], num_bytes: int) -> None:
    """Make a file that large, with all of its room: a full disk is fatal once it is mapped."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle.fileno(), 0, num_bytes)
        return
    for start in range(0, num_bytes, _BYTES_AT_ONCE):
        handle.write(bytes(min(_BYTES_AT_ONCE, num_bytes - start)))
    handle.flush()


@dataclass(frozen=True)
class RankingMetrics:
    """What the scores say."""

    metrics: dict[str, float | None]
    """`mean_average_precision`, `micro_roc_auc`, `macro_roc_auc`, `expected_calibration_error`,
    `mean_label_ece`, each between 0 and 1; with simulations the two errors `_if_calibrated`."""
    errors: dict[str, float]
    """How far the exact value may be from a metric that was computed from bins; else empty."""
    labels: list[Areas]
    """The areas of each label, in column order."""
    reliability: list[Reliability] = field(compare=False)
    """The bins of each label, in column order."""
    intervals: dict[str, Interval] = field(default_factory=dict)
    """Those that were asked for and can be computed."""
    label_error_intervals: list[Interval | None] = field(default_factory=list)
    """Of the expected calibration error of each label; empty where that is not computed."""


@dataclass(frozen=True)
class _Cells:
    """What is found out about all cells."""

    areas: list[Areas]
    pooled_areas: Areas
    reliability: list[Reliability]
    pooled_reliability: Reliability


class Ranking:
    """Metrics of scores of rows that are added chunk by chunk; the chunks make no difference.

    Up to `max_exact_cells` the cells are kept, above `max_cells_in_memory` in an unnamed file in the
    temporary folder (4 bytes a cell), and sorted label by label at the end. Beyond, cells are
    counted in bins; then `RankingMetrics.errors` bounds the error.

    With `intervals`, areas get one as long as they are exact and, for cells in a file, bins tell their
    scores apart (`is_near`); calibration errors as long as the cells are in memory; and the errors of
    calibrated scores are simulated.
    """

    def __init__(
        self,
        num_rows: int,
        num_labels: int,
        *,
        max_exact_cells: int = MAX_EXACT_CELLS,
        max_cells_in_memory: int = MAX_CELLS_IN_MEMORY,
        intervals: bool = False,
        seed: int = 0,
    ) -> None:
        self._shape = num_labels, num_rows
        self._in_memory = num_rows * num_labels <= max_cells_in_memory
        self._num_rows = self._num_known_rows = 0
        self._known = np.zeros(num_labels, dtype=np.int64)
        self._seed = seed
        self._with_intervals = intervals
        self._simulations = num_simulations(num_rows * num_labels) if intervals else 0
        self._bins: BinnedCells | None = None
        self._keys: npt.NDArray[np.uint32] | None = None
        if num_rows * num_labels > max_exact_cells:
            self._bins = BinnedCells(num_labels)
        else:
            self._keys = new_cells(num_labels, num_rows, max_in_memory=max_cells_in_memory)
            if intervals and not self._in_memory:
                self._bins = BinnedCells(num_labels)

    def update(self, truth: FloatArray, scores: FloatArray) -> None:
        """Add rows.

        Parameters
        ----------
        truth
            *Shape:* (rows, L), float32, each 0, 1 or NaN (unknown).
        scores
            *Shape:* (rows, L), float32, each between 0 and 1.

        Raises
        ------
        LabelError
            The shapes differ, there are more rows than announced, or a score is not between 0 and 1.
        """
        scores = np.asarray(scores, dtype=np.float32)
        _check(truth, scores, self._shape, self._num_rows)
        known = ~np.isnan(truth)
        start, self._num_rows = self._num_rows, self._num_rows + len(truth)
        self._num_known_rows += int(known.any(axis=1).sum())
        self._known += known.sum(axis=0)
        if self._bins is not None:
            self._bins.update(truth, scores)
        if self._keys is not None:
            self._keys[:, start : self._num_rows] = packed_cells(truth, scores).T

    def result(self) -> RankingMetrics:
        """Return the metrics; after this no rows can be added.

        The means over labels leave out the labels for which the value is undefined.
        """
        is_exact = self._keys is not None
        areas, unsorted = self._uncertain_areas(), None
        if self._with_intervals and self._keys is not None and self._in_memory:
            unsorted = self._keys[:, : self._num_rows].copy()
        cells = self._cells()
        metrics, bounds = _metrics(cells)
        intervals: dict[str, Interval] = {}
        for name, (ranked, error, bias) in areas.items():
            if (value := metrics[name]) is not None and is_near(value, ranked, error):
                intervals[name] = logit_interval(value, error, self._num_known_rows, bias)
        of_labels: list[Interval | None] = []
        if unsorted is not None:
            *of_labels, pooled, mean = error_intervals(
                unsorted, cells.reliability, cells.pooled_reliability, self._seed
            )
            named = zip(_ERRORS, (pooled, mean), strict=True)
            intervals |= {name: one for name, one in named if one is not None}
        if self._with_intervals:
            for name, drawn in zip(_ERRORS, _simulated(cells), strict=True):
                is_there = len(drawn) > 0
                metrics[f"{name}_if_calibrated"] = float(drawn.mean()) if is_there else None
                if is_there:
                    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
                    intervals[f"{name}_if_calibrated"] = low, high
        return RankingMetrics(
            metrics=metrics,
            errors={} if is_exact else bounds,
            labels=cells.areas,
            reliability=cells.reliability,
            intervals=intervals,
            label_error_intervals=of_labels,
        )

    def area_metrics(self) -> dict[str, float | None]:
        """Return `INFLUENCED` alone, which is much faster than `result`; it is the end of both."""
        if self._keys is None:
            assert self._bins is not None
            found = _area_metrics(self._bins.per_label(), self._bins.pooled())
        else:
            areas = self._sorted_areas(lambda _: None)
            found = _area_metrics(areas[:-1], areas[-1])
        return {name: value for name, (value, _) in found.items()}

    def influences(self) -> Influences | None:
        """Return the influence of each row on `INFLUENCED`; to be asked before `result`.

        `None` where the cells were not kept, or without `intervals`.
        """
        if self._keys is None or not self._with_intervals:
            return None
        keys = self._keys[:, : self._num_rows]
        return exact_influences(keys) if self._bins is None else binned_influences(keys, self._bins)

    def _uncertain_areas(self) -> dict[str, tuple[float, float, float]]:
        """Return `INFLUENCED` as ranked, with standard errors and biases; none where not known."""
        found = self.influences()
        if found is None:
            return {}
        errors = standard_errors(found.blocks, self._num_known_rows)
        columns = found.values.tolist(), errors.tolist(), found.biases.tolist()
        return dict(zip(INFLUENCED, zip(*columns, strict=True), strict=True))

    def _cells(self) -> _Cells:
        """Return the areas and bins of each label and of all cells together."""
        if self._keys is None:
            assert self._bins is not None
            bins, edges = self._bins, self._bins.edges()

            def binned(counts: npt.NDArray[np.int64]) -> Reliability:
                return reliability_of_bins(
                    counts[1], counts[0], edges, self._seed, self._simulations
                )

            each = [binned(bins.counts[:, column]) for column in range(self._shape[0])]
            return _Cells(bins.per_label(), bins.pooled(), each, binned(bins.counts.sum(axis=1)))
        found: list[Reliability] = []
        *areas, pooled = self._sorted_areas(
            lambda cells: found.append(reliability_of(cells, self._seed, self._simulations))
        )
        return _Cells(areas, pooled, found[:-1], found[-1])

    def _sorted_areas(self, look: Callable[[npt.NDArray[np.uint32]], None]) -> list[Areas]:
        """Return the areas of each label and of all cells; `look` receives the cells of each, sorted."""
        stored, self._keys = self._keys, None
        assert stored is not None
        keys = np.asarray(stored)  # the same memory; views of a mapped file are slow to make
        keys[:, self._num_rows :] = UNKNOWN
        areas = []
        for column, num_known in zip(keys, self._known.tolist(), strict=True):
            column.sort()  # where it lies, so that a file is not read into memory
            areas.append(areas_of(column[:num_known]))
            look(column[:num_known])
        everything = keys.reshape(-1)
        everything.sort()
        everything = everything[: int(self._known.sum())]
        look(everything)
        return [*areas, areas_of(everything)]


def _area_metrics(areas: Sequence[Areas], pooled: Areas) -> dict[str, tuple[float | None, float]]:
    """Return `INFLUENCED`, each with its error."""
    return {
        "mean_average_precision": _mean(
            [(one.average_precision, one.average_precision_error) for one in areas]
        ),
        "micro_roc_auc": (pooled.roc_auc, pooled.roc_auc_error),
        "macro_roc_auc": _mean([(one.roc_auc, one.roc_auc_error) for one in areas]),
    }


def _metrics(cells: _Cells) -> tuple[dict[str, float | None], dict[str, float]]:
    """Return the metrics of all cells, and how far the exact values may be from them."""
    pooled = cells.pooled_areas, cells.pooled_reliability
    found = {
        **_area_metrics(cells.areas, pooled[0]),
        "expected_calibration_error": (pooled[1].error, pooled[1].error_bound),
        "mean_label_ece": _mean([(one.error, one.error_bound) for one in cells.reliability]),
    }
    values = {name: value for name, (value, _) in found.items()}
    return values, {name: bound for name, (_, bound) in found.items()}


def _simulated(cells: _Cells) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the errors of calibrated scores in each simulation: of all cells, and the labels' mean."""
    of_labels = [one.simulated for one in cells.reliability if len(one.counts)]
    if not of_labels:
        return np.zeros(0), np.zeros(0)
    return cells.pooled_reliability.simulated, np.mean(of_labels, axis=0)


def _mean(values: list[tuple[float | None, float]]) -> tuple[float | None, float]:
    """Return the means of the defined values and of their errors."""
    defined = [(value, error) for value, error in values if value is not None]
    if not defined:
        return None, 0.0
    sums = [math.fsum(column) for column in zip(*defined, strict=True)]
    return sums[0] / len(defined), sums[1] / len(defined)


def _check(truth: FloatArray, scores: FloatArray, shape: tuple[int, int], num_before: int) -> None:
    if truth.ndim != 2 or truth.shape != scores.shape or truth.shape[1] != shape[0]:
        raise LabelError(
            f"Truth has shape {truth.shape} and scores {scores.shape}; "
            f"expected (rows, {shape[0]}) for both."
        )
    if num_before + len(truth) > shape[1]:
        raise LabelError(f"There are more rows than the {shape[1]} that were announced.")
    if not ((scores >= 0) & (scores <= 1)).all():  # also false for NaN
        raise LabelError("A score is not between 0 and 1.")
