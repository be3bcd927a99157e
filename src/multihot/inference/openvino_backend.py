"""The OpenVINO backend: runs an exported model without torch, from its ONNX or from OpenVINO's own files."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np

from multihot.core.extras import require_openvino
from multihot.core.runtimes import import_openvino
from multihot.data.tokens import StoredTokenizer
from multihot.errors import ArtifactError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import MAX_FILE_BYTES, shown_file
from multihot.gate.openvino_model import MAX_XML_BYTES, parse_openvino
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
from multihot.inference.onnx_backend import checked_graph
from multihot.inference.onnx_file import INPUTS

__all__ = ["load_openvino_backend", "openvino_core"]


@functools.cache
def openvino_core() -> Any:
    """Return the process's one `openvino.Core`, which is never destroyed.

    OpenVINO 2026.4 gives the thread that compiles a model a stack for signals, and frees it with the
    core. Where cores come and go, a thread keeps one that was freed, and the next signal, such as
    SIGTERM, ends the process.
    """
    openvino = import_openvino()

    return openvino.Core()


def load_openvino_backend(
    artifact: Artifact, contents: FolderContents, stored: StoredTokenizer
) -> ExportBackend:
    """Load an export with OpenVINO; raise `ArtifactError` for one that does not fit its folder."""
    require_openvino("The backend openvino")
    model = _read(artifact, contents, stored)
    assert artifact.exported is not None
    return ExportBackend(
        lambda num_threads: _runner(model, artifact, num_threads),
        lambda: None,  # OpenVINO has a copy of its own
        file=contents.folder / artifact.network_names,
        names=artifact.decision.space.names,
        pad_token_id=artifact.exported.pad_token_id,
        windows=artifact.windows,
    )


def _read(artifact: Artifact, contents: FolderContents, stored: StoredTokenizer) -> Any:
    """Return OpenVINO's model, read from bytes that were verified."""
    openvino = import_openvino()

    if artifact.form == "onnx":
        mapped, _ = checked_graph(artifact, contents, stored)
        shown, arguments = mapped.place, (bytes(mapped.content),)
        mapped.require_unchanged()
    else:
        binary, text = "openvino_model.bin", "openvino_model.xml"
        weights = contents.content(binary, most_bytes=MAX_FILE_BYTES)
        content = contents.content(text, most_bytes=MAX_XML_BYTES)
        shown = contents.folder / text
        found = parse_openvino(content, weights, shown, error=ArtifactError)
        require_same_metadata(found.metadata, shown, artifact)
        require_export_fits(artifact, stored, found.num_vectors, shown)
        numbers = openvino.Tensor(np.frombuffer(weights, np.uint8))
        arguments = (bytes(content), numbers)  # type: ignore[assignment]
    try:
        return openvino_core().read_model(*arguments)
    except Exception as reason:  # noqa: BLE001 - the library raises its own
        network = shown.with_name(artifact.network_names)
        raise ArtifactError(
            f"OpenVINO cannot load {shown_file(network)}: {first_line(reason)} Export the model again."
        ) from None


def _runner(model: Any, artifact: Artifact, num_threads: int) -> RunNetwork:
    settings = {
        "INFERENCE_NUM_THREADS": num_threads,
        "INFERENCE_PRECISION_HINT": "f32",  # else it takes bf16 where the processor has it
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    try:
        compiled = openvino_core().compile_model(model, "CPU", settings)
    except Exception as reason:  # noqa: BLE001 - the library raises its own
        raise ArtifactError(
            f"OpenVINO cannot compile the network of {shown_file(artifact.folder)}: {first_line(reason)} "
            "Export the model again."
        ) from None
    own = threading.local()

    def run(input_ids: IndexArray, attention_mask: IndexArray) -> FloatArray:
        request = getattr(own, "request", None) or compiled.create_infer_request()
        own.request = None  # one that failed goes on failing
        inputs = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        found = request.infer(inputs)["logits"].copy()
        own.request = request
        return np.asarray(found, dtype=np.float32)

    return run
