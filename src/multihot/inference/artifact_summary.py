"""Summarise a finished model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from multihot.core.goals import parse_goal
from multihot.core.options import DataOptions
from multihot.core.recipes import to_plain
from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    counted,
    format_number,
    listed,
    printable,
    shown_labels,
)
from multihot.core.windows import WindowSettings
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import file_place
from multihot.inference.artifact import read_artifact
from multihot.inference.exported import ENCODER_KEYS

__all__ = ["ArtifactSummary", "inspect_artifact"]


@dataclass(frozen=True)
class ArtifactSummary:
    """The result of `inspect_artifact`; `print` it or take `to_json()`."""

    folder: str
    multihot_version: str | None
    """The version that wrote it."""
    thresholds: Mapping[str, float | None]
    """By label name, in label order; a label is given where its score reaches the threshold. `None`
    where labels are taken by rank (`top_k`)."""
    goal: str
    kind: str
    """`global`, `per_label`, `shrunk`, `by_frequency=T`, `fixed` or `top_k`: how the thresholds came about."""
    activation: str
    calibration: str
    """`none`, or the method."""
    empty_set_rule: str
    fitted_source: str | None
    """Where the rows came from that fitted the thresholds; `None` when they are fixed."""
    fitted_rows: int
    fitted_goal_value: float | None
    """What the goal reaches on those rows."""
    form: str
    """`sequence_classification`, `encoder_and_head`, `onnx` or `openvino`: which files hold the network."""
    encoder: Mapping[str, Any]
    """Family and size, from `config.json` of the encoder."""
    pooling: str
    max_length: int
    data: DataOptions
    """How the training file was read; how the next one is read."""
    files: Mapping[str, int]
    """Sizes in bytes."""
    windows: WindowSettings | None = None
    """How longer texts are read; `None`: they are cut."""
    promises: tuple[str, ...] = ()
    """Limits that the thresholds keep, see `Promise`."""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `inspect --json` prints."""
        return {**asdict(self), "labels": list(self.thresholds), "data": to_plain(self.data)}

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label with its threshold as a pandas data frame."""
        rows = {name: {"threshold": value} for name, value in self.thresholds.items()}
        return as_frame(rows, "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the summary for so many columns; of many labels, some, or all."""
        fitted = "not fitted"
        if self.fitted_source is not None:
            reached = self.fitted_goal_value
            fitted = f"{counted(self.fitted_rows, 'row')} of {self.fitted_source}"
            goal = parse_goal(self.goal)
            goal = goal.of_each_label() if self.kind in ("per_label", "shrunk") else goal
            fitted += "" if reached is None else f", {self.goal} {goal.shown(reached)} there"
        total = sum(self.files.values())
        lines = [
            ("model", self.folder),
            ("written by", f"multihot {self.multihot_version or '(unknown version)'}"),
            ("encoder", ", ".join(f"{key} {value}" for key, value in self.encoder.items())),
            ("form", f"{self.form}, {self.pooling} pooling"),
            ("max_length", f"{self.max_length} tokens"),
            *(("windows", _windows_line(each)) for each in (self.windows,) if each is not None),
            ("labels", str(len(self.thresholds))),
            ("goal", self.goal),
            ("thresholds", self.kind),
            ("fitted on", fitted),
            ("calibration", self.calibration),
            ("empty set", self.empty_set_rule),
            *(("promise", promise) for promise in self.promises),
            *(
                (f"data.{key}", _plain(value))
                for key, value in to_plain(self.data).items()
                if value != []
            ),
            ("size", f"{total / 1e6:.1f} MB"),
            *((f"  {name}", f"{size / 1e6:.1f} MB") for name, size in self.files.items()),
        ]
        wide = max(len(name) for name, _ in lines) + 2
        shown = [f"{name:<{wide}}{printable(value)}" for name, value in lines]
        return "\n".join([*shown, "", *self._label_lines(width, all_labels=all_labels)])

    def _label_lines(self, width: int, *, all_labels: bool) -> list[str]:
        if self.kind == "top_k":
            names = listed(list(self.thresholds), len(self.thresholds) if all_labels else 30)
            return [f"Labels are taken by rank ({self.goal}), without thresholds: {names}"]
        values = {name: value for name, value in self.thresholds.items() if value is not None}
        shown, left_out = shown_labels(values, every=all_labels)
        rows = [[name, format_number(values[name])] for name in shown]
        return [*aligned(["label", "threshold"], rows, width=width), *left_out]


def inspect_artifact(folder: str | Path) -> ArtifactSummary:
    """Read and verify a model folder and summarise it; no network is loaded.

    Raises `ArtifactError` when the folder is missing, unfinished, damaged or too new.
    """
    artifact = read_artifact(folder)
    decision, fitted_on = artifact.decision, artifact.decision.fitted_on
    contents = artifact.contents()
    with contents.verifying():
        exported = artifact.exported
        encoder = (
            _encoder(contents, artifact.config_name) if exported is None else exported.encoder()
        )
    names = sorted([*(artifact.digests or {}), "thresholds.json"])
    places = {name: file_place(artifact.folder, name, contents.error) for name in names}
    return ArtifactSummary(
        folder=str(folder),
        multihot_version=artifact.multihot_version,
        thresholds=decision.thresholds_by_name(),
        goal=decision.goal,
        kind=decision.kind,
        activation=decision.activation,
        calibration="none" if decision.calibration is None else decision.calibration.method,
        empty_set_rule=decision.empty_set_rule,
        fitted_source=None if fitted_on is None else fitted_on.source,
        fitted_rows=0 if fitted_on is None else fitted_on.rows,
        fitted_goal_value=None if fitted_on is None else fitted_on.goal_value,
        form=artifact.form,
        encoder=encoder,
        pooling=artifact.pooling,
        max_length=artifact.max_length,
        data=artifact.data,
        windows=artifact.windows,
        promises=tuple(promise.limit for promise in decision.promises),
        files={name: place.stat().st_size for name, place in places.items()},
    )


def _encoder(contents: FolderContents, name: str) -> dict[str, Any]:
    """Return family and size from the encoder's configuration, as far as it names them."""
    config = contents.json_object(name)
    return {key: config[key] for key in ENCODER_KEYS if isinstance(config.get(key), str | int)}


def _windows_line(windows: WindowSettings) -> str:
    return (
        f"{windows.pooling} of at most {windows.max_windows}, which share {windows.overlap} tokens"
    )


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
