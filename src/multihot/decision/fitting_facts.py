"""What the rows that fitted a decision looked like to the model: what later texts are compared with.

Letters: `N` texts, `L` labels, `B` bins. No text and no label of a single row is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.blocks import column_blocks
from multihot.core.files import required_value, required_values
from multihot.core.text_facts import TextFacts
from multihot.core.text_tables import cut
from multihot.errors import ArtifactError

__all__ = ["LEAST_CELLS", "FittingFacts", "LabelFacts", "measured_facts"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

LEAST_CELLS = 5
"""Rows with and rows without a label that its histogram needs."""
_MAX_BINS = 12
_MAX_STORED_BINS = 64
_LARGEST = 1e4

_STORED = {
    "edges": str,
    "positives": str,
    "negatives": str,
    "given_positives": int,
    "given_negatives": int,
}
_STORED_OF_ALL = {"rows": int, "without_label": int, "labels": dict}


@dataclass(frozen=True)
class LabelFacts:
    """One label's histogram of logits, before any calibration, and how its decisions went."""

    edges: tuple[float, ...]
    """Rising; a logit belongs to the bin behind the last edge that it reaches. *Length:* B - 1."""
    positives: tuple[int, ...]
    """Rows that have the label, by bin."""
    negatives: tuple[int, ...]
    """Rows that do not."""
    given_positives: int
    """Of those that have it, the rows that got it."""
    given_negatives: int

    @property
    def prevalence(self) -> float:
        """The fraction of the known rows that have the label."""
        return sum(self.positives) / (sum(self.positives) + sum(self.negatives))

    def to_json(self) -> dict[str, Any]:
        """Return one of the `labels`; numbers are joined by blanks, a line for each list."""
        return {
            "edges": " ".join(f"{edge:g}" for edge in self.edges),
            "positives": " ".join(map(str, self.positives)),
            "negatives": " ".join(map(str, self.negatives)),
            "given_positives": self.given_positives,
            "given_negatives": self.given_negatives,
        }

    @classmethod
    def from_json(cls, content: Any) -> LabelFacts:
        """Read what `to_json` wrote; raise `ArtifactError` for anything else."""
        stored = required_values(content, _STORED)
        try:
            facts = cls(
                tuple(map(float, stored["edges"].split())),
                tuple(map(int, stored["positives"].split())),
                tuple(map(int, stored["negatives"].split())),
                stored["given_positives"],
                stored["given_negatives"],
            )
        except ValueError:
            raise ArtifactError(f"It is {cut(content)}; expected numbers.") from None
        if not facts._is_sound():
            raise ArtifactError(f"It is {cut(content)}; expected a histogram.")
        return facts

    def _is_sound(self) -> bool:
        num_bins, counts = len(self.positives), (*self.positives, *self.negatives)
        rising = all(one < two for one, two in zip(self.edges, self.edges[1:], strict=False))
        return (
            1 <= num_bins <= _MAX_STORED_BINS
            and len(self.negatives) == num_bins == len(self.edges) + 1
            and rising
            and all(math.isfinite(edge) for edge in self.edges)
            and all(0 <= count < 2**53 for count in counts)
            and sum(self.positives) > 0 < sum(self.negatives)
            and 0 <= self.given_positives <= sum(self.positives)
            and 0 <= self.given_negatives <= sum(self.negatives)
        )


@dataclass(frozen=True)
class FittingFacts:
    """The rows that fitted a decision."""

    rows: int
    without_label: int
    """Rows that got no label."""
    labels: Mapping[str, LabelFacts] = field(default_factory=dict)
    """By name; a label with fewer than `LEAST_CELLS` rows with or without it is not there."""
    texts: TextFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the key `fitting_facts` of `thresholds.json`."""
        return {
            "rows": self.rows,
            "without_label": self.without_label,
            "labels": {name: each.to_json() for name, each in self.labels.items()},
            "texts": None if self.texts is None else self.texts.to_json(),
        }

    @classmethod
    def from_json(cls, content: Any, names: tuple[str, ...]) -> FittingFacts:
        """Read what `to_json` wrote; raise `ArtifactError` naming the key that is wrong."""
        try:
            stored = required_values(content, _STORED_OF_ALL)
            texts = required_value(content, "texts", dict | None)
            rows, without = stored["rows"], stored["without_label"]
            if not 0 <= without <= rows or rows < 1:
                raise ArtifactError(f"It has {rows} rows, {without} of them without a label.")
            known = set(names)
            if unknown := [name for name in stored["labels"] if name not in known]:
                raise ArtifactError(f"'labels' names an unknown label: {cut(unknown[0])}.")
            labels = {name: LabelFacts.from_json(each) for name, each in stored["labels"].items()}
            return cls(rows, without, labels, None if texts is None else TextFacts.from_json(texts))
        except ArtifactError as error:
            raise ArtifactError(f"The key 'fitting_facts' is invalid. {error}") from None

    def with_lines(
        self,
        names: tuple[str, ...],
        slope: npt.NDArray[np.float64],
        offset: npt.NDArray[np.float64],
    ) -> FittingFacts:
        """Return the facts of a network whose logits are lines of the former ones. *Shapes:* (L,)."""
        labels = {}
        columns = {name: column for column, name in enumerate(names)}
        for name, each in self.labels.items():
            column = columns[name]
            edges = [float(slope[column]) * edge + float(offset[column]) for edge in each.edges]
            labels[name] = LabelFacts(
                tuple(edges),
                each.positives,
                each.negatives,
                each.given_positives,
                each.given_negatives,
            )
        return FittingFacts(self.rows, self.without_label, labels, self.texts)


def measured_facts(
    names: tuple[str, ...],
    logits: FloatArray,
    truth: FloatArray,
    decided: BoolArray,
    texts: TextFacts | None = None,
) -> FittingFacts:
    """Return the facts of the rows that fitted a decision.

    Parameters
    ----------
    names
        The labels.
    logits, truth, decided
        Logits of the network, truth (0, 1 or NaN) and what the decision makes of them. *Shape:* (N, L);
        N is at least 1.
    texts
        How the tokenizer reads them, where that is known.
    """
    labels = {}
    for columns in column_blocks(truth.shape):
        # Turned, since the values of one label then lie side by side.
        turned = (np.ascontiguousarray(each[:, columns].T) for each in (logits, truth, decided))
        for name, own, cells, given in zip(names[columns], *turned, strict=True):
            known = ~np.isnan(cells)
            positive = cells[known] == 1
            if min(int(positive.sum()), int((~positive).sum())) >= LEAST_CELLS:
                labels[name] = _label_facts(own[known], positive, given[known])
    without = int((~decided.any(axis=1)).sum())
    return FittingFacts(len(logits), without, labels, texts)


def _label_facts(logits: FloatArray, positive: BoolArray, given: BoolArray) -> LabelFacts:
    num_positive = int(positive.sum())
    values = np.clip(logits.astype(np.float64), -_LARGEST, _LARGEST)
    num_bins = min(_MAX_BINS, num_positive, len(values) - num_positive)
    # Rows with and rows without the label weigh the same, so that bins resolve both.
    weights = np.where(positive, 0.5 / num_positive, 0.5 / (len(values) - num_positive))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, np.arange(1, num_bins) / num_bins)
    # As they are stored.
    found = [float(f"{value:g}") for value in values[order][np.minimum(at, len(order) - 1)]]
    edges = np.unique(np.array(found))
    bins = np.searchsorted(edges, values, side="right")
    size = len(edges) + 1
    return LabelFacts(
        tuple(edges.tolist()),
        tuple(np.bincount(bins[positive], minlength=size).tolist()),
        tuple(np.bincount(bins[~positive], minlength=size).tolist()),
        int(given[positive].sum()),
        int(given[~positive].sum()),
    )
