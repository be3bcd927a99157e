"""Whether a tokenizer fits a network: its ids have vectors, and a text has room beside special tokens."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from multihot.data.tokens import StoredTokenizer, largest_id, special_tokens
from multihot.errors import ArtifactError, EncoderError, MultihotError, OptionError
from multihot.gate.folder_files import shown_file

__all__ = ["check_vocabulary", "require_room"]

_FEW_ROWS = 1024  # of a toy encoder, whose vocabulary may be far smaller


def check_vocabulary(
    tokenizer: Tokenizer | StoredTokenizer,
    rows: int,
    name: str | Path,
    *,
    error: type[MultihotError] = EncoderError,
) -> None:
    """Raise `error` when the ids of a tokenizer cannot be those of an encoder's embeddings.

    Parameters
    ----------
    tokenizer
        Of the encoder.
    rows
        Vectors of its embeddings.
    name
        The encoder, for messages.
    """
    if isinstance(tokenizer, StoredTokenizer):
        plain, largest = tokenizer.tokenizer, tokenizer.largest_id
    else:
        plain, largest = tokenizer, largest_id(tokenizer)
    num_tokens = plain.get_vocab_size(with_added_tokens=True)
    if largest >= rows:
        found = f"{num_tokens} tokens" if num_tokens > rows else f"a token with the id {largest}"
        raise error(
            f"The tokenizer of {shown_file(name)} has {found}, but the encoder has embeddings for "
            f"{rows}: they do not match."
        )
    if 2 * num_tokens < rows and rows > _FEW_ROWS:
        raise error(
            f"The tokenizer of {shown_file(name)} has {num_tokens} tokens, but the encoder has "
            f"embeddings for {rows}: the vocabulary is damaged or another one. Copy the folder anew."
        )


def require_room(
    stored: StoredTokenizer,
    folder: Path,
    max_length: int,
    *,
    num_positions: int | None,
    prompt_length: int | None,
) -> None:
    """Raise `ArtifactError` unless texts of a finished model's length have positions and room.

    Parameters
    ----------
    stored
        The model's tokenizer.
    folder
        The model folder, for messages.
    max_length
        Tokens per text at most, special tokens included.
    num_positions
        Tokens that the encoder has positions for; `None`: any number.
    prompt_length
        Tokens that stand before every text where the network reads its labels there, else `None`.
    """
    if num_positions is not None and max_length > num_positions:
        raise ArtifactError(
            f"{shown_file(folder)}: 'max_length' in thresholds.json is {max_length}, and by config.json "
            f"the encoder has positions for {num_positions} tokens. The folder was changed; restore or retrain it."
        )
    try:
        before, after = special_tokens(stored.tokenizer)
    except (OptionError, EncoderError) as reason:
        raise ArtifactError(f"{shown_file(folder)}: {reason}") from None
    if max_length <= len(before) + len(after):
        raise ArtifactError(
            f"{shown_file(folder)}: 'max_length' is {max_length}, and tokenizer.json puts "
            f"{len(before) + len(after)} special tokens around a text. The folder was changed; restore "
            "or retrain it."
        )
    if prompt_length is not None and prompt_length != len(before):
        raise ArtifactError(
            f"{shown_file(folder)}: tokenizer.json puts {len(before)} tokens before a text, and by "
            f"head.safetensors the network was trained with {prompt_length}, its labels. The folder was "
            "changed; restore or retrain it."
        )
