"""What a `tokenizer.json` may hold: components that are known, of bounded number and bounded growth.

The tokenizers library trusts this file. Its model maps pieces of text to ids; components before it
change and split the text, and one after it puts special tokens around it. Each of them can be written
so that a short text becomes a very long one, so that every text takes minutes, or so that the library
gives up on its first word. All of that is checked on the parsed document, before the library sees it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.gate.tokenizer_components import (
    COMPONENT_KINDS,
    bounded_integer,
    bounded_text,
    check_components,
    components,
)

__all__ = [
    "MAX_ADDED_CHARACTERS",
    "MAX_ADDED_TOKENS",
    "MAX_ENTRIES",
    "MAX_ID",
    "TokenizerContent",
    "check_tokenizer_json",
    "require_small_trie",
]

MAX_ID = 2**24
"""Ids are below it."""
MAX_ADDED_TOKENS = 2**16
MAX_ADDED_CHARACTERS = 2**20
"""Of all added tokens together; the library searches for all of them at once."""
MAX_ENTRIES = 2**20
"""Of a vocabulary; the largest one in use, of XLM-V, has 901,629."""

_MAX_TRIE = 4_000_000  # beginnings of pieces, each of which takes 300 bytes

_MAX_WORD = 1000  # characters that WordPiece looks at as one word

_MODELS = ("WordPiece", "BPE", "Unigram", "WordLevel")
_KEYS = {"version", "truncation", "padding", "added_tokens", "model", *COMPONENT_KINDS}
_SIDES = ("Left", "Right", "left", "right")


@dataclass(frozen=True)
class TokenizerContent:
    """What the checks of a `tokenizer.json` found."""

    num_pieces: int
    """Of the model's vocabulary, without added tokens."""
    largest_piece: int
    """The largest id of a piece."""
    added: Mapping[str, int]
    """Ids of the added tokens."""
    patterns: tuple[str, ...]
    """Regular expressions."""


def check_tokenizer_json(document: Any) -> TokenizerContent:
    """Return what a parsed `tokenizer.json` holds; raise `ValueError` for one that is not safe to load.

    What is merely wrong, such as a merge of pieces that the vocabulary lacks, is left to the library.
    """
    if not isinstance(document, dict) or "model" not in document:
        raise ValueError("it describes no tokenizer: it has no 'model'")
    if unknown := sorted(set(document) - _KEYS):
        raise ValueError(f"it has unknown keys: {listed(unknown, 5)}")
    ids = _check_model(document["model"])
    added = _check_added_tokens(document.get("added_tokens") or [], ids)
    _check_call_settings(document)
    patterns = check_components(document, ChainMap(ids, added))
    _require_unknown_token(document, ids)
    return TokenizerContent(len(ids), max(ids.values()), added, tuple(patterns))


def _model_type(model: Mapping[str, Any]) -> str:
    """Return the kind of a model; files of before 2021 do not name it."""
    named = model.get("type")
    if named is not None:
        if named not in _MODELS:
            raise ValueError(f"the model has type={cut(named)}; expected one of {listed(_MODELS)}")
        return str(named)
    if isinstance(model.get("vocab"), list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else "WordLevel"


def _check_model(model: Any) -> dict[str, int]:
    """Return the ids of the model's vocabulary."""
    if not isinstance(model, dict):
        raise ValueError(f"the model is {cut(model)}; expected an object")
    kind = _model_type(model)
    for key in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key) is not None:
            bounded_text(model, key, "the model")
    if kind == "WordPiece":
        bounded_integer(
            model.get("max_input_chars_per_word", 100),
            "max_input_chars_per_word of the model",
            _MAX_WORD,
            1,
        )
    if model.get("dropout"):
        raise ValueError(
            f"the model has dropout={cut(model['dropout'])}, which splits a text otherwise each time; "
            "set it to null"
        )
    if kind == "Unigram":
        return _check_unigram(model, model.get("vocab"))
    if kind == "BPE":
        _check_merges(model.get("merges"), model.get("continuing_subword_prefix") or "")
    return _check_pieces(model.get("vocab"))


def _check_pieces(vocabulary: Any) -> dict[str, int]:
    """Return the vocabulary, in which each piece has an id of its own."""
    if not isinstance(vocabulary, dict):
        raise ValueError(f"the vocabulary is {cut(vocabulary)}; expected pieces with their ids")
    _check_size(len(vocabulary))
    numbers = vocabulary.values()
    if not {*map(type, numbers)} <= {int} or min(numbers) < 0 or max(numbers) >= MAX_ID:
        piece, number = next(
            (p, n) for p, n in vocabulary.items() if type(n) is not int or not 0 <= n < MAX_ID
        )
        raise ValueError(f"the piece {cut(piece)} has the id {cut(number)}")
    if len(set(numbers)) < len(vocabulary):
        seen: dict[int, str] = {}
        for piece, number in vocabulary.items():
            if number in seen:
                raise ValueError(
                    f"the pieces {cut(seen[number])} and {cut(piece)} have the same id, {number}"
                )
            seen[number] = piece
    return vocabulary


def _check_merges(merges: Any, prefix: str) -> None:
    """Check that the second part of each merge begins with the prefix, which the library cuts off."""
    if not isinstance(merges, list):
        raise ValueError(f"the merges are {cut(merges)}; expected a list")
    for merge in merges if prefix else ():
        pair = merge.split(" ") if isinstance(merge, str) else merge
        second = pair[1] if isinstance(pair, list) and len(pair) == 2 else None
        if not isinstance(second, str) or not second.startswith(prefix):
            raise ValueError(
                f"the merge {cut(merge)} has no second part that begins with {cut(prefix)}, the prefix "
                "of pieces inside words"
            )


def _check_unigram(model: Mapping[str, Any], vocabulary: Any) -> dict[str, int]:
    if not isinstance(vocabulary, list):
        raise ValueError(f"the vocabulary is {cut(vocabulary)}; expected pieces with their scores")
    _check_size(len(vocabulary))
    ids: dict[str, int] = {}
    for number, entry in enumerate(vocabulary):
        pair = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        if not isinstance(pair[0], str) or type(pair[1]) not in (int, float):
            raise ValueError(f"entry {number} of the vocabulary is {cut(entry)}")
        ids[pair[0]] = number
    require_small_trie([piece.encode() for piece in ids])
    unknown = model.get("unk_id")
    if unknown is not None:
        bounded_integer(unknown, "unk_id of the model", len(vocabulary) - 1)
    elif not model.get("byte_fallback"):
        raise ValueError(
            "the model names no piece for unknown characters (unk_id), so texts with other characters "
            "cannot be read"
        )
    return ids


def require_small_trie(pieces: list[bytes]) -> None:
    """Raise `ValueError` for pieces whose different beginnings are more than a vocabulary in use has."""
    num_beginnings = sum(map(len, pieces))
    if num_beginnings <= _MAX_TRIE:
        return
    ordered = sorted(pieces)
    num_beginnings -= sum(map(_num_shared, ordered[:-1], ordered[1:]))
    if num_beginnings > _MAX_TRIE:
        raise ValueError(
            f"the pieces of the vocabulary have {num_beginnings} different beginnings; expected at most "
            f"{_MAX_TRIE}"
        )


def _num_shared(first: bytes, second: bytes) -> int:
    """Return how many bytes two pieces begin with alike."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _check_size(num_pieces: int) -> None:
    if not 1 <= num_pieces <= MAX_ENTRIES:
        raise ValueError(
            f"the vocabulary has {num_pieces} pieces; expected 1 to {MAX_ENTRIES}"
            + ("" if num_pieces else ". Fetch the file anew")
        )


def _require_unknown_token(document: Mapping[str, Any], ids: dict[str, int]) -> None:
    model = document["model"]
    kind = _model_type(model)
    token = model.get("unk_token") or ("[UNK]" if kind == "WordPiece" else "<unk>")
    by_bytes = model.get("byte_fallback") or any(
        each["type"] == "ByteLevel"
        for part in ("normalizer", "pre_tokenizer")
        for each in components(document.get(part), part)
    )
    needs_one = kind in ("WordPiece", "WordLevel") or (
        kind == "BPE" and bool(model.get("unk_token")) and not by_bytes
    )
    if needs_one and token not in ids:
        raise ValueError(
            f"the vocabulary lacks {cut(token)}, which stands for unknown words, so texts with other "
            "words cannot be read"
        )


def _check_added_tokens(added: Any, ids: dict[str, int]) -> dict[str, int]:
    """Return the ids of added tokens; none may take the id of another piece."""
    if not isinstance(added, list) or len(added) > MAX_ADDED_TOKENS:
        raise ValueError(
            f"added_tokens is {cut(added)}; expected at most {MAX_ADDED_TOKENS} tokens"
        )
    found: dict[str, int] = {}
    taken: dict[int, str] = {}
    num_characters = 0
    for token in added:
        if not isinstance(token, dict):
            raise ValueError(f"an added token is {cut(token)}; expected an object")
        content = bounded_text(token, "content", "an added token")
        number = bounded_integer(
            token.get("id"), f"the id of the added token {cut(content)}", 2**31 - 1
        )
        if not content:
            raise ValueError(f"the added token of id {number} is empty")
        found[content] = number
        num_characters += len(content)
        if taken.setdefault(number, content) != content or ids.get(content, number) != number:
            other = taken[number] if taken[number] != content else f"id {ids.get(content)}"
            raise ValueError(
                f"the added token {cut(content)} has the id {number}, but also {cut(other)} is there"
            )
    if num_characters > MAX_ADDED_CHARACTERS:
        raise ValueError(
            f"added_tokens have {num_characters} characters; expected at most {MAX_ADDED_CHARACTERS}"
        )
    if taken:
        for piece, number in ids.items():
            if number in taken and taken[number] != piece:
                raise ValueError(
                    f"the added token {cut(taken[number])} has the id {number} of the piece {cut(piece)}"
                )
    return found


def _check_call_settings(document: Mapping[str, Any]) -> None:
    """Check padding and truncation, which are cleared after loading."""
    truncation, padding = document.get("truncation"), document.get("padding")
    for name, value in (("truncation", truncation), ("padding", padding)):
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"{name} is {cut(value)}; expected an object or null")
        direction = (value or {}).get("direction", "Right")
        if direction not in _SIDES:
            raise ValueError(f"{name} has direction={cut(direction)}; expected Left or Right")
    if truncation:
        length = bounded_integer(
            truncation.get("max_length", 512), "max_length of truncation", 2**62
        )
        bounded_integer(truncation.get("stride", 0), "stride of truncation", max(0, length - 1))
    if padding and padding.get("pad_to_multiple_of") is not None:
        bounded_integer(padding["pad_to_multiple_of"], "pad_to_multiple_of of padding", 2**16, 1)
