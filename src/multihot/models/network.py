"""Encoder plus head as one module with one call, in the two forms a model directory can have.

* `sequence_classification`: the family's own `...ForSequenceClassification`, which reads [CLS];
  saved as transformers saves it, so transformers loads it.
* `encoder_and_head`: the bare encoder and a head of ours; saved as `encoder/` and
  `head.safetensors`.

Both take a padded batch, or a packed one once `models.packed.self_test.enable_packed` agreed.

Where a text is read in several windows, a network also pools their logits: see `models.window_pooling`.

Letters: `B` rows, `S` tokens of the longest, `T` tokens of all together, `L` labels. Of texts in
several windows, the rows of a batch are the windows, and the logits are those of the texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from multihot.core.labels import LabelSpace
from multihot.core.text_tables import listed
from multihot.data.batches import Batch
from multihot.data.tokens import LabelPrompt
from multihot.errors import EncoderError
from multihot.gate.encoder_folder import weight_files, weights_among
from multihot.gate.folder_contents import FolderContents
from multihot.gate.tensor_headers import TENSOR_TYPES
from multihot.models.encoder import quiet_transformers, read_config
from multihot.models.heads import (
    AttentionPoolingHead,
    Head,
    LabelsInTextHead,
    MeanPoolingHead,
    mean_pool,
)
from multihot.models.packed.encoder import encoder_inputs, keep_first_tokens, narrow_last_layer
from multihot.models.packed.layout import Packing, lay_out
from multihot.models.stored_tensors import tensors_of
from multihot.models.weights import model_of
from multihot.models.window_pooling import WindowMap, WindowPooling

__all__ = [
    "HEAD_KEY",
    "EncoderAndHead",
    "SequenceClassification",
    "batch_tensors",
    "build_network",
    "describe_labels",
    "load_weights",
    "new_head",
    "refuse_lost",
    "save_network",
]


def load_weights(classes: Mapping[Any, Any], folder: Path, config: Any) -> tuple[Any, list[str]]:
    """Return the model in float32 and the names of weights that are new random numbers.

    Parameters
    ----------
    classes
        Classes of models by class of configuration.
    folder
        Encoder folder that passed `models.encoder.locate_encoder`.
    config
        Of `models.encoder.read_config`.

    A weight is new when the checkpoint lacks it or has it in another shape. Weights tied to another
    one are not named. Raises `EncoderError` when transformers cannot load the folder.
    """
    if type(config) not in classes:
        raise EncoderError(f"{folder}: transformers has no such model for '{config.model_type}'.")
    contents = FolderContents(folder, error=EncoderError)
    weights: dict[str, Tensor] = {}
    for name in weight_files(folder, error=EncoderError):
        header, content = contents.tensors(name, dtypes=TENSOR_TYPES)
        weights |= tensors_of(weights_among(header, folder / name, error=EncoderError), content)
    new_head = 0
    if "ForSequenceClassification" in str(classes[type(config)]):
        new_head = config.num_labels * (config.hidden_size + 1)
    return model_of(classes, config, weights, folder, spare=_SPARE + new_head, error=EncoderError)


def refuse_lost(folder: Path, lost: list[str]) -> None:
    """Raise `EncoderError` when weights are lost that no new head explains."""
    if lost:
        raise EncoderError(
            f"{folder}: {len(lost)} weights that config.json describes are not in the checkpoint or have "
            f"another shape, for example {listed(lost[:3])}. They would be random numbers; use a "
            "complete one."
        )


_SPARE = 50_000_000  # weights that a network may have beyond the stored ones and its labels

HEAD_KEY = "head"
"""Key in the head file's metadata. One alone: safetensors writes several in any order, and the same
run shall give the same bytes."""


class SequenceClassification(nn.Module):
    """The family's own classification model."""

    form = "sequence_classification"
    shortest_text = 1

    def __init__(self, model: nn.Module, *, new_head: bool = False) -> None:
        super().__init__()
        self.model = model
        self.new_head = new_head
        self.window_pooling: WindowPooling | None = None
        self.config: Any = model.config
        narrow_last_layer(self.transformer)
        self.transformer.register_forward_hook(keep_first_tokens, with_kwargs=True)

    @property
    def transformer(self) -> Any:
        """The encoder inside the family's model."""
        return self.model.base_model

    @property
    def output_layer(self) -> tuple[nn.Module, str] | None:
        """What holds the linear layer whose outputs are the logits, and the layer's name there.

        Families call it differently. Layers inside the head may have as many outputs as there are labels,
        so it is the one that is nested least, and of several the last.
        """
        holders = [self.model]
        while holders:
            found = [
                (holder, name)
                for holder in holders
                for name, child in holder.named_children()
                if isinstance(child, nn.Linear) and child.out_features == self.config.num_labels
            ]
            if found:
                return found[-1]
            inner = [child for holder in holders for child in holder.children()]
            holders = [child for child in inner if child is not self.transformer]
        return None

    @property
    def label_offsets(self) -> Tensor | None:
        """What is added to the logit of each label, *shape* (L,); `None` when nothing is."""
        place = self.output_layer
        return None if place is None else getattr(*place).bias

    def forward(
        self, input_ids: Tensor, layout: Tensor | Packing, windows: WindowMap | None = None
    ) -> Tensor:
        """Return logits, (B, L).

        Parameters
        ----------
        input_ids
            *Shape:* (B, S), int64, or (T,) when packed.
        layout
            Attention mask, *shape* (B, S), int64, 1 = token; or the packing.
        windows
            Which row is a window of which text; `None` = each is a text.
        """
        if isinstance(layout, Packing):
            layout = replace(layout, read=layout.firsts)
            inputs = encoder_inputs(self.transformer, input_ids, layout)
        else:
            inputs = {"input_ids": input_ids, "attention_mask": layout}
        logits: Tensor = self.model(**inputs).logits
        return _of_texts(logits, windows, self.window_pooling)

    def text_vectors(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the vector of each text's first token. *Shapes:* (B, S) each -> (B, D)."""
        output = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        vectors: Tensor = output.last_hidden_state[:, 0]
        return vectors


class EncoderAndHead(nn.Module):
    """A bare encoder and a head of ours over the labels of `space`."""

    form = "encoder_and_head"

    def __init__(self, encoder: nn.Module, head: Head, space: LabelSpace) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.space = space
        self.window_pooling: WindowPooling | None = None
        self.config: Any = encoder.config

    @property
    def prompt(self) -> LabelPrompt | None:
        """Where the labels stand in front of every text; `None` when they do not."""
        return self.head.prompt if isinstance(self.head, LabelsInTextHead) else None

    @property
    def shortest_text(self) -> int:
        """Tokens that every text has at least."""
        return self.prompt.length + 1 if self.prompt else 1

    @property
    def transformer(self) -> Any:
        """The encoder."""
        return self.encoder

    @property
    def output_layer(self) -> tuple[nn.Module, str] | None:
        """What holds the linear layer whose outputs are the logits, and the layer's name there.

        `None` when one layer scores all labels.
        """
        return None if isinstance(self.head, LabelsInTextHead) else (self.head, "classifier")

    @property
    def label_offsets(self) -> Tensor:
        """What is added to the logit of each label. *Shape:* (L,)."""
        head = self.head
        return head.offset if isinstance(head, LabelsInTextHead) else head.classifier.bias

    def forward(
        self, input_ids: Tensor, layout: Tensor | Packing, windows: WindowMap | None = None
    ) -> Tensor:
        """Return logits, (B, L); see `SequenceClassification.forward`."""
        hidden = self._hidden(input_ids, layout)
        return _of_texts(self.head(hidden, layout), windows, self.window_pooling)

    def text_vectors(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean of each text's tokens, without the labels before them.

        *Shapes:* (B, S) each -> (B, D).
        """
        hidden = self._hidden(input_ids, attention_mask)
        counted = attention_mask.clone()
        counted[:, : self.prompt.length if self.prompt else 0] = 0
        return mean_pool(hidden, counted)

    def _hidden(self, input_ids: Tensor, layout: Tensor | Packing) -> Tensor:
        """Return the vectors of all tokens, (B, S, D), or (F, D) when packed."""
        if isinstance(layout, Packing):
            types = self._token_types(layout.positions) if self._text_type else None
            inputs = encoder_inputs(self.encoder, input_ids, layout, types)
            packed: Tensor = self.encoder(**inputs).last_hidden_state[0]
            return packed
        inputs = {"input_ids": input_ids, "attention_mask": layout}
        if self._text_type:
            places = torch.arange(input_ids.shape[1], device=input_ids.device)
            inputs["token_type_ids"] = self._token_types(places).expand_as(input_ids)
        padded: Tensor = self.encoder(**inputs).last_hidden_state
        return padded

    @property
    def _text_type(self) -> int:
        """Token type of the text behind the labels; 0, as for all tokens, where none is needed."""
        text_type = self.prompt.text_type if self.prompt else 0
        return text_type if text_type < getattr(self.config, "type_vocab_size", 0) else 0

    def _token_types(self, positions: Tensor) -> Tensor:
        """Return 0 for the labels in front of a text and the text's own type for the rest."""
        return (positions >= self.shortest_text - 1).long() * self._text_type


def _of_texts(logits: Tensor, windows: WindowMap | None, pooling: WindowPooling | None) -> Tensor:
    if windows is None:
        return logits
    assert pooling is not None, "texts in windows, and a network that reads each at once"
    pooled: Tensor = pooling(logits, windows)
    return pooled


def batch_tensors(
    batch: Batch, device: torch.device
) -> tuple[Tensor, Tensor | Packing, WindowMap | None]:
    """Return what a network takes, on the device: token ids, their layout, and windows if any."""
    input_ids = torch.from_numpy(batch.input_ids).to(device)
    windows = None
    if batch.text_of_window is not None:
        text = torch.from_numpy(batch.text_of_window).to(device)
        windows = WindowMap(text, len(batch.rows))
    if batch.cu_seq_lens is not None:
        return input_ids, lay_out(batch.cu_seq_lens, device), windows
    return input_ids, torch.from_numpy(batch.attention_mask).to(device), windows


def build_network(
    folder: Path, space: LabelSpace, pooling: str, seed: int, prompt: LabelPrompt | None = None
) -> nn.Module:
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
        `cls`, `mean`, `attention` or `labels`.
    seed
        63-bit seed of the head's initial weights.
    prompt
        With `labels`: where they stand in front of every text.
    """
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_MAPPING

    config = read_config(folder)
    torch.manual_seed(seed)
    if pooling == "cls":
        has_head = any("SequenceClassification" in name for name in config.architectures or ())
        same_labels = tuple(config.id2label.values()) == space.names
        describe_labels(config, space)
        model: Any = _from_pretrained(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, folder, config)
        if has_head and not same_labels:
            _renew_head(model)
        return SequenceClassification(model, new_head=not (has_head and same_labels))
    encoder = _from_pretrained(MODEL_MAPPING, folder, config)
    return EncoderAndHead(encoder, new_head(config, space, pooling, prompt), space)


def _renew_head(model: Any) -> None:
    """Draw everything outside the encoder anew, as the family itself initialises it."""
    fresh = type(model)(model.config)
    inside = f"{model.base_model_prefix}."
    head = {k: v for k, v in fresh.state_dict().items() if not k.startswith(inside)}
    model.load_state_dict(head, strict=False)


def new_head(config: Any, space: LabelSpace, pooling: str, prompt: LabelPrompt | None) -> Head:
    """Return a head with new weights: `mean`, `attention` or `labels`."""
    stated = getattr(config, "hidden_dropout_prob", None)
    dropout = 0.1 if stated is None else stated
    if pooling == "labels":
        assert prompt is not None
        return LabelsInTextHead(config.hidden_size, prompt, dropout)
    kind = AttentionPoolingHead if pooling == "attention" else MeanPoolingHead
    return kind(config.hidden_size, len(space), dropout)


def describe_labels(config: Any, space: LabelSpace) -> None:
    """Write the labels, and that any number of them may be true, into a configuration."""
    config.num_labels = len(space)
    config.id2label = dict(enumerate(space.names))
    config.label2id = {name: column for column, name in enumerate(space.names)}
    config.problem_type = "multi_label_classification"


def _from_pretrained(
    classes: Mapping[Any, Any], folder: Path, config: Any, *, new_head: bool = True
) -> nn.Module:
    """Load safetensors weights in float32; refuse a checkpoint that lacks encoder weights.

    With `new_head`, weights outside the encoder may be missing or made for other labels.
    """
    model, new = load_weights(classes, folder, config)
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
    description = {
        "labels": network.space.names,
        "pooling": _pooling(network.head),
        "prompt": None if network.prompt is None else asdict(network.prompt),
    }
    metadata = {HEAD_KEY: json.dumps(description, ensure_ascii=False)}
    save_file(head, folder / "head.safetensors", metadata=metadata)
    return ["encoder/config.json", "encoder/model.safetensors", "head.safetensors"]


def _pooling(head: Head) -> str:
    if isinstance(head, LabelsInTextHead):
        return "labels"
    return "attention" if isinstance(head, AttentionPoolingHead) else "mean"
