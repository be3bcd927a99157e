"""Encoder plus head as one module with one call, in the two forms an artefact can have.

* `sequence_classification`: the family's own `...ForSequenceClassification`, which reads [CLS];
  saved as transformers saves it, so transformers loads it.
* `encoder_and_head`: the bare encoder and a head of ours; saved as `encoder/` and
  `head.safetensors`.

Both take a padded batch, or a packed one once `models.packed_check.enable_packed` agreed.

Letters: `B` rows, `S` tokens of the longest, `T` tokens of all together, `L` labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from multihot.data.batches import Batch, PackedBatch
from multihot.errors import ArtifactError
from multihot.labels import LabelSpace
from multihot.models.encoder import quiet_transformers, read_config
from multihot.models.heads import MeanPoolingHead
from multihot.models.loading import load_weights, refuse_lost
from multihot.models.packed import encoder_inputs, keep_first_tokens
from multihot.models.packing import Packing, lay_out

__all__ = [
    "EncoderAndHead",
    "SequenceClassification",
    "batch_tensors",
    "build_network",
    "load_network",
    "save_network",
]

_LABELS = "labels"  # key in the head file's metadata


class SequenceClassification(nn.Module):
    """The family's own classification model."""

    form = "sequence_classification"

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.config: Any = model.config
        self.transformer.register_forward_hook(keep_first_tokens, with_kwargs=True)

    @property
    def transformer(self) -> Any:
        """The encoder inside the family's model."""
        return self.model.base_model

    def forward(self, input_ids: Tensor, layout: Tensor | Packing) -> Tensor:
        """Return logits, (B, L).

        Parameters
        ----------
        input_ids
            *Shape:* (B, S), int64, or (T,) when packed.
        layout
            Attention mask, *shape* (B, S), int64, 1 = token; or the packing.
        """
        if isinstance(layout, Packing):
            inputs = encoder_inputs(self.transformer, input_ids, layout)
        else:
            inputs = {"input_ids": input_ids, "attention_mask": layout}
        logits: Tensor = self.model(**inputs).logits
        return logits


class EncoderAndHead(nn.Module):
    """A bare encoder and the mean-pooling head over the labels of `space`."""

    form = "encoder_and_head"

    def __init__(self, encoder: nn.Module, head: MeanPoolingHead, space: LabelSpace) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.space = space
        self.config: Any = encoder.config

    @property
    def transformer(self) -> Any:
        """The encoder."""
        return self.encoder

    def forward(self, input_ids: Tensor, layout: Tensor | Packing) -> Tensor:
        """Return logits, (B, L); see `SequenceClassification.forward`."""
        if isinstance(layout, Packing):
            inputs = encoder_inputs(self.encoder, input_ids, layout)
            hidden = self.encoder(**inputs).last_hidden_state[0]
        else:
            hidden = self.encoder(input_ids=input_ids, attention_mask=layout).last_hidden_state
        logits: Tensor = self.head(hidden, layout)
        return logits


def batch_tensors(
    batch: Batch | PackedBatch, device: torch.device
) -> tuple[Tensor, Tensor | Packing]:
    """Return what a network takes: token ids and their layout, on the device."""
    input_ids = torch.from_numpy(batch.input_ids).to(device)
    if isinstance(batch, PackedBatch):
        return input_ids, lay_out(batch.cu_seq_lens, device)
    return input_ids, torch.from_numpy(batch.attention_mask).to(device)


def build_network(folder: Path, space: LabelSpace, pooling: str, seed: int) -> nn.Module:
    """Build the network over a checked encoder folder, its new head drawn from `seed`.

    With `cls`, a classification head in the checkpoint is kept only if it is for the same labels in
    the same order.

    Parameters
    ----------
    folder
        Encoder folder that passed `models.encoder.locate_encoder`.
    space
        The labels; their names go into the configuration.
    pooling
        `cls` or `mean`.
    seed
        63-bit seed of the head's initial weights.
    """
    from transformers import AutoModel, AutoModelForSequenceClassification

    config = read_config(folder)
    torch.manual_seed(seed)
    if pooling == "cls":
        has_head = any("SequenceClassification" in name for name in config.architectures or ())
        same_labels = tuple(config.id2label.values()) == space.names
        _describe_labels(config, space)
        model: Any = _from_pretrained(AutoModelForSequenceClassification, folder, config)
        if has_head and not same_labels:
            _renew_head(model)
        return SequenceClassification(model)
    encoder = _from_pretrained(AutoModel, folder, config)
    return EncoderAndHead(encoder, _new_head(config, space), space)


def _renew_head(model: Any) -> None:
    """Draw everything outside the encoder anew, as the family itself initialises it."""
    fresh = type(model)(model.config)
    inside = f"{model.base_model_prefix}."
    head = {k: v for k, v in fresh.state_dict().items() if not k.startswith(inside)}
    model.load_state_dict(head, strict=False)


def _new_head(config: Any, space: LabelSpace) -> MeanPoolingHead:
    dropout = getattr(config, "hidden_dropout_prob", None)
    return MeanPoolingHead(config.hidden_size, len(space), 0.1 if dropout is None else dropout)


def _describe_labels(config: Any, space: LabelSpace) -> None:
    config.num_labels = len(space)
    config.id2label = dict(enumerate(space.names))
    config.label2id = {name: column for column, name in enumerate(space.names)}
    config.problem_type = "multi_label_classification"


def _from_pretrained(
    auto_class: Any, folder: Path, config: Any, *, new_head: bool = True
) -> nn.Module:
    """Load safetensors weights in float32; refuse a checkpoint that lacks encoder weights.

    With `new_head`, weights outside the encoder may be missing or made for other labels.
    """
    model, new = load_weights(auto_class, folder, config)
    network: nn.Module = model
    refuse_lost(folder, _missing_encoder_weights(network, new) if new_head else new)
    return network


def _missing_encoder_weights(model: Any, missing: Sequence[str]) -> list[str]:
    """Return missing weights that no new head explains (a pooler belongs to the head)."""
    base = model.base_model
    inside = "" if base is model else f"{model.base_model_prefix}."
    return sorted(key for key in missing if key.startswith(inside) and "pooler" not in key)


def save_network(network: nn.Module, folder: Path) -> list[str]:
    """Write configuration and weights into `folder`; return the files written, relative to it."""
    with quiet_transformers():
        if isinstance(network, SequenceClassification):
            network.model.save_pretrained(folder, max_shard_size="1TB")  # type: ignore[operator]
            return ["config.json", "model.safetensors"]
        assert isinstance(network, EncoderAndHead)
        network.encoder.save_pretrained(  # type: ignore[operator]
            folder / "encoder", max_shard_size="1TB"
        )
    head = {name: tensor.contiguous() for name, tensor in network.head.state_dict().items()}
    labels = json.dumps(network.space.names, ensure_ascii=False)
    save_file(head, folder / "head.safetensors", metadata={_LABELS: labels})
    return ["encoder/config.json", "encoder/model.safetensors", "head.safetensors"]


def load_network(folder: Path, form: str, space: LabelSpace) -> nn.Module:
    """Load what `save_network` wrote; raise `ArtifactError` when it was for other labels."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    if form == "sequence_classification":
        config = read_config(folder)
        names = [str(config.id2label[column]) for column in range(config.num_labels)]
        _require_labels(folder / "config.json", names, space)
        auto_class = AutoModelForSequenceClassification
        return SequenceClassification(_from_pretrained(auto_class, folder, config, new_head=False))
    path = folder / "head.safetensors"
    with safe_open(path, framework="pt") as file:
        _require_labels(path, json.loads((file.metadata() or {}).get(_LABELS, "[]")), space)
    config = read_config(folder / "encoder")
    encoder = _from_pretrained(AutoModel, folder / "encoder", config, new_head=False)
    head = _new_head(config, space)
    head.load_state_dict(load_file(path))
    return EncoderAndHead(encoder, head, space)


def _require_labels(path: Path, names: Sequence[str], space: LabelSpace) -> None:
    if tuple(names) != space.names:
        raise ArtifactError(
            f"{path} has the labels {', '.join(names)}, thresholds.json has "
            f"{', '.join(space.names)}. The folder was changed; restore or retrain it."
        )
