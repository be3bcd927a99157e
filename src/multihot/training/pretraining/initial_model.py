"""The initial model of pretraining: a new tokenizer and model, or an encoder with its own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from multihot.core.files import storage_errors, write_json, write_text
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.progress import Listener
from multihot.core.seeding import named_seed
from multihot.data.corpus.documents import Corpus
from multihot.data.corpus.wordpiece import save_tokenizer, train_tokenizer
from multihot.data.tokens import check_vocabulary, largest_id
from multihot.errors import OptionError
from multihot.models.encoder import length_limit, load_encoder_tokenizer, locate_encoder
from multihot.models.pretraining.checkpoint import (
    load_pretraining_model,
    new_pretraining_model,
    require_heads,
    shape_of,
)
from multihot.training.initial_model import require_numbers

__all__ = [
    "InitialNetwork",
    "InitialTokenizer",
    "check_initial_options",
    "initial_network",
    "initial_tokenizer",
    "peak_learning_rate",
]

# Of a new model, as in BERT; more than max_length leaves room for longer texts later.
_POSITIONS = 512


@dataclass(frozen=True)
class InitialTokenizer:
    """A tokenizer, its configuration, and whether it was trained for this run."""

    tokenizer: Tokenizer
    config: dict[str, Any]
    is_new: bool

    def keep(self, folder: Path) -> None:
        """Write it for a resumed run; `tokenizer.json` last, whose presence means that it is complete."""
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "tokenizer_config.json", self.config)
        write_text(folder / "tokenizer.json", self.tokenizer.to_str())


@dataclass(frozen=True)
class InitialNetwork:
    """A model before its first step."""

    model: nn.Module
    new_heads: frozenset[str]
    """Heads that an existing encoder came without: `masked-language-model`, `next-sentence`."""

    def old_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are frozen while only new heads train; empty when none is new."""
        model: Any = self.model
        if not self.new_heads:
            return []
        encoder = {id(parameter) for parameter in model.base_model.parameters()}
        return [
            parameter
            for name, parameter in model.named_parameters()
            if _part_of(name, in_encoder=id(parameter) in encoder) not in self.new_heads
        ]


def _part_of(name: str, *, in_encoder: bool) -> str:
    """Return the head that a parameter belongs to; the pooler serves the next-sentence head."""
    if "seq_relationship" in name or "pooler" in name:
        return "next-sentence"
    return "encoder" if in_encoder else "masked-language-model"


def check_initial_options(options: PretrainOptions) -> None:
    """Check the options of the initial model before the long work begins.

    Raises `OptionError` for options that exclude each other, `EncoderError` for an unusable encoder.
    """
    if options.encoder is None:
        shape_of(options.encoder_size)
        return
    if options.tokenizer is not None:
        raise OptionError(
            f"The encoder {options.encoder} has its own tokenizer; leave out tokenizer, or leave out "
            "encoder to create a new one of encoder_size."
        )
    require_heads(locate_encoder(options.encoder).folder)


def initial_tokenizer(
    options: PretrainOptions, corpus: Corpus, kept: Path, listener: Listener
) -> InitialTokenizer:
    """Return the encoder's tokenizer, the requested one, that in `kept`, or train one."""
    if options.encoder is not None:
        folder = locate_encoder(options.encoder).folder
        return InitialTokenizer(*load_encoder_tokenizer(folder), is_new=False)
    if options.tokenizer is not None:
        folder = Path(options.tokenizer)
        if not folder.is_dir():
            folder = locate_encoder(options.tokenizer).folder
        return InitialTokenizer(*load_encoder_tokenizer(folder), is_new=False)
    if (kept / "tokenizer.json").is_file():
        return InitialTokenizer(*load_encoder_tokenizer(kept), is_new=True)
    trained, coverage = train_tokenizer(
        corpus,
        vocab_size=options.vocab_size,
        lowercase=options.lowercase,
        held_out_fraction=options.held_out_fraction,
        listener=listener,
    )
    listener.say(
        f"Tokenizer of {coverage.vocabulary_size} entries: {coverage.pieces_per_word:.2f} pieces per "
        f"word and {coverage.unknown_rate:.3%} unknown words on the hold-out corpus."
    )
    with tempfile.TemporaryDirectory() as scratch:
        save_tokenizer(trained, Path(scratch), lowercase=options.lowercase)
        return InitialTokenizer(*load_encoder_tokenizer(Path(scratch)), is_new=True)


def initial_network(
    options: PretrainOptions, tokenizer: InitialTokenizer, listener: Listener
) -> InitialNetwork:
    """Return the model before its first step.

    Raises `OptionError` when `max_length` is more than it has positions for.
    """
    seed = named_seed(options.seed, "weights")
    if options.encoder is not None:
        loaded = load_pretraining_model(
            options.encoder, seed=seed, next_sentence=options.next_sentence
        )
        for note in loaded.notes:
            listener.say(note)
        model, new_heads = loaded.model, loaded.new_heads
        config: Any = model.config
        check_vocabulary(tokenizer.tokenizer, config.vocab_size, options.encoder)
        require_numbers(model, options.encoder)
    else:
        new_heads = frozenset()  # everything is new
        rows = largest_id(tokenizer.tokenizer) + 1
        check_vocabulary(tokenizer.tokenizer, rows, options.tokenizer or "this run")
        model = new_pretraining_model(
            options.encoder_size,
            rows,
            seed=seed,
            max_positions=max(_POSITIONS, options.max_length),
            next_sentence=options.next_sentence is not False,
            pad_id=tokenizer.tokenizer.token_to_id("[PAD]") or 0,
        )
    limit = length_limit(model.config, {})
    if limit is not None and options.max_length > limit:
        raise OptionError(
            f"max_length={options.max_length}, but the encoder has positions for {limit} tokens."
        )
    return InitialNetwork(model, new_heads)


def peak_learning_rate(options: PretrainOptions, model: nn.Module, listener: Listener) -> float:
    """Return the requested rate, or the default for the model's width."""
    if options.learning_rate is not None:
        return options.learning_rate
    config: Any = model.config
    if options.encoder is not None:
        rate, reason = 1e-4, "continuing from an encoder"
    else:
        width = int(config.hidden_size)
        rate = 1e-3 if width <= 256 else 5e-4 if width <= 512 else 2e-4
        reason = f"a width of {width}"
    listener.say(f"Peak learning rate {rate:g}, the default for {reason}.")
    return rate
