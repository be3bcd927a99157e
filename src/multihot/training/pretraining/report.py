"""The report of a pretraining run: hold-out metrics beside baselines, speed, and the curve."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from multihot.core.files import atomic_path, required_values, write_json
from multihot.core.report_views import as_frame, as_html
from multihot.errors import ArtifactError, MissingExtraError, TrainingError
from multihot.evaluation.bootstrap import Estimate
from multihot.gate.json_documents import read_json_object
from multihot.gate.stored_records import record_of

__all__ = [
    "REPORT_FILE",
    "PretrainReport",
    "draw_curve",
    "is_pretrained",
    "last_metrics",
    "read_curve",
    "read_report",
    "write_report",
]

REPORT_FILE = "pretraining.json"
"""Written last into the folder of a run; without it the run is not finished."""

_HELD_OUT = "held_out_"  # before the name of a metric in the log
_NAMES = {
    "mlm_loss": "MLM loss (nats per masked token)",
    "perplexity": "MLM perplexity",
    "mlm_top1": "MLM top-1 accuracy",
    "nsp_loss": "NSP loss",
    "nsp_accuracy": "NSP accuracy",
}
_STORED = {
    "steps": int,
    "tokens": int,
    "seconds": float | int,
    "tokens_per_second": float | int,
    "roof_share": float | int | None,
    "parameters": int,
    "held_out_examples": int,
    "held_out_documents": int,
    "interval_over": str,
    "metrics": dict,
    "baselines": dict,
    "curve": list,
    "notes": list,
}
"""Keys of the stored report, with their types."""

_BASELINES = {
    "unigram_loss": "unigram, loss",
    "unigram_top1": "unigram, top-1 accuracy",
    "word_overlap_accuracy": "word overlap of the two segments, NSP accuracy",
    "length_accuracy": "lengths of the two segments, NSP accuracy",
}


@dataclass(frozen=True)
class PretrainReport:
    """The result of a run; `print` it or take `to_json()`."""

    steps: int
    tokens: int
    """Tokens trained on, special tokens included."""
    seconds: float
    """Of training with evaluations and checkpoints."""
    tokens_per_second: float
    """Of the steps alone, without evaluations and checkpoints."""
    roof_share: float | None
    """Matmul utilisation: the time of a step's matrix products alone as a fraction of the step's."""
    parameters: int
    held_out_examples: int
    held_out_documents: int
    interval_over: str
    """`documents` or `examples`: the resampling unit."""
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, Estimate]
    curve: Sequence[Mapping[str, Any]]
    """The evaluations of the run, from its log."""
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report in the shape that `pretrain --json` prints."""
        return asdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per metric with its interval as a pandas data frame."""
        return as_frame({name: asdict(one) for name, one in self.metrics.items()}, "metric")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        lines = [f"{'hold-out corpus':<46}{'value':>9}   95 % interval"]
        lines += [_line(name, _NAMES.get(key, key)) for key, name in _named(self.metrics)]
        if self.baselines:
            lines += ["", "baselines on the same examples"]
            lines += [_line(name, _BASELINES.get(key, key)) for key, name in _named(self.baselines)]
        lines += ["", *self.remarks()]
        return "\n".join(lines)

    def remarks(self) -> list[str]:
        """Return the context of the metrics and their comparison with the baselines, as sentences."""
        speed = f"{self.tokens_per_second:,.0f} tokens/s"
        if self.roof_share is not None:
            speed += f", {100 * self.roof_share:.0f} % matmul utilisation"
        found = [
            f"{self.parameters / 1e6:.1f} million parameters, {self.steps} steps, "
            f"{self.tokens / 1e6:.2f} million tokens, {self.seconds / 60:.1f} minutes; {speed}.",
            f"{self.held_out_examples} hold-out examples of {self.held_out_documents} documents; "
            f"intervals over {self.interval_over}.",
        ]
        top, unigram = self.metrics.get("mlm_top1"), self.baselines.get("unigram_top1")
        if top and unigram and top.value is not None and unigram.value:
            ratio = top.value / unigram.value
            found.append(f"MLM top-1 is {ratio:.1f}x the unigram baseline.")
        accuracy = self.metrics.get("nsp_accuracy")
        overlap = self.baselines.get("word_overlap_accuracy")
        if accuracy and overlap and accuracy.value is not None and overlap.value is not None:
            side = "below" if accuracy.value < overlap.value else "above"
            found.append(f"NSP accuracy is {side} the word-overlap baseline.")
        return [*found, *self.notes]


def _named(estimates: Mapping[str, Estimate]) -> list[tuple[str, Estimate]]:
    return list(estimates.items())


def _line(estimate: Estimate, name: str) -> str:
    if estimate.value is None:
        return f"  {name:<44}{'-':>9}"
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f"   {estimate.low:.4f} to {estimate.high:.4f}"
    return f"  {name:<44}{estimate.value:>9.4f}{interval}"


def is_pretrained(folder: Path) -> bool:
    """Return whether a pretraining run in `folder` is finished."""
    return (folder / REPORT_FILE).is_file()


def write_report(folder: Path, report: PretrainReport) -> None:
    """Write the report, which marks the run as finished."""
    write_json(folder / REPORT_FILE, report.to_json())


def read_report(folder: Path) -> PretrainReport:
    """Read the report of a finished run; raise `ArtifactError` when it is damaged."""
    path = folder / REPORT_FILE
    try:
        content = read_json_object(folder, REPORT_FILE, error=ArtifactError)
        stored = required_values(content, _STORED)
        for name in ("metrics", "baselines"):
            stored[name] = {
                key: record_of(Estimate, value, path, ArtifactError)
                for key, value in stored[name].items()
            }
        for name, kind in (("curve", dict), ("notes", str)):
            if not all(isinstance(each, kind) for each in stored[name]):
                raise ArtifactError(f"The key '{name}' holds a value of another type.")
        return PretrainReport(**stored)
    except ArtifactError as error:
        raise ArtifactError(f"{path} is damaged ({error}); pretrain again.") from None


def read_curve(log: Path) -> list[dict[str, Any]]:
    """Return the evaluations that a run's `metrics.jsonl` holds, in their order.

    Raises `TrainingError` where it holds none.
    """
    entries = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    curve = [entry for entry in entries if _is_evaluation(entry)]
    if not curve:
        raise TrainingError(
            f"{log} holds no evaluation of the run any more, so there is nothing to report. The encoder "
            f"is in {log.parent / 'checkpoints'}."
        )
    return curve


def _is_evaluation(entry: Mapping[str, Any]) -> bool:
    """Return whether a line of a log holds metrics with their intervals, all of them numbers."""
    if entry.get("held_out") is not True or not _is_number(entry.get("tokens")):
        return False
    names = {key.removesuffix("_low") for key in entry if key.startswith(_HELD_OUT)}
    names = {name.removesuffix("_high") for name in names}
    return bool(names) and all(
        name in entry
        and (entry[name] is None or _is_number(entry[name]))
        and len({_is_number(entry.get(f"{name}{end}")) for end in ("_low", "_high")}) == 1
        for name in names
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def last_metrics(curve: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Return the metrics of the last evaluation."""
    last = curve[-1]
    names = [key.removeprefix("held_out_") for key in last if f"{key}_low" in last]
    return {
        name: Estimate(*(last[f"held_out_{name}{end}"] for end in ("", "_low", "_high")))
        for name in names
    }


def draw_curve(report: PretrainReport, path: Path) -> None:
    """Draw loss and accuracies over the tokens of the run as a PNG file.

    Raises `MissingExtraError` without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plots", "The plot of the curve") from None
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    _draw(loss_axes, report, "mlm_loss", "MLM", "C0")
    _level(loss_axes, report.baselines.get("unigram_loss"), "unigram", "C0")
    _draw(accuracy_axes, report, "mlm_top1", "MLM top-1", "C0")
    _level(accuracy_axes, report.baselines.get("unigram_top1"), "unigram", "C0")
    if "nsp_accuracy" in report.metrics:
        _draw(accuracy_axes, report, "nsp_accuracy", "NSP", "C1")
        overlap = report.baselines.get("word_overlap_accuracy")
        _level(accuracy_axes, overlap, "word overlap", "C1")
    loss_axes.set_ylabel("hold-out loss, nats per masked token")
    accuracy_axes.set_ylabel("hold-out accuracy")
    for axes in (loss_axes, accuracy_axes):
        axes.set_xlabel("million tokens")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw(axes: Any, report: PretrainReport, name: str, label: str, color: str) -> None:
    points = [entry for entry in report.curve if entry.get(f"held_out_{name}") is not None]
    tokens = [entry["tokens"] / 1e6 for entry in points]
    axes.plot(tokens, [e[f"held_out_{name}"] for e in points], label=label, color=color, marker=".")
    bounded = [e for e in points if e.get(f"held_out_{name}_low") is not None]
    axes.fill_between(
        [entry["tokens"] / 1e6 for entry in bounded],
        [entry[f"held_out_{name}_low"] for entry in bounded],
        [entry[f"held_out_{name}_high"] for entry in bounded],
        color=color,
        alpha=0.2,
    )


def _level(axes: Any, baseline: Estimate | None, label: str, color: str) -> None:
    if baseline is not None and baseline.value is not None:
        axes.axhline(baseline.value, label=label, color=color, linestyle="--", linewidth=1)
