"""An ONNX model as OpenVINO's own two files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multihot.core.runtimes import import_openvino
from multihot.errors import ArtifactError, StorageError
from multihot.export.folders import require_open_sizes, save_export
from multihot.gate.onnx_model import parse_onnx
from multihot.inference.artifact import Artifact
from multihot.inference.onnx_file import onnx_parts
from multihot.inference.openvino_backend import openvino_core
from multihot.inference.trained_model import TrainedModel

__all__ = ["write_openvino_folder"]


def write_openvino_folder(model: Any, artifact: Artifact, source: TrainedModel, card: str) -> None:
    """Write an `onnx.ModelProto` as `openvino_model.xml` and `.bin` into `artifact.folder`.

    Numbers stay in float32; OpenVINO would store them in float16.
    """
    content = memoryview(model.SerializeToString())
    graph = parse_onnx(content, artifact.folder / "model.onnx", error=ArtifactError)
    require_open_sizes(graph, artifact.folder / "model.onnx", source)
    whole = b"".join(onnx_parts(content, graph, artifact=artifact))
    save_export(artifact, source, card, lambda stage: _write(stage, whole))


def _write(stage: Path, content: bytes) -> list[str]:
    openvino = import_openvino()

    path = stage / "openvino_model.xml"
    network = openvino_core().read_model(content)
    try:
        openvino.save_model(network, path, compress_to_fp16=False)
    except RuntimeError as error:  # its streams do not say why
        raise StorageError(
            f"OpenVINO cannot write {path.name}: {error}. Check that the disk has space, then run the "
            "same command again."
        ) from error
    return ["openvino_model.bin", "openvino_model.xml"]
