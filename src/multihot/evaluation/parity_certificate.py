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

__all__ = [
    "PARITY_FORMAT",
    "ChangedText",
    "ComparedModel",
    "Flip",
    "LabelFlips",
    "ParityCertificate",
]

PARITY_FORMAT = 1
"""Version of the format of `parity.json`."""

_ROUNDING = 1e-4
"""Up to so much, scores differ because sums are rounded elsewhere, not because weights are coarser."""
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


@dataclass(frozen=True)
class ComparedModel:
    """One of the two models: what it is called, its files, and how fast it was."""

    name: str
    """What computes it, such as `torch` or `onnx-int8`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the files with its weights, by their paths inside the folder."""
    texts_per_second: float | None = None
    """By the clock."""
    texts_per_cpu_second: float | None = None
    """By the time that all processors together spent."""


@dataclass(frozen=True)
class LabelFlips:
    """In how many texts the decision about one label changed, and the thresholds of both models."""

    added: int
    """Texts to which only the exported model gives the label."""
    removed: int
    """Texts to which only the reference gives it."""
    reference_threshold: float | None
    exported_threshold: float | None
    """`None` where ranks decide (`top_k`)."""


@dataclass(frozen=True)
class Flip:
    """A changed decision about one label of one text."""

    label: str
    added: bool
    """Whether the exported model gives the label; if not, only the reference does."""
    reference_score: float
    exported_score: float


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
    """An exported model against its reference on the same texts; `print` it or take `to_json()`."""

    reference: ComparedModel
    exported: ComparedModel
    source: str
    """Where the texts came from, such as the name of a file."""
    texts_sha256: str
    """SHA-256 of the texts' hashes (`text_hashes`, little-endian), in their order."""
    rows: int
    max_flips: float
    """The largest allowed fraction of changed decisions."""
    num_flips: int
    """Decisions (a label of a text is one) that differ."""
    num_flips_by_scores: int | None
    """Decisions that would differ if the exported model decided like the reference, with the same
    thresholds and calibration; `None` where scores are no probabilities (`folded`)."""
    num_texts_changed: int
    max_score_difference: float | None
    mean_score_difference: float | None
    """Of all labels of all texts; `None` where scores are no probabilities (`folded`)."""
    labels: Mapping[str, LabelFlips]
    changed_texts: Sequence[ChangedText]
    """At most a given number; every label with a change comes once before any comes twice."""
    metrics: Mapping[str, Difference]
    """The exported model first, the reference second; empty where there is no truth."""
    rows_known: int
    """Texts with at least one known label cell, which the metrics count."""
    rows_fitted: tuple[int, int]
    """Texts that the thresholds of the reference, and of the export, were fitted on."""
    instruction_set: str
    threads: int | None
    versions: Mapping[str, str]
    """Of the packages that computed."""
    folded: bool = False
    """Whether thresholds are inside the weights, so that the export's scores are no probabilities."""

    @property
    def num_decisions(self) -> int:
        """Texts times labels."""
        return self.rows * len(self.labels)

    @property
    def fraction_flipped(self) -> float:
        """The fraction of decisions that changed."""
        return self.num_flips / self.num_decisions

    @property
    def passed(self) -> bool:
        """Whether no more decisions changed than are allowed."""
        return self.fraction_flipped <= self.max_flips

    def to_json(self) -> dict[str, Any]:
        """Return the content of `parity.json` (see `schemas/parity.schema.json`)."""
        return {
            "format_version": PARITY_FORMAT,
            "passed": self.passed,
            "max_flips": self.max_flips,
            "source": self.source,
            "texts_sha256": self.texts_sha256,
            "rows": self.rows,
            "rows_known": self.rows_known,
            "rows_fitted": {"reference": self.rows_fitted[0], "exported": self.rows_fitted[1]},
            "decisions": self.num_decisions,
            "decisions_changed": self.num_flips,
            "fraction_changed": self.fraction_flipped,
            "decisions_changed_by_scores": self.num_flips_by_scores,
            "texts_changed": self.num_texts_changed,
            "folded": self.folded,
            "max_score_difference": self.max_score_difference,
            "mean_score_difference": self.mean_score_difference,
            "labels": {name: asdict(label) for name, label in self.labels.items()},
            "changed_texts": [
                {**asdict(one), "flips": [asdict(flip) for flip in one.flips]}
                for one in self.changed_texts
            ],
            "metrics": {
                name: {
                    "exported": one.first,
                    "reference": one.second,
                    "difference": one.difference,
                    "low": one.low,
                    "high": one.high,
                    "p_value": one.p_value,
                    "standard_error": one.standard_error,
                }
                for name, one in self.metrics.items()
            },
            "models": {
                role: {**asdict(model), "files": dict(model.files)}
                for role, model in (("reference", self.reference), ("exported", self.exported))
            },
            "instruction_set": self.instruction_set,
            "threads": self.threads,
            "versions": dict(self.versions),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label as a pandas data frame."""
        return as_frame(self.to_json()["labels"], "label")

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
            f"Parity {'passed' if self.passed else 'failed'}: {self.exported.name} changes "
            f"{self.num_flips} of {counted(self.num_decisions, 'decision')} of {self.reference.name} "
            f"({format_percent(self.fraction_flipped, 3)}; at most {100 * self.max_flips:g} % may "
            f"change), in {self.num_texts_changed} of {counted(self.rows, 'text')}."
        )

    def _metric_table(self, width: int) -> list[str]:
        if not self.metrics:
            return []
        rows = [
            [name, *difference_cells(one, 4)]
            for name, one in self.metrics.items()
            if name in _SHOWN_METRICS
        ]
        heads = ["metric", self.exported.name, self.reference.name, "difference (95 % interval)"]
        return aligned(heads, rows, width=width)

    def _speed_table(self, width: int) -> list[str]:
        rows = []
        for name in ("texts_per_second", "texts_per_cpu_second"):
            one, other = (getattr(model, name) for model in (self.exported, self.reference))
            if one is not None and other is not None:
                ratio = f"{one / other:.2f}x" if other else "-"
                rows.append([name.replace("_", " "), f"{one:.1f}", f"{other:.1f}", ratio])
        if not rows:
            return []
        threads = "" if self.threads is None else f", {counted(self.threads, 'thread')}"
        heads = ["speed", self.exported.name, self.reference.name, "ratio"]
        return [
            *aligned(heads, rows, width=width),
            f"Instruction set: {self.instruction_set}{threads}.",
        ]

    def _label_table(self, width: int, *, all_labels: bool) -> list[str]:
        changed = {
            name: one.added + one.removed
            for name, one in self.labels.items()
            if one.added or one.removed
        }
        if not changed:
            return []
        shown, left_out = shown_labels(changed, every=all_labels)
        rows = []
        for name in shown:
            one = self.labels[name]
            thresholds = map(format_number, (one.reference_threshold, one.exported_threshold))
            rows.append([name, str(one.added), str(one.removed), *thresholds])
        heads = ["label", "added", "removed", "threshold", "of the export"]
        others = len(self.labels) - len(changed)
        if others:
            left_out.append(f"No decision about the other {counted(others, 'label')} changed.")
        return [*aligned(heads, rows, width=width), *left_out]

    def _texts(self, width: int) -> list[str]:
        lines = []
        for one in self.changed_texts[:_SHOWN_TEXTS]:
            moves = "; ".join(map(_shown_flip, one.flips[:_SHOWN_FLIPS]))
            more = one.num_flips - min(len(one.flips), _SHOWN_FLIPS)
            lines.append(fitted(f"{one.id}: {moves}{f'; {more} more' if more else ''}", width))
            lines.append(_INDENT + fitted(one.text, width - len(_INDENT)))
        left = self.num_texts_changed - len(lines) // 2
        if lines and left:
            lines.append(
                f"{counted(left, 'more text')} changed; parity.json quotes "
                f"{len(self.changed_texts)} of all."
            )
        return lines

    def remarks(self) -> list[str]:
        """Return what a reader must know beside the figures, in sentences."""
        remarks = [f"Texts: {self.source}."]
        largest, mean = self.max_score_difference, self.mean_score_difference
        if largest is None or mean is None:
            remarks.append(
                "The thresholds are in the weights: scores of the export are no probabilities."
            )
        else:
            remarks.append(
                f"Scores differ by at most {_small(largest)}, by {_small(mean)} on average."
            )
            if self.num_flips_by_scores and largest <= _ROUNDING:
                remarks.append(
                    "The differences are those of rounding: decisions change where a score is that near "
                    "to its threshold."
                )
        if self._has_new_decision():
            remarks.append(
                "The export has thresholds or a calibration of its own: with those of the reference "
                f"{counted(self.num_flips_by_scores or 0, 'decision')} would change."
            )
        fitted_rows = max(self.rows_fitted)
        if fitted_rows and self.metrics:
            remarks.append(
                f"Thresholds were fitted on {fitted_rows} of these texts: the metrics are optimistic."
            )
        if not self.metrics:
            remarks.append("The texts have no known labels, so no metric was computed.")
        elif lower := [name for name in LOWER_IS_BETTER if name in self.metrics]:
            remarks.append(f"Lower is better for {listed(lower)}.")
        return remarks

    def _has_new_decision(self) -> bool:
        if self.folded:
            return False
        moved = any(
            one.reference_threshold != one.exported_threshold for one in self.labels.values()
        )
        return moved or self.num_flips_by_scores != self.num_flips


def _shown_flip(flip: Flip) -> str:
    sign = "+" if flip.added else "-"
    return f"{sign}{flip.label} ({flip.reference_score:.4f} -> {flip.exported_score:.4f})"


def _small(value: float) -> str:
    """Return a difference of scores with digits that say something, however small it is."""
    return f"{value:.1e}" if 0 < value < 0.001 else f"{value:.4f}"
