"""What an export changed, as a certificate: decisions, scores, metrics, speed; as text and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    counted,
    fitted,
    format_number,
    format_percent,
    listed,
    shown_labels,
)
from multihot.evaluation.comparison import LOWER_IS_BETTER, difference_cells
from multihot.evaluation.paired_tests import Difference

__all__ = ["PARITY_FORMAT", "ChangedText", "Flip", "LabelFlips", "ParityCertificate", "Speed"]

PARITY_FORMAT = 1
"""Version of the format of `parity.json`."""

_SHOWN_METRICS = (
    "jaccard",
    "micro_f1",
    "macro_f1",
    "subset_accuracy",
    "hamming_loss",
    "brier_score",
    "log_loss",
)
_SHOWN_TEXTS = 10
_SHOWN_FLIPS = 3
_INDENT = "  "

_ROUNDING = 1e-4
"""Up to so much, scores differ because sums are rounded elsewhere, not because weights are coarser."""


@dataclass(frozen=True)
class Speed:
    """Of one model, computing the texts of the certificate."""

    texts_per_second: float
    """By the clock."""
    texts_per_cpu_second: float
    """By the time that all processors together spent."""


@dataclass(frozen=True)
class LabelFlips:
    """In how many texts the decision about one label changed, and the thresholds of both models."""

    gained: int
    """Texts to which only the export gives the label."""
    lost: int
    """Texts to which only the model gives it."""
    model_threshold: float | None
    export_threshold: float | None
    """`None` where ranks decide (`top_k`)."""


@dataclass(frozen=True)
class Flip:
    """A changed decision about one label of one text."""

    label: str
    gained: bool
    """Whether the export gives the label; if not, only the model does."""
    model_score: float
    export_score: float


@dataclass(frozen=True)
class ChangedText:
    """A text whose set of labels changed."""

    row: int
    """Its number among the texts, from 1."""
    id: str
    text: str
    """Its beginning; what a terminal would obey or hide is escaped."""
    num_flips: int
    flips: Sequence[Flip]
    """The ones with the largest change of score first; of very many some."""


@dataclass(frozen=True)
class ParityCertificate:
    """An export and the model that it was made from, on the same texts; `print` it or take `to_json()`."""

    source: str
    """Where the texts came from, such as the name of a file."""
    texts_sha256: str
    """SHA-256 of the texts' hashes (`text_hashes`, little-endian), in their order."""
    rows: int
    max_flips: float
    """Fraction of decisions (a label of a text is one) that may change."""
    cells_flipped: int
    """Decisions that change because scores do: calibration and thresholds are those of the model, except
    of a folded export, which has them in its weights."""
    texts_changed: int
    """Texts with such a decision."""
    flips: Mapping[str, LabelFlips]
    """Such decisions by label, in the order of the labels."""
    changed_texts: Sequence[ChangedText]
    """At most a given number; every label with a change comes once before any comes twice."""
    cells_flipped_refitted: int | None
    """Decisions that differ when the export uses its own calibration and thresholds, which were fitted
    again; `None` where it has none of its own."""
    max_abs_difference: float | None
    mean_abs_difference: float | None
    """Of the scores of all labels of all texts; `None` where those of the export are no probabilities."""
    metrics: Mapping[str, Difference]
    """The export first, the model second, each with its own decision; empty where no label is known."""
    rows_known: int
    """Texts with at least one known label cell, which the metrics count."""
    rows_fitted: Mapping[str, int]
    """Texts that the thresholds of `model` and `export` were fitted on."""
    folded: bool = False
    """Whether thresholds are inside the weights, so that the export's scores are no probabilities."""
    form: str = ""
    """What was exported to, such as `onnx-int8`."""
    speed: Mapping[str, Speed] = field(default_factory=dict)
    weights_sha256: Mapping[str, str] = field(default_factory=dict)
    """Of `model` and `export`, both."""
    instruction_set: str = ""
    """Of the processor that computed, see `core.instruction_set`."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the packages that computed."""

    @property
    def labels(self) -> int:
        """The number of labels."""
        return len(self.flips)

    @property
    def fraction_flipped(self) -> float:
        """The fraction of decisions that changed."""
        return self.cells_flipped / (self.rows * self.labels)

    @property
    def passed(self) -> bool:
        """Whether no more decisions changed than may."""
        return self.fraction_flipped <= self.max_flips

    def to_json(self) -> dict[str, Any]:
        """Return the content of `parity.json` (see `schemas/parity.schema.json`)."""
        return {
            "format_version": PARITY_FORMAT,
            "passed": self.passed,
            "form": self.form,
            "source": self.source,
            "texts_sha256": self.texts_sha256,
            "rows": self.rows,
            "rows_known": self.rows_known,
            "rows_fitted": dict(self.rows_fitted),
            "labels": self.labels,
            "max_flips": self.max_flips,
            "fraction_flipped": self.fraction_flipped,
            "cells_flipped": self.cells_flipped,
            "cells_flipped_refitted": self.cells_flipped_refitted,
            "texts_changed": self.texts_changed,
            "folded": self.folded,
            "max_abs_difference": self.max_abs_difference,
            "mean_abs_difference": self.mean_abs_difference,
            "flips": {name: asdict(label) for name, label in self.flips.items()},
            "changed_texts": [
                {**asdict(one), "flips": [asdict(flip) for flip in one.flips]}
                for one in self.changed_texts
            ],
            "metrics": {
                name: {
                    "export": one.first,
                    "model": one.second,
                    "difference": one.difference,
                    "low": one.low,
                    "high": one.high,
                    "p_value": one.p_value,
                    "standard_error": one.standard_error,
                }
                for name, one in self.metrics.items()
            },
            "speed": {name: asdict(one) for name, one in self.speed.items()},
            "weights_sha256": dict(self.weights_sha256),
            "instruction_set": self.instruction_set,
            "versions": dict(self.versions),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label as a pandas data frame."""
        return as_frame(self.to_json()["flips"], "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return verdict, tables, texts and remarks for so many columns; of many labels, some, or all."""
        blocks = [
            [self.verdict()],
            self._metric_table(width),
            self._speed_table(width),
            self._label_table(width, all_labels=all_labels),
            self._texts(width),
            self.remarks(),
        ]
        return "\n\n".join("\n".join(block) for block in blocks if block)

    def verdict(self) -> str:
        """Return in one sentence whether the export passed, and by how much."""
        return (
            f"Parity {'passed' if self.passed else 'failed'}: {self.cells_flipped} of "
            f"{counted(self.rows * self.labels, 'decision')} changed "
            f"({format_percent(self.fraction_flipped, 3)}; at most {100 * self.max_flips:g} % may), in "
            f"{self.texts_changed} of {counted(self.rows, 'text')}."
        )

    def _metric_table(self, width: int) -> list[str]:
        rows = [
            [name, *difference_cells(one, 4)]
            for name, one in self.metrics.items()
            if name in _SHOWN_METRICS
        ]
        heads = ["metric", "export", "model", "difference (95 % interval)"]
        return aligned(heads, rows, width=width) if rows else []

    def _speed_table(self, width: int) -> list[str]:
        rows = []
        if {"export", "model"} <= set(self.speed):
            export, model = (asdict(self.speed[name]) for name in ("export", "model"))
            for name, one in export.items():
                ratio = f"{one / model[name]:.2f}x" if model[name] else "-"
                rows.append([name.replace("_", " "), f"{one:.1f}", f"{model[name]:.1f}", ratio])
        heads = ["speed", "export", "model", "ratio"]
        return aligned(heads, rows, width=width) if rows else []

    def _label_table(self, width: int, *, all_labels: bool) -> list[str]:
        changed = {
            n: one.gained + one.lost for n, one in self.flips.items() if one.gained or one.lost
        }
        if not changed:
            return []
        shown, left_out = shown_labels(changed, every=all_labels)
        rows = []
        for name in shown:
            one = self.flips[name]
            thresholds = map(format_number, (one.model_threshold, one.export_threshold))
            rows.append([name, str(one.gained), str(one.lost), *thresholds])
        heads = ["label", "gained", "lost", "threshold", "of the export"]
        if others := self.labels - len(changed):
            left_out.append(f"No decision about the other {counted(others, 'label')} changed.")
        return [*aligned(heads, rows, width=width), *left_out]

    def _texts(self, width: int) -> list[str]:
        shown, lines = self.changed_texts[:_SHOWN_TEXTS], []
        for one in shown:
            moves = "; ".join(map(_shown_flip, one.flips[:_SHOWN_FLIPS]))
            more = one.num_flips - min(len(one.flips), _SHOWN_FLIPS)
            lines.append(fitted(f"{one.id}: {moves}{f'; {more} more' if more else ''}", width))
            lines.append(_INDENT + fitted(one.text, width - len(_INDENT)))
        if shown and (left := self.texts_changed - len(shown)):
            quoted = len(self.changed_texts)
            of_them = "all texts" if quoted == self.texts_changed else f"{quoted} texts"
            lines.append(f"{counted(left, 'more text')} changed; the JSON quotes {of_them}.")
        return lines

    def remarks(self) -> list[str]:
        """Return what a reader must know beside the figures, in sentences."""
        remarks = [f"Texts: {self.source}."]
        if self.instruction_set:
            remarks.append(f"Instruction set: {self.instruction_set}.")
        largest, mean = self.max_abs_difference, self.mean_abs_difference
        if largest is None or mean is None:
            remarks.append(
                "Thresholds are in the weights: the scores of the export are no probabilities."
            )
        else:
            remarks.append(
                f"Scores differ by at most {_small(largest)}, by {_small(mean)} on average."
                if largest
                else "Scores are equal to the last bit."
            )
            if self.cells_flipped and largest <= _ROUNDING:
                remarks.append(
                    "The differences are those of rounding: decisions change where a score is that near "
                    "to its threshold."
                )
        if self.cells_flipped_refitted is not None:
            remarks.append(
                "The export has thresholds or a calibration of its own, which the metrics use: with them "
                f"{counted(self.cells_flipped_refitted, 'decision differs', 'decisions differ')}."
            )
        num_fitted = max(self.rows_fitted.values(), default=0)
        if num_fitted and self.metrics:
            remarks.append(
                f"Thresholds were fitted on {num_fitted} of these texts: the metrics are optimistic."
            )
        if not self.metrics:
            remarks.append("No label of the texts is known, so no metric was computed.")
        elif lower := [name for name in LOWER_IS_BETTER if name in self.metrics]:
            remarks.append(f"Lower is better for {listed(lower)}.")
        return remarks


def _shown_flip(flip: Flip) -> str:
    sign = "+" if flip.gained else "-"
    return f"{sign}{flip.label} ({flip.model_score:.4f} -> {flip.export_score:.4f})"


def _small(value: float) -> str:
    """Return a difference of scores with digits that say something, however small it is."""
    return f"{value:.1e}" if 0 < value < 0.001 else f"{value:.4f}"
