"""A new decision in a finished model, and a model whose weights are no longer those it was fitted for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from multihot.core.files import required_value, storage_errors, write_json
from multihot.core.staging import staged_file
from multihot.decision.decision import Decision
from multihot.errors import ArtifactError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.onnx_model import parse_onnx
from multihot.inference.artifact import (
    DECISION_FILE,
    NETWORK_FILES,
    Artifact,
    install_file,
    stored_content,
)
from multihot.inference.onnx_file import onnx_parts

__all__ = ["replace_decision", "with_present_weights", "write_parts"]

_WRITING = threading.Lock()  # the files of one decision belong together


def replace_decision(artifact: Artifact, decision: Decision) -> Artifact:
    """Write another decision of the same labels into the folder.

    `thresholds.json` is replaced in one go, and its other keys stay as they are. The file of an export
    to ONNX, which holds the decision, too, is replaced just before; no other file is touched. Threads
    take turns, and the last one's decision stays. Raises `ArtifactError` when the labels differ, and for
    OpenVINO's files.
    """
    if decision.space != artifact.decision.space:
        raise ArtifactError(f"{artifact.folder}: the new decision has other labels than the model.")
    if artifact.form == "openvino":
        raise ArtifactError(
            f"{artifact.folder}: OpenVINO's files hold the decision, too, and cannot be renewed. Decide on the "
            "model that it was made from, and export that again."
        )
    with _WRITING:
        return _replaced(artifact, decision)


def _replaced(artifact: Artifact, decision: Decision) -> Artifact:
    path = artifact.folder / DECISION_FILE
    content = stored_content(artifact.folder)
    files = required_value(content, "files", dict)
    if artifact.form == "onnx":
        artifact = _of_present_graph(artifact, files)
    renewed = replace(artifact, decision=decision)
    new = decision.to_json()
    gone = set(artifact.decision.to_json()) - set(new)
    kept = {key: value for key, value in content.items() if key not in gone}
    files = {**files, **(artifact.digests or {})}
    with storage_errors(path):
        if artifact.form == "onnx":
            files[artifact.weights_name] = _write_graph(renewed)
            renewed = replace(renewed, digests=files)
        write_json(path, {**kept, **new, "files": files})
    return renewed


def _of_present_graph(artifact: Artifact, files: Mapping[str, str]) -> Artifact:
    """Return an artefact that accepts the graph to which another decision was written meanwhile."""
    name, known = artifact.weights_name, dict(artifact.digests or {})
    stated = files.get(name)
    if stated == known.get(name):
        return artifact
    if FolderContents(artifact.folder, error=ArtifactError).digest(name) == stated:
        known[name] = stated
    return replace(artifact, digests=known)


def _write_graph(artifact: Artifact) -> str:
    """Replace the file of an export by one with the artefact's decision; return its SHA-256."""
    target = artifact.folder / artifact.weights_name
    mapped = artifact.contents().mapped(artifact.weights_name)
    graph = parse_onnx(mapped.content, target, error=ArtifactError)
    with staged_file(target) as stage:
        write_parts(stage, onnx_parts(mapped.content, graph, artifact=artifact))
        mapped.require_unchanged()
        return install_file(stage, target)


def write_parts(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file part by part."""
    with path.open("wb") as handle:
        for part in parts:
            handle.write(part)


def with_present_weights(artifact: Artifact) -> tuple[Artifact, list[str]]:
    """Return an artefact that accepts the network's files as they are, and which of them were changed.

    Its thresholds were fitted for others: fit them anew before it decides anything.
    """
    present = FolderContents(artifact.folder, error=ArtifactError)
    known = dict(artifact.digests or {})
    found = {name: present.digest(name) for name in NETWORK_FILES[artifact.form]}
    changed = sorted(name for name, digest in found.items() if known.get(name) != digest)
    return replace(artifact, digests={**known, **found}), changed
