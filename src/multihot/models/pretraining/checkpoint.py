"""Models to pretrain: a BERT from nothing, or an existing encoder to go on from; and their folders.

Letters: `V` vocabulary.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from multihot.core.files import flush_file, flush_folder, storage_errors, write_json, write_text
from multihot.data.tokens import TOKENIZER_CALL_KEYS
from multihot.errors import EncoderError, OptionError
from multihot.models.encoder import length_limit, locate_encoder, quiet_transformers, read_config
from multihot.models.network import load_weights, refuse_lost
from multihot.models.pretraining.network import HEADS

__all__ = [
    "SIZES",
    "LoadedPretrainingModel",
    "Shape",
    "load_heads",
    "load_pretraining_model",
    "new_pretraining_model",
    "require_heads",
    "save_pretraining_model",
    "shape_of",
]

_HEAD_WIDTH = 64


@dataclass(frozen=True)
class Shape:
    """The size of a BERT; heads are 64 wide and the feed-forward layers four times the width."""

    num_layers: int
    width: int


SIZES = {
    "tiny": Shape(2, 128),
    "mini": Shape(4, 256),
    "small": Shape(4, 512),
    "medium": Shape(8, 512),
    "base": Shape(12, 768),
}
"""Turc et al. 2019 (Well-Read Students Learn Better), section 5, and Devlin et al. 2018 for base."""


def shape_of(size: str) -> Shape:
    """Return the shape called `size`: a name of `SIZES`, or layers x width such as `12x512`."""
    if size in SIZES:
        return SIZES[size]
    layers, cross, width = size.partition("x")
    if not cross or not layers.isdecimal() or not width.isdecimal() or int(layers) < 1:
        raise OptionError(
            f"{size!r} is not an encoder size; expected {', '.join(SIZES)}, or layers x width "
            "such as 12x512."
        )
    if int(width) == 0 or int(width) % _HEAD_WIDTH:
        raise OptionError(
            f"An encoder of width {width} cannot be built: attention heads are {_HEAD_WIDTH} wide, so "
            f"the width must be a multiple of {_HEAD_WIDTH}, such as 128, 256 or 512."
        )
    return Shape(int(layers), int(width))


def new_pretraining_model(
    size: str | Shape,
    vocab_size: int,
    *,
    seed: int,
    max_positions: int = 512,
    next_sentence: bool = True,
    dropout: float = 0.1,
    attention_dropout: float | None = None,
    pad_id: int = 0,
) -> nn.Module:
    """Return a BERT with random weights: normal with deviation 0.02, biases 0, normalisation 1.

    Parameters
    ----------
    size
        See `shape_of`.
    vocab_size
        V.
    seed
        63-bit seed of the weights; torch's own generator is left as it was.
    max_positions
        Tokens of the longest text.
    next_sentence
        Whether it gets a next-sentence head (and its pooler): `BertForPreTraining`. Without, it is
        a `BertForMaskedLM`, so that no folder holds a head that was never trained.
    dropout
        Probability of dropping a value in all layers (Devlin et al. 2018, A.2: 0.1).
    attention_dropout
        Probability of dropping an attention weight; `None` is the same. Flash attention takes only 0.
    pad_id
        Id of the padding token.
    """
    from transformers import BertConfig, BertForMaskedLM, BertForPreTraining

    shape = shape_of(size) if isinstance(size, str) else size
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=shape.width,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.width // _HEAD_WIDTH,
        intermediate_size=4 * shape.width,
        max_position_embeddings=max_positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout if attention_dropout is None else attention_dropout,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = (BertForPreTraining if next_sentence else BertForMaskedLM)(config)
    return model


@dataclass(frozen=True)
class LoadedPretrainingModel:
    """An existing encoder with pretraining heads.

    Attributes
    ----------
    model
        The transformers model.
    notes
        Sentences about new or absent heads, for the user.
    new_heads
        Those of `masked-language-model` and `next-sentence` that are random numbers so far.
    """

    model: nn.Module
    notes: tuple[str, ...]
    new_heads: frozenset[str]


def load_pretraining_model(
    name: str | Path, *, seed: int, next_sentence: bool | None = None
) -> LoadedPretrainingModel:
    """Return an existing encoder with its pretraining heads.

    Heads that the checkpoint lacks are drawn from `seed`; a masked-language-model head stays tied
    to the word embeddings.

    Parameters
    ----------
    name
        `starter`, a folder or a hub name; checked as `models.encoder.locate_encoder` does.
    seed
        63-bit seed of new heads; torch's own generator is left as it was.
    next_sentence
        Whether the model has a next-sentence head. `None`: if the checkpoint has one.

    Raises
    ------
    EncoderError
        As `locate_encoder`; for families that are not in `HEADS`; for a next-sentence head outside
        BERT's family; for a checkpoint that lacks weights of the encoder itself.
    """
    source = locate_encoder(str(name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, missing = load_heads(source.folder, next_sentence=next_sentence is not False)
        if next_sentence is None and "next-sentence" in missing:
            model, missing = load_heads(source.folder, next_sentence=False)
    notes = []
    if "masked-language-model" in missing:
        notes.append(
            f"{name} has no masked-language-model head: a new one, tied to its word embeddings, is "
            "trained along. The first steps teach the head more than the encoder."
        )
    is_bert = model.config.model_type == "bert"
    if next_sentence and not is_bert:
        raise EncoderError(
            f"{name} is of the family '{model.config.model_type}', which has no next-sentence head. "
            "Turn the next-sentence task off."
        )
    if next_sentence and "next-sentence" in missing:
        notes.append(f"{name} has no next-sentence head: a new one is trained along.")
    if next_sentence is None and not hasattr(getattr(model, "cls", None), "seq_relationship"):
        notes.append(f"{name} has no next-sentence head: only masked tokens are predicted.")
    return LoadedPretrainingModel(model, tuple(notes), frozenset(missing))


def load_heads(folder: Path, *, next_sentence: bool) -> tuple[Any, set[str]]:
    """Return the model of a checked folder with its pretraining heads, and which of these are new.

    Parameters
    ----------
    folder
        Encoder folder that passed `models.encoder.locate_encoder`.
    next_sentence
        Whether a BERT gets a next-sentence head.

    Returns
    -------
    (model, missing)
        The transformers model, and those of `masked-language-model` and `next-sentence` whose
        weights the checkpoint lacks, so that they are random numbers.
    """
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, MODEL_FOR_PRETRAINING_MAPPING

    require_heads(folder)
    config = read_config(folder)
    with_both = next_sentence and config.model_type == "bert"
    model, new = load_weights(
        MODEL_FOR_PRETRAINING_MAPPING if with_both else MODEL_FOR_MASKED_LM_MAPPING, folder, config
    )
    homes = {key: _home_of(key, f"{model.base_model_prefix}.") for key in new}
    refuse_lost(folder, [key for key in new if homes[key] == "encoder"])
    return model, set(homes.values())


def require_heads(folder: Path) -> None:
    """Raise `EncoderError` for an encoder of a family whose pretraining heads are not known."""
    family = read_config(folder).model_type
    if family not in HEADS:
        raise EncoderError(
            f"{folder} is of the family '{family}', whose pretraining heads are not known here; expected "
            f"one of {', '.join(sorted(HEADS))}."
        )


def _home_of(key: str, encoder_prefix: str) -> str:
    """Return the part of a model that a weight belongs to; the pooler serves the next-sentence head."""
    if "seq_relationship" in key or "pooler" in key:
        return "next-sentence"
    return "encoder" if key.startswith(encoder_prefix) else "masked-language-model"


def save_pretraining_model(
    model: nn.Module, tokenizer: Tokenizer, tokenizer_config: Mapping[str, Any], folder: Path
) -> None:
    """Write a model and its tokenizer as transformers does, for any of its classes to load.

    Everything is written aside and renamed; `config.json` comes last, and without it the folder is
    no encoder. Of weights that are tied only one copy is written.

    Parameters
    ----------
    model
        Of `new_pretraining_model` or `load_pretraining_model`.
    tokenizer, tokenizer_config
        As `models.encoder.load_encoder_tokenizer` returns them.
    folder
        Is made; files of an earlier model are replaced.
    """
    stage = folder / ".writing-model"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        try:
            with quiet_transformers():
                model.save_pretrained(stage, max_shard_size="1TB")  # type: ignore[operator]
            write_text(stage / "tokenizer.json", tokenizer.to_str(pretty=True))
            kept = {k: v for k, v in tokenizer_config.items() if k not in TOKENIZER_CALL_KEYS}
            if limit := length_limit(model.config, kept):
                kept["model_max_length"] = limit
            write_json(stage / "tokenizer_config.json", kept)
            (folder / "config.json").unlink(missing_ok=True)
            # safetensors creates files that only their owner may read.
            mode = (stage / "config.json").stat().st_mode
            names = {path.name for path in stage.iterdir()}
            for name in [*sorted(names - {"config.json"}), "config.json"]:
                (stage / name).chmod(mode)
                flush_file(stage / name)
                os.replace(stage / name, folder / name)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        flush_folder(folder)
