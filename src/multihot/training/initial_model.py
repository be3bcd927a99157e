"""The initial model of a run: an encoder with a new head, or a finished model with its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from multihot.core.files import read_table
from multihot.core.labels import LabelSpace
from multihot.core.options import DEFAULT_MAX_LENGTH, TrainOptions
from multihot.core.text_tables import cut
from multihot.core.windows import (
    DEFAULT_MAX_WINDOWS,
    DEFAULT_WINDOW_OVERLAP,
    WindowSettings,
)
from multihot.data.text_windows import TextCutter
from multihot.data.tokenizer_fit import check_vocabulary
from multihot.data.tokens import LabelPrompt, special_tokens, with_label_prompt
from multihot.errors import EncoderError, OptionError
from multihot.gate.tokenizer_loading import check_saved_tokenizer
from multihot.inference.artifact import read_artifact
from multihot.inference.trained_model import load_trained_model
from multihot.models.encoder import (
    FEWEST_TOKENS,
    length_limit,
    load_encoder_tokenizer,
    locate_encoder,
    read_config,
    resolve_pooling,
)
from multihot.models.network import build_network
from multihot.models.window_pooling import WindowPooling

__all__ = [
    "InitialModel",
    "initialize_from_artifact",
    "initialize_from_encoder",
    "read_descriptions",
    "require_numbers",
    "weights_fingerprint",
    "with_windows",
]


@dataclass(frozen=True)
class InitialModel:
    """A network before its first step, with its tokenizer, labels and settings."""

    network: nn.Module
    tokenizer: Tokenizer
    tokenizer_config: dict[str, Any]
    space: LabelSpace
    pooling: str
    """`cls`, `mean`, `attention` or `labels`."""
    max_length: int
    """Tokens per text or window at most, special tokens included."""
    windows: WindowSettings | None = None
    """How longer texts are read; `None`: they are cut."""

    @property
    def num_label_tokens(self) -> int:
        """Tokens that the label names in front of every text take; 0 when there are none."""
        network: Any = self.network
        return int(network.shortest_text) - 1


def initialize_from_encoder(
    name: str,
    space: LabelSpace,
    *,
    pooling: str,
    max_length: int | None,
    seed: int,
    descriptions: Mapping[str, str] | None = None,
) -> InitialModel:
    """Put a new head for `space` on the encoder called `name`.

    `max_length` defaults to 256 or the encoder's limit; asking for more than the limit raises
    `OptionError`. `descriptions` are texts by label name, for `pooling="labels"`.
    """
    source = locate_encoder(name)
    tokenizer, tokenizer_config = load_encoder_tokenizer(source.folder)
    config = read_config(source.folder)
    check_vocabulary(tokenizer, config.vocab_size, name)
    limit = length_limit(config, tokenizer_config)
    if limit is not None and limit < FEWEST_TOKENS:
        raise EncoderError(
            f"The tokenizer of {name} allows {limit} tokens (model_max_length), too few for a text."
        )
    _check_length(max_length, limit, name)
    length = max_length or min(DEFAULT_MAX_LENGTH, limit or DEFAULT_MAX_LENGTH)
    resolved, prompt = resolve_pooling(pooling, source), None
    if resolved == "labels":
        tokenizer, prompt = with_label_prompt(tokenizer, space.names, descriptions or {})
        _check_prompt(prompt, length)
        check_saved_tokenizer(tokenizer, name, error=OptionError)
    network = build_network(source.folder, space, resolved, seed, prompt)
    require_numbers(network, name)
    return InitialModel(network, tokenizer, tokenizer_config, space, resolved, length)


def _check_length(max_length: int | None, limit: int | None, name: str | Path) -> None:
    if max_length is not None and limit is not None and max_length > limit:
        raise OptionError(
            f"max_length={max_length}, but the encoder {name} has positions for {limit} tokens."
        )


def read_descriptions(path: str | None) -> dict[str, str]:
    """Read label texts by label name from a JSON or TOML file, or from JSON itself; none from `None`.

    Raises `OptionError` when the file is missing, cannot be parsed, or holds anything but texts.
    """
    if path is None:
        return {}
    if path.lstrip().startswith("{"):
        table = _inline_table(path)
    else:
        table = read_table(Path(path), "label_descriptions")
    for name, text in table.items():
        if not isinstance(text, str) or not text.strip():
            raise OptionError(
                f"{path}: the description of '{name}' is {text!r}; expected a text, such as "
                '"joy": "joy, happiness and delight".'
            )
    return table


def _inline_table(text: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"label_descriptions={cut(text)} is not valid JSON: {error}") from None
    return table


def _check_prompt(prompt: LabelPrompt, max_length: int) -> None:
    if prompt.length + 2 > max_length:
        raise OptionError(
            f"The label names take {prompt.length} tokens, which leaves no room for a text in "
            f"max_length={max_length}. Raise max_length, shorten label_descriptions, or use "
            "pooling=mean."
        )


def initialize_from_artifact(folder: Path, *, max_length: int | None) -> InitialModel:
    """Load network, head, tokenizer and labels of a finished model.

    Raises `OptionError` when `max_length` is more than its encoder has positions for.
    """
    artifact = read_artifact(folder)
    if artifact.exported is not None:
        raise OptionError(
            f"{folder} is an export, whose weights are no longer trained: start from the model that it was "
            "exported from."
        )
    trained = load_trained_model(artifact)
    network = trained.network
    require_numbers(network, folder)
    # Not the tokenizer's limit: in a finished model that is the length it was trained with.
    _check_length(max_length, length_limit(network.config, {}), folder)
    return InitialModel(
        network=network,
        tokenizer=trained.stored.tokenizer,
        tokenizer_config=trained.tokenizer_config,
        space=artifact.decision.space,
        pooling=artifact.pooling,
        max_length=max_length or artifact.max_length,
        windows=artifact.windows,
    )


def with_windows(model: InitialModel, options: TrainOptions) -> InitialModel:
    """Return the model with the way of reading longer texts that options ask for, if they do.

    Raises `OptionError` when the windows overlap entirely, or are described and there are none.
    """
    before, space = model.windows, model.space
    pooling = options.windows or (None if before is None else before.pooling)
    settings = None
    if pooling is not None and pooling != "none":
        least = min(DEFAULT_WINDOW_OVERLAP, model.max_length // 8)
        usual = before or WindowSettings(pooling, least, DEFAULT_MAX_WINDOWS)
        overlap, most = options.window_overlap, options.max_windows
        settings = WindowSettings(
            pooling,
            usual.overlap if overlap is None else overlap,
            usual.max_windows if most is None else most,
            usual.sharpness if pooling == usual.pooling else None,
        )
        TextCutter(*special_tokens(model.tokenizer), model.max_length, settings)
    else:
        for name in ("window_overlap", "max_windows"):
            if (value := getattr(options, name)) is not None:
                raise OptionError(f"{name}={value} needs windows: set windows=max or another one.")
    network: Any = model.network
    network.window_pooling = None if settings is None else WindowPooling(settings, space)
    return replace(model, windows=settings)


def require_numbers(network: nn.Module, source: str | Path) -> None:
    """Raise `EncoderError` for weights from which nothing can be trained."""
    for name, weight in network.named_parameters():
        if not torch.isfinite(weight.detach()).all():
            raise EncoderError(
                f"{source}: the weight {cut(name)} has values that are NaN or infinite. The file is "
                "damaged, or its training diverged."
            )


def weights_fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of all weights, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
