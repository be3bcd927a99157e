"""A finished model as it was trained: its network, tokenizer and settings, to go on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from multihot.data.tokens import StoredTokenizer, stored_tokenizer
from multihot.errors import ArtifactError
from multihot.gate.tokenizer_files import SETTINGS_FILE
from multihot.gate.tokenizer_settings import tokenizer_settings
from multihot.inference.artifact import Artifact
from multihot.models.stored_network import load_network, require_fit

__all__ = ["TrainedModel", "load_trained_model"]


@dataclass(frozen=True)
class TrainedModel:
    """What a model folder holds beside its decision."""

    artifact: Artifact
    network: Any
    stored: StoredTokenizer
    tokenizer_config: dict[str, Any]


def load_trained_model(artifact: Artifact) -> TrainedModel:
    """Load and verify a model that is no export; raise `ArtifactError` for files that do not fit."""
    contents, folder = artifact.contents(), artifact.folder
    with contents.verifying():
        network = load_network(
            contents,
            artifact.form,
            artifact.decision.space,
            pooling=artifact.pooling,
            windows=artifact.windows,
        )
        stored = stored_tokenizer(contents)
        require_fit(network, stored, folder, artifact.max_length)
        table = contents.json_object(SETTINGS_FILE)
        settings = tokenizer_settings(table, folder / SETTINGS_FILE, error=ArtifactError)
    return TrainedModel(artifact, network, stored, settings)
