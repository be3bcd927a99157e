"""Writes exports as model folders: the network in its new form, beside the same decision and tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multihot.errors import ArtifactError, EncoderError, OptionError
from multihot.gate.onnx_model import OnnxGraph, parse_onnx
from multihot.gate.onnx_sizes import check_graph_sizes
from multihot.inference.artifact import NETWORK_FILES, Artifact, save_artifact
from multihot.inference.exported import Exported
from multihot.inference.onnx_file import onnx_parts
from multihot.inference.renewal import write_parts
from multihot.inference.trained_model import TrainedModel
from multihot.models.encoder import length_limit, pad_id
from multihot.models.network import SequenceClassification, save_network

__all__ = [
    "described",
    "require_open_sizes",
    "save_export",
    "weights_sha256",
    "write_onnx_folder",
    "write_transformers_folder",
]


_TRIED_SIZES = ((1, 1), (2, 12), (3, 40))  # texts, and tokens beside those of the labels


def weights_sha256(artifact: Artifact) -> str:
    """Return the SHA-256 of a model's weights: that of its file, or of the digests of its files."""
    digests = [
        (artifact.digests or {})[name]
        for name in sorted(NETWORK_FILES[artifact.form])
        if name.endswith((".safetensors", ".onnx", ".bin"))
    ]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def described(
    source: TrainedModel, *, precision: str, folded: bool, instruction_set: str | None
) -> Exported:
    """Return what an export says of the network that it was made from."""
    config, prompt = source.network.config, getattr(source.network, "prompt", None)
    return Exported(
        precision=precision,
        weights_sha256=weights_sha256(source.artifact),
        folded=folded,
        pad_token_id=pad_id(source.network),
        num_positions=length_limit(config, {}),
        prompt_length=None if prompt is None else prompt.length,
        vocab_size=config.vocab_size,
        model_type=config.model_type,
        num_hidden_layers=getattr(config, "num_hidden_layers", None),
        hidden_size=getattr(config, "hidden_size", None),
        instruction_set=instruction_set,
    )


def write_onnx_folder(model: Any, artifact: Artifact, source: TrainedModel, card: str) -> None:
    """Write an `onnx.ModelProto` and the decision of `artifact` into `artifact.folder`."""
    content = memoryview(model.SerializeToString())
    path = artifact.folder / artifact.weights_name
    graph = parse_onnx(content, path, error=ArtifactError)
    require_open_sizes(graph, path, source)
    save_export(artifact, source, card, lambda stage: _write_onnx(stage, content, graph, artifact))


def require_open_sizes(graph: OnnxGraph, path: Path, source: TrainedModel) -> None:
    """Raise `EncoderError` for a graph that is made for one size, or that no backend would accept."""
    family = source.network.config.model_type
    for rows, length in _TRIED_SIZES:
        tokens = min(length + source.network.shortest_text, source.artifact.max_length)
        try:
            check_graph_sizes(graph, path, rows=rows, length=tokens, error=ArtifactError)
        except ArtifactError as reason:
            raise EncoderError(
                f"torch exports the family '{family}' in a form that cannot run with {rows} texts of "
                f"{tokens} tokens: {reason} Use the model with torch, or start from another encoder."
            ) from None


def _write_onnx(stage: Path, content: memoryview, graph: Any, artifact: Artifact) -> list[str]:
    write_parts(stage / artifact.weights_name, onnx_parts(content, graph, artifact=artifact))
    return [artifact.weights_name]


def write_transformers_folder(artifact: Artifact, source: TrainedModel, card: str) -> None:
    """Write the family's own classification model, whatever was changed in its weights.

    Raises `OptionError` for poolings that transformers has no class for.
    """
    network = source.network
    if not isinstance(network, SequenceClassification):
        raise OptionError(
            f"transformers has no class that pools as this model does ({artifact.pooling} pooling of "
            f"{network.config.model_type}); the backends torch, onnx and openvino of multihot run it. Use "
            "--to onnx, or train with pooling=cls."
        )
    save_export(artifact, source, card, lambda stage: save_network(network, stage))


def save_export(
    artifact: Artifact, source: TrainedModel, card: str, write_network: Callable[[Path], list[str]]
) -> None:
    """Write an export as `save_artifact` does, with the tokenizer of its source."""
    save_artifact(
        artifact,
        write_network=write_network,
        tokenizer=source.stored.tokenizer,
        tokenizer_config=source.tokenizer_config,
        card=card,
    )
