"""Load the network of a finished model from the bytes that were verified.

What the files say is compared with each other before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from multihot.core.labels import LabelSpace
from multihot.core.text_tables import cut, listed
from multihot.core.windows import WindowSettings
from multihot.data.tokenizer_fit import check_vocabulary, require_room
from multihot.data.tokens import LabelPrompt, StoredTokenizer
from multihot.errors import ArtifactError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import shown_file
from multihot.gate.json_documents import parse_json
from multihot.gate.tensor_headers import TensorHeader
from multihot.models.encoder import family_config, length_limit
from multihot.models.network import HEAD_KEY, EncoderAndHead, SequenceClassification, new_head
from multihot.models.stored_tensors import tensors_of
from multihot.models.weights import model_of
from multihot.models.window_pooling import WindowPooling

__all__ = ["load_network", "require_fit"]

_ENCODER_CONFIG, _HEAD_FILE = "encoder/config.json", "head.safetensors"
_LONGEST_PROMPT = 1 << 16  # tokens
_SPARE = 1 << 20  # numbers of buffers, which are not stored
_HEAD_WEIGHTS = {  # by pooling; D is the width of the encoder, L the number of labels
    "mean": {"classifier.weight": "LD", "classifier.bias": "L"},
    "attention": {
        "projection.weight": "DD",
        "projection.bias": "D",
        "importance.weight": "1D",
        "classifier.weight": "LD",
        "classifier.bias": "L",
    },
    "labels": {
        "projection.weight": "DD",
        "projection.bias": "D",
        "scorer.weight": "1D",
        "offset": "L",
    },
}


def load_network(
    source: Path | FolderContents,
    form: str,
    space: LabelSpace,
    *,
    pooling: str | None = None,
    windows: WindowSettings | None = None,
) -> nn.Module:
    """Load what `models.network.save_network` wrote.

    Parameters
    ----------
    source
        The folder, or what reads its files. With digests, `verify` is left to the caller.
    form
        `sequence_classification` or `encoder_and_head`.
    space
        The labels that it must be for.
    pooling
        The pooling that it must have; `None`: any.
    windows
        How it reads longer texts in windows; `None`: it does not.

    Raises
    ------
    ArtifactError
        A file is damaged, or the files do not fit each other.
    """
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_MAPPING

    contents = source if isinstance(source, FolderContents) else _unverified(source)
    of_windows = None if windows is None else WindowPooling(windows, space)
    if form == "sequence_classification":
        path = contents.folder / "config.json"
        table = contents.json_object("config.json")
        _require_labels(path, _label_names(path, table), space)
        model = _model(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, contents, "", table)
        network = SequenceClassification(model)
        network.window_pooling = of_windows
        return network
    head, content = contents.tensors(_HEAD_FILE)
    path = contents.folder / _HEAD_FILE
    description = _head_description(path, head.metadata)
    _require_labels(path, description["labels"], space)
    if pooling is not None and description["pooling"] != pooling:
        raise ArtifactError(
            f"{shown_file(path)} is a head for {description['pooling']} pooling, thresholds.json says "
            f"{pooling}. The folder was changed; restore or retrain it."
        )
    table = contents.json_object(_ENCODER_CONFIG)
    encoder = _model(MODEL_MAPPING, contents, "encoder/", table)
    config: Any = encoder.config
    _check_head(path, head, description["pooling"], config.hidden_size, len(space))
    prompt = _prompt(path, description["prompt"], len(space))
    module = new_head(config, space, description["pooling"], prompt)
    module.load_state_dict(tensors_of(head, content))
    whole = EncoderAndHead(encoder, module, space)
    whole.window_pooling = of_windows
    return whole


def require_fit(network: Any, stored: StoredTokenizer, folder: Path, max_length: int) -> None:
    """Raise `ArtifactError` unless an encoder has positions for a length and vectors for a vocabulary.

    The length has room for a text beside the special tokens, which are those of the network's labels.
    """
    check_vocabulary(stored, network.config.vocab_size, folder, error=ArtifactError)
    prompt = getattr(network, "prompt", None)
    require_room(
        stored,
        folder,
        max_length,
        num_positions=length_limit(network.config, {}),
        prompt_length=None if prompt is None else prompt.length,
    )


def _unverified(folder: Path) -> FolderContents:
    return FolderContents(folder, error=ArtifactError)


def _model(
    classes: Mapping[Any, Any], contents: FolderContents, inside: str, table: dict[str, Any]
) -> nn.Module:
    """Return transformers' model of the configuration with the stored weights, in float32."""
    name = f"{inside}model.safetensors"
    header, content = contents.tensors(name)
    path = contents.folder / f"{inside}config.json"
    config = family_config(table, path, error=ArtifactError, tensors=header.tensors)
    weights = contents.folder / name
    model, lost = model_of(
        classes, config, tensors_of(header, content), weights, spare=_SPARE, error=ArtifactError
    )
    if lost:
        raise ArtifactError(
            f"{shown_file(weights)} lacks {len(lost)} weights of config.json, or has them in another "
            f"shape: {listed(lost, 3)}. Restore the file or retrain."
        )
    network: nn.Module = model
    return network


def _label_names(path: Path, table: Mapping[str, Any]) -> list[str]:
    """Return the labels that a configuration describes, in their order."""
    names = table.get("id2label")
    if not isinstance(names, dict) or set(names) != set(map(str, range(len(names)))):
        raise ArtifactError(
            f"{shown_file(path)}: 'id2label' is {cut(names)}; expected the labels by their numbers."
        )
    count = table.get("num_labels", len(names))
    if type(count) is not int or count != len(names):
        raise ArtifactError(
            f"{shown_file(path)}: 'num_labels' is {cut(count)}; there are {len(names)} labels."
        )
    return [str(names[str(column)]) for column in range(len(names))]


def _head_description(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the description stored in a head file: labels, pooling and prompt."""
    if HEAD_KEY in metadata:
        found = parse_json(metadata[HEAD_KEY].encode(), path, error=ArtifactError)
    else:  # Before there was more than one head, only the labels were written.
        labels = parse_json(metadata.get("labels", "[]").encode(), path, error=ArtifactError)
        found = {"labels": labels, "pooling": "mean", "prompt": None}
    if not isinstance(found, dict) or not {"labels", "pooling", "prompt"} <= set(found):
        raise ArtifactError(
            f"{shown_file(path)} is described by {cut(found)}; expected labels, pooling and prompt."
        )
    labels, pooling = found["labels"], found["pooling"]
    if not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
        raise ArtifactError(f"{shown_file(path)}: its labels are {cut(labels)}; expected names.")
    if not isinstance(pooling, str) or pooling not in _HEAD_WEIGHTS:
        raise ArtifactError(
            f"{shown_file(path)}: its pooling is {cut(pooling)}; expected one of "
            f"{', '.join(_HEAD_WEIGHTS)}."
        )
    if (pooling == "labels") != (found["prompt"] is not None):
        raise ArtifactError(
            f"{shown_file(path)}: its prompt is {cut(found['prompt'])} with {pooling} pooling."
        )
    return found


def _prompt(path: Path, stored: Any, num_labels: int) -> LabelPrompt | None:
    """Return where the labels stand before a text; raise `ArtifactError` where they cannot."""
    if stored is None:
        return None
    try:
        prompt = LabelPrompt.from_json(stored)
        places = [0, *(place for span in prompt.spans for place in span), prompt.length]
        starts_are_before_ends = all(start < end for start, end in prompt.spans)
    except (KeyError, TypeError, ValueError):
        prompt, places, starts_are_before_ends = None, [], False
    if (
        prompt is None
        or not starts_are_before_ends
        or places != sorted(places)
        or len(prompt.spans) != num_labels
        or prompt.length > _LONGEST_PROMPT
        or prompt.text_type not in (0, 1)
    ):
        raise ArtifactError(
            f"{shown_file(path)}: its prompt is {cut(stored)}; expected a span of tokens for each of "
            f"{num_labels} labels, one after the other."
        )
    return prompt


def _check_head(path: Path, head: TensorHeader, pooling: str, width: int, num_labels: int) -> None:
    """Raise `ArtifactError` unless a head has exactly the weights of its pooling."""
    sizes = {"D": width, "L": num_labels, "1": 1}
    expected = {
        name: tuple(sizes[letter] for letter in shape)
        for name, shape in _HEAD_WEIGHTS[pooling].items()
    }
    found = {name: tensor.shape for name, tensor in head.tensors.items()}
    wrong = sorted(name for name in {**expected, **found} if expected.get(name) != found.get(name))
    if wrong:
        raise ArtifactError(
            f"{shown_file(path)}: the weight {cut(wrong[0])} has the shape {found.get(wrong[0])}; "
            f"expected {expected.get(wrong[0])} for {pooling} pooling, {num_labels} labels and an "
            f"encoder of width {width}. Restore the file or retrain."
        )


def _require_labels(path: Path, names: Sequence[str], space: LabelSpace) -> None:
    if tuple(names) != space.names:
        raise ArtifactError(
            f"{shown_file(path)} has the labels {listed(names)}, thresholds.json has "
            f"{listed(space.names)}. The folder was changed; restore or retrain it."
        )
