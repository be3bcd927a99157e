"""A checkpoint made ready: its network, its tokenizer, and a folder of ours or of transformers' from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import flush_file, write_bytes, write_json, write_text
from multihot.core.labels import LabelSpace
from multihot.core.options import DEFAULT_MAX_LENGTH, DataOptions
from multihot.data.tokens import TOKENIZER_CALL_KEYS, check_vocabulary, tokenize
from multihot.decision.decision import Decision
from multihot.errors import EncoderError
from multihot.gate.folder_files import read_folder_file
from multihot.importing.checkpoint import Checkpoint
from multihot.importing.tokenizer_checks import VOCABULARY_FILES
from multihot.importing.weight_checks import CheckpointWeights, plain_name
from multihot.inference.artifact import Artifact, save_artifact
from multihot.models.encoder import load_encoder_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Candidate", "network_of", "scores_of", "tokenizer_of", "write_copy", "write_model"]

_LABEL_KEYS = ("id2label", "label2id", "num_labels", "_num_labels", "problem_type")
_MAX_CARD_BYTES = 16 << 20
_LONGEST = 512  # tokens, where neither positions nor training say another length


@dataclass(frozen=True)
class Candidate:
    """What is read of a checkpoint that can become a model."""

    checkpoint: Checkpoint
    weights: CheckpointWeights
    max_length: int | None
    """Tokens of a text at most; `None`: nothing limits it."""

    @property
    def pooling(self) -> str:
        """`cls` or `mean`."""
        return "mean" if self.checkpoint.is_pooled else "cls"

    @property
    def form(self) -> str:
        """As in `Artifact`."""
        return "encoder_and_head" if self.checkpoint.is_pooled else "sequence_classification"

    @property
    def length(self) -> int:
        """Tokens of a text at most, in a model of ours."""
        return self.max_length or max(DEFAULT_MAX_LENGTH, _LONGEST)


def network_of(candidate: Candidate, space: LabelSpace) -> Any:
    """Return the network, its outputs called as in `space`.

    Raises `EncoderError` where transformers cannot make it of the stored weights alone.
    """
    from multihot.models.foreign_network import foreign_classifier, foreign_pooled_classifier

    checkpoint, head = candidate.checkpoint, candidate.weights.own_head
    table = {key: value for key, value in checkpoint.config.items() if key not in _LABEL_KEYS}
    if head is None:
        return foreign_classifier(checkpoint.body, table, space, plain_name)
    return foreign_pooled_classifier(
        checkpoint.body, table, space, plain_name, head=head.file, names=(head.weight, head.bias)
    )


def scores_of(
    network: Any, candidate: Candidate, num_labels: int, texts: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return the logits of a network for some texts. *Shape:* (N, L)."""
    from multihot.inference.torch_backend import TorchBackend
    from multihot.models.devices import choose_device, choose_precision

    device = choose_device("cpu")
    backend = TorchBackend(network, num_labels, device, choose_precision("fp32", device))
    tokenizer, _ = tokenizer_of(candidate)
    return backend.logits(tokenize(tokenizer, texts, candidate.length))


def tokenizer_of(candidate: Candidate) -> tuple[Tokenizer, dict[str, Any]]:
    """Return the tokenizer, without padding and truncation, and its configuration.

    Raises `EncoderError` where transformers cannot build it, and for one of another vocabulary.
    """
    checkpoint = candidate.checkpoint
    # It is beside the encoder, or in the folder above it.
    inside = any(os.path.lexists(checkpoint.body / name) for name in VOCABULARY_FILES)
    folder = checkpoint.body if inside else checkpoint.folder
    tokenizer, settings = load_encoder_tokenizer(folder)
    size = checkpoint.config.get("vocab_size")
    if type(size) is int:
        check_vocabulary(tokenizer, size, folder, error=EncoderError)
    return tokenizer, settings


def write_copy(candidate: Candidate, space: LabelSpace, folder: Path) -> None:
    """Write a corrected copy for transformers into an empty folder: float32, one file, clean settings.

    The model card of the checkpoint comes along, unless it is no regular file inside the folder.
    """
    from multihot.models.network import save_network

    save_network(network_of(candidate, space), folder)
    tokenizer, settings = tokenizer_of(candidate)
    kept = {key: value for key, value in settings.items() if key not in TOKENIZER_CALL_KEYS}
    if candidate.max_length is not None:
        kept["model_max_length"] = candidate.max_length
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    write_json(folder / "tokenizer_config.json", kept)
    if "README.md" in candidate.checkpoint.files:
        _copy_card(candidate.checkpoint.folder, folder)
    # safetensors creates files that only their owner may read.
    mode = (folder / "tokenizer_config.json").stat().st_mode
    for path in folder.iterdir():
        path.chmod(mode)
        flush_file(path)


def _copy_card(source: Path, folder: Path) -> None:
    try:
        card = read_folder_file(source, "README.md", most_bytes=_MAX_CARD_BYTES, error=EncoderError)
    except EncoderError:
        return
    write_bytes(folder / "README.md", bytes(card))


def write_model(
    candidate: Candidate, space: LabelSpace, data: DataOptions, card: str, folder: Path
) -> None:
    """Write a model of ours with the threshold 0.5 for every label into an empty folder."""
    from multihot.models.network import save_network

    network = network_of(candidate, space)
    tokenizer, settings = tokenizer_of(candidate)
    artifact = Artifact(
        folder,
        Decision(space, (0.5,) * len(space), "micro_f1", "fixed"),
        data,
        candidate.length,
        candidate.pooling,
        candidate.form,
    )
    save_artifact(
        artifact,
        write_network=lambda stage: save_network(network, stage),
        tokenizer=tokenizer,
        tokenizer_config=settings,
        card=card,
    )
