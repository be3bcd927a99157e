"""Networks of checkpoints that other tools wrote, with every weight of theirs and none that is new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from multihot.core.labels import LabelSpace
from multihot.errors import EncoderError
from multihot.gate.encoder_folder import CONFIG_FILE, weight_files, weights_among
from multihot.gate.folder_contents import FolderContents
from multihot.gate.tensor_headers import TENSOR_TYPES, StoredTensor
from multihot.models.encoder import family_config
from multihot.models.network import (
    EncoderAndHead,
    SequenceClassification,
    describe_labels,
    new_head,
    refuse_lost,
)
from multihot.models.stored_tensors import tensors_of
from multihot.models.weights import model_of

__all__ = ["foreign_classifier", "foreign_pooled_classifier"]

_SPARE = 1 << 20  # numbers of buffers, which are not stored


def foreign_classifier(
    folder: Path, table: Mapping[str, Any], space: LabelSpace, plain_name: Callable[[str], str]
) -> nn.Module:
    """Return a family's own classifier with the weights of a folder, for the labels of `space`.

    Parameters
    ----------
    folder
        Where the safetensors weights are.
    table
        The configuration, its labels aside.
    space
        As many labels as the stored head has outputs, in their order.
    plain_name
        Names of weights as transformers knows them.

    Raises `EncoderError` where transformers cannot make the network, or a weight of it is not stored.
    """
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    config, weights = _config_and_weights(folder, table, plain_name)
    describe_labels(config, space)
    model = _whole_model(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, folder, config, weights)
    return SequenceClassification(model)


def foreign_pooled_classifier(
    folder: Path,
    table: Mapping[str, Any],
    space: LabelSpace,
    plain_name: Callable[[str], str],
    *,
    head: Path,
    names: tuple[str, str],
) -> nn.Module:
    """Return an encoder with a linear head over the mean of its token vectors.

    Parameters
    ----------
    folder, table, space, plain_name
        As for `foreign_classifier`.
    head
        Safetensors file of the head.
    names
        Of its weight, *shape* (L, D), and of its bias, (L,).
    """
    from transformers import MODEL_MAPPING

    config, weights = _config_and_weights(folder, table, plain_name)
    encoder = _whole_model(MODEL_MAPPING, folder, config, weights)
    header, content = FolderContents(head.parent, error=EncoderError).tensors(head.name)
    stored = tensors_of(header, content)
    module = new_head(config, space, "mean", None)
    weight, bias = (stored[name].float() for name in names)
    if weight.shape != (len(space), config.hidden_size):
        raise EncoderError(
            f"{head}: the head has the shape {tuple(weight.shape)}; expected {len(space)} labels and the "
            f"width of the encoder, {config.hidden_size}."
        )
    module.load_state_dict({"classifier.weight": weight, "classifier.bias": bias})
    return EncoderAndHead(encoder, module, space)


def _config_and_weights(
    folder: Path, table: Mapping[str, Any], plain_name: Callable[[str], str]
) -> tuple[Any, dict[str, Tensor]]:
    contents = FolderContents(folder, error=EncoderError)
    headers: dict[str, StoredTensor] = {}
    weights: dict[str, Tensor] = {}
    for file in weight_files(folder, error=EncoderError):
        header, content = contents.tensors(file, dtypes=TENSOR_TYPES)
        kept = weights_among(header, folder / file, error=EncoderError)
        headers |= {plain_name(name): tensor for name, tensor in kept.tensors.items()}
        weights |= {plain_name(name): each for name, each in tensors_of(kept, content).items()}
    config = family_config(table, folder / CONFIG_FILE, error=EncoderError, tensors=headers)
    return config, weights


def _whole_model(
    classes: Mapping[Any, Any], folder: Path, config: Any, weights: Mapping[str, Tensor]
) -> Any:
    if type(config) not in classes:
        raise EncoderError(f"{folder}: transformers has no such model for '{config.model_type}'.")
    model, new = model_of(classes, config, weights, folder, spare=_SPARE, error=EncoderError)
    # A pooler of the bare encoder is read by no head of ours.
    refuse_lost(
        folder, [name for name in new if "pooler" not in name or "ForSeq" in type(model).__name__]
    )
    return model
