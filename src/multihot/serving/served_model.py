"""A model that is served: what answers now, and how a new decision takes its place.

A request is answered by one `Serving` from beginning to end, so old requests finish on the old decision.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.text_tables import cut
from multihot.data.tokens import TokenizedTexts
from multihot.decision.decision import Decision
from multihot.errors import ArtifactError, CheckFailedError, LabelError
from multihot.gate.folder_files import shown_file
from multihot.gate.json_documents import read_json_object
from multihot.inference.artifact import DECISION_FILE, NETWORK_FILES, Artifact, load_artifact
from multihot.inference.exported import CERTIFICATE_FILE
from multihot.inference.predictor import Predictor
from multihot.serving.engine import Compute

__all__ = [
    "ServedModel",
    "Serving",
    "decision_version",
    "load_served_models",
    "with_thresholds",
]

FloatArray = npt.NDArray[np.float32]

_VERSION_DIGITS = 12


@dataclass(frozen=True)
class Serving:
    """A loaded model with one decision."""

    predictor: Predictor
    version: str
    """Of the decision."""
    compute: Compute
    """Requests with the same one are computed together."""

    @classmethod
    def of(cls, predictor: Predictor) -> Serving:
        """Return what serves a loaded model."""
        version = decision_version(predictor.decision)
        return cls(predictor, version, functools.partial(_computed, predictor))

    @property
    def decision(self) -> Decision:
        """How scores become labels."""
        return self.predictor.decision


class ServedModel:
    """A model folder under the name that requests know; `now` is what answers."""

    def __init__(self, name: str, folder: Path, backend: str = "auto") -> None:
        self.name = name
        self.folder = folder
        self._backend = backend
        self._seen = _status(folder)
        _require_passed(folder)
        self.now = Serving.of(Predictor.load(folder, backend=backend))
        self._warm_up()

    def _warm_up(self) -> None:
        """Compute something, so that the first request is no slower than others."""
        self.now.predictor.logits(["."])

    def was_renewed(self) -> bool:
        """Return whether `thresholds.json` was replaced since it was last looked at."""
        found = _status(self.folder)
        changed = found is not None and found != self._seen
        if changed:
            self._seen = found
        return changed

    def renew(self) -> bool:
        """Load the decision that is in the folder now; return whether it is another one.

        What answers stays as it is when this raises `MultihotError`: for a folder that is damaged, and for
        one that holds another model.
        """
        before = self.now.predictor
        artifact = load_artifact(self.folder)
        version = decision_version(artifact.decision)
        _require_same_model(before.artifact, artifact)
        if version == self.now.version:
            return False
        predictor = before.with_artifact(artifact)
        if _network_digests(artifact) != _network_digests(before.artifact):
            # The file of an export holds the decision, too; its weights were compared above.
            predictor = Predictor.from_artifact(artifact, backend=self._backend)
        self.now = Serving.of(predictor)
        return True


def load_served_models(folders: tuple[str, ...], backend: str) -> dict[str, ServedModel]:
    """Load every model; each is known by the name of its folder.

    Raises `ArtifactError` for folders that are no finished models and for two of one name, and
    `CheckFailedError` for an export whose certificate says that it failed.
    """
    models: dict[str, ServedModel] = {}
    for given in folders:
        folder = Path(given)
        name = folder.resolve().name
        if name in models:
            raise ArtifactError(
                f"Two models have the name {cut(name)}: {models[name].folder} and {folder}. Rename one folder."
            )
        models[name] = ServedModel(name, folder, backend)
    return models


def decision_version(decision: Decision) -> str:
    """Return digits that are others for every other decision: calibration, thresholds, rules, labels."""
    content = decision.to_json()
    decides = {
        key: content.get(key)
        for key in (
            "labels",
            "activation",
            "calibration",
            "thresholds",
            "threshold_kind",
            "goal",
            "empty_set_rule",
        )
    }
    if "hierarchy" in content:
        decides["hierarchy"] = content["hierarchy"]
    text = json.dumps(decides, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS]


def with_thresholds(decision: Decision, changes: Mapping[str, float]) -> Decision:
    """Return a decision with other thresholds of some labels, for one request.

    Raises `LabelError` for a label that the model does not have.
    """
    values = dict(zip(decision.space.names, decision.thresholds, strict=True))
    for name, value in changes.items():
        if name not in values:
            raise LabelError(f"thresholds: the model has no label {cut(name)}.")
        values[name] = float(value)
    kind = "fixed" if decision.kind == "top_k" else decision.kind
    thresholds = tuple(values.values())
    return replace(decision, thresholds=thresholds, kind=kind, fit_report=None, promises=())


def _computed(predictor: Predictor, texts: TokenizedTexts) -> FloatArray:
    """Return logits, scores, whether a label is given and its loudest window: *shape* (N, 4, L).

    Scores and labels are those of the stored decision; one computation for all requests of a pass.
    """
    loudest, logits = predictor.loudest_and_logits(texts)
    scores = predictor.decision.scores(logits)
    decided = predictor.decision.decide(scores)
    window = np.zeros_like(logits) if loudest is None else loudest.astype(np.float32)
    return np.stack([logits, scores, decided.astype(np.float32), window], axis=1)


def _status(folder: Path) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(folder / DECISION_FILE)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _network_digests(artifact: Artifact) -> dict[str, Any]:
    known = artifact.digests or {}
    return {name: known.get(name) for name in NETWORK_FILES[artifact.form]}


def _require_same_model(before: Artifact, after: Artifact) -> None:
    """Raise `ArtifactError` unless only the decision differs."""
    folder = shown_file(after.folder)
    if after.decision.space != before.decision.space:
        raise ArtifactError(f"{folder} has other labels now; start the server again to serve them.")
    if before.exported is not None and after.exported is not None:
        same = before.exported == after.exported
    else:
        same = _network_digests(before) == _network_digests(after)
    same = same and (before.form, before.max_length, before.windows) == (
        after.form,
        after.max_length,
        after.windows,
    )
    if not same:
        raise ArtifactError(
            f"{folder} holds another model now; start the server again to serve it."
        )


def _require_passed(folder: Path) -> None:
    """Raise `CheckFailedError` for an export whose certificate says that its check failed."""
    if not (folder / CERTIFICATE_FILE).is_file():
        return
    content = read_json_object(folder, CERTIFICATE_FILE, error=ArtifactError)
    if content.get("passed") is False:
        raise CheckFailedError(
            f"{shown_file(folder / CERTIFICATE_FILE)} says that this export decides otherwise than its model; "
            "it is not served. Export it again."
        )
