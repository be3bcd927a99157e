"""The ONNX Runtime backend: runs an exported model without torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multihot.core.extras import require_onnxruntime
from multihot.core.runtimes import import_onnxruntime
from multihot.core.text_tables import cut
from multihot.data.tokens import StoredTokenizer
from multihot.errors import ArtifactError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import shown_file
from multihot.gate.mapped_file import MappedFile
from multihot.gate.onnx_model import OnnxGraph, OnnxValue, parse_onnx
from multihot.gate.onnx_sizes import check_graph_sizes
from multihot.inference.artifact import Artifact
from multihot.inference.export_backend import (
    ExportBackend,
    FloatArray,
    IndexArray,
    RunNetwork,
    first_line,
    require_export_fits,
    require_same_metadata,
)
from multihot.inference.onnx_file import INPUTS, METADATA_KEY, external_model

__all__ = ["checked_graph", "load_onnx_backend"]

_SMALL_BATCH = 1, 2  # texts and tokens; what is constant costs the same with any
_FATAL_ONLY = 4  # of what ONNX Runtime logs; errors are raised


def load_onnx_backend(
    artifact: Artifact, contents: FolderContents, stored: StoredTokenizer
) -> ExportBackend:
    """Load `model.onnx` of a model folder; raise `ArtifactError` for one that does not fit it.

    Its weights are mapped, so that processes share them.
    """
    require_onnxruntime("This model")
    mapped, graph = checked_graph(artifact, contents, stored)
    model = external_model(mapped.content, graph, mapped.place.name)
    path = contents.folder / artifact.weights_name
    assert artifact.exported is not None

    @functools.cache
    def require_size(rows: int, length: int) -> None:
        check_graph_sizes(graph, path, rows=rows, length=length, error=ArtifactError)

    return ExportBackend(
        lambda num_threads: _runner(model, mapped, num_threads, require_size),
        mapped.require_unchanged,
        file=contents.folder / artifact.network_names,
        names=artifact.decision.space.names,
        pad_token_id=artifact.exported.pad_token_id,
        windows=artifact.windows,
    )


def checked_graph(
    artifact: Artifact, contents: FolderContents, stored: StoredTokenizer
) -> tuple[MappedFile, OnnxGraph]:
    """Map `model.onnx` and return it with what it holds; raise `ArtifactError` for what does not fit."""
    mapped = contents.mapped(artifact.weights_name)
    path = contents.folder / artifact.weights_name
    graph = parse_onnx(mapped.content, path, error=ArtifactError)
    _check_ends(graph, path, len(artifact.decision.space))
    require_same_metadata(graph.metadata.get(METADATA_KEY), path, artifact)
    require_export_fits(artifact, stored, _num_vectors(graph), path)
    rows, length = _SMALL_BATCH
    check_graph_sizes(graph, path, rows=rows, length=length, error=ArtifactError)
    return mapped, graph


def _runner(
    model: bytes, mapped: MappedFile, num_threads: int, require_size: Callable[[int, int], None]
) -> RunNetwork:
    session = _session(model, mapped, num_threads)

    def run(input_ids: IndexArray, attention_mask: IndexArray) -> FloatArray:
        require_size(*input_ids.shape)  # what one shape takes says nothing about another
        inputs = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        (logits,) = session.run(["logits"], inputs)
        found: FloatArray = logits
        return found

    return run


def _session(model: bytes, mapped: MappedFile, num_threads: int) -> Any:
    """Return a session whose large tensors are those of the mapped file."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    folder = "session.model_external_initializers_file_folder_path"
    options.add_session_config_entry(folder, str(mapped.place.parent))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # noqa: BLE001 - the library raises its own
        mapped.require_same_place()
        raise ArtifactError(
            f"ONNX Runtime cannot load {shown_file(mapped.place)}: {first_line(reason)} "
            "Export the model again."
        ) from None
    mapped.require_same_place()  # ONNX Runtime opens it by name
    return session


def _num_vectors(graph: OnnxGraph) -> int | None:
    """Return how many token vectors the network has: the rows of what `input_ids` look up."""
    rows = [
        graph.tensors[node.inputs[0]].shape[0]
        for node in graph.nodes
        if node.op == "Gather"
        and node.inputs[1:] == (INPUTS[0],)
        and node.inputs[0] in graph.tensors
        and graph.tensors[node.inputs[0]].shape
    ]
    return min(rows, default=None)


def _check_ends(graph: OnnxGraph, path: Path, num_labels: int) -> None:
    """Raise `ArtifactError` unless a graph has the inputs and outputs of an export."""
    ids = OnnxValue("int64", ("batch", "length"))
    scores = OnnxValue("float32", ("batch", num_labels))
    inputs, outputs = dict.fromkeys(INPUTS, ids), dict.fromkeys(("logits", "scores"), scores)
    if dict(graph.inputs) != inputs or dict(graph.outputs) != outputs:
        found = {**graph.inputs, **graph.outputs}
        wrong = {**inputs, **outputs}
        names = [name for name in {**wrong, **found} if wrong.get(name) != found.get(name)]
        raise ArtifactError(
            f"{shown_file(path)}: the input or output {cut(names[0])} is {cut(str(found.get(names[0])))}; "
            f"expected token ids and a mask, and logits and scores of {num_labels} labels. Export the "
            "model again."
        )
