"""The files that a tokenizer is made of, each checked, in a folder of our own.

transformers finds its files in a folder by itself: other vocabularies, templates of chats, code. It
never gets to see a folder that may come from anyone, but copies of the files that passed the checks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from multihot.core.files import storage_errors
from multihot.errors import MultihotError
from multihot.gate.folder_files import read_folder_file, shown_file
from multihot.gate.json_documents import parse_json, read_json_object
from multihot.gate.protobuf import LENGTH_DELIMITED, read_fields
from multihot.gate.tokenizer_json import MAX_ENTRIES, require_small_trie
from multihot.gate.tokenizer_loading import (
    MAX_TOKENIZER_BYTES,
    check_tokenizer_bytes,
    refuse_pointer,
)
from multihot.gate.tokenizer_settings import (
    added_tokens,
    encoder_facts,
    named_tokens,
    tokenizer_settings,
)

__all__ = ["SETTINGS_FILE", "TOKENIZER_FILE", "checked_copy", "read_tokenizer_settings"]

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"

_VOCABULARY_BYTES = 32 << 20
_MODEL_BYTES = 16 << 20  # of SentencePiece; that of a million pieces
_MAX_SETTINGS_BYTES = 16 << 20
_SPECIAL_FILE, _ADDED_FILE = "special_tokens_map.json", "added_tokens.json"
_MERGES = "merges.txt"  # empty where a piece is a single character
_PLAIN_FILES = ("vocab.txt", _MERGES)
_TABLES = ("vocab.json", "entity_vocab.json")
_MODELS = (
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "tokenizer.model",
)
_PIECES_FIELD = 1  # of SentencePiece's protobuf


def read_tokenizer_settings(folder: Path, *, error: type[MultihotError]) -> dict[str, Any]:
    """Return the known keys of `tokenizer_config.json`, none where there is no such file.

    Raises `error` for a file that is no such table and for values of another type.
    """
    if not os.path.lexists(folder / SETTINGS_FILE):
        return {}
    table = _table(folder, SETTINGS_FILE, error)
    return tokenizer_settings(table, folder / SETTINGS_FILE, error=error)


@contextmanager
def checked_copy(folder: Path, *, error: type[MultihotError]) -> Iterator[Path]:
    """Yield a new folder with checked copies of the files of a tokenizer; it is removed afterwards.

    With a `tokenizer.json` it holds no other vocabulary. `config.json` keeps the names of family and
    tokenizer alone. Raises `error` for files that are refused.
    """
    files = _files(folder, error)
    with TemporaryDirectory(prefix="multihot-tokenizer-") as scratch:
        for name, content in files.items():
            with storage_errors(Path(scratch, name)):
                Path(scratch, name).write_bytes(content)
        yield Path(scratch)


def _files(folder: Path, error: type[MultihotError]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    present = {
        name
        for name in (TOKENIZER_FILE, *_PLAIN_FILES, *_TABLES, *_MODELS)
        if _is_there(folder, name)
    }
    if TOKENIZER_FILE in present:
        content = _content(folder, TOKENIZER_FILE, MAX_TOKENIZER_BYTES, error)
        check_tokenizer_bytes(content, folder / TOKENIZER_FILE, error=error)
        files[TOKENIZER_FILE] = content
        present &= {"entity_vocab.json"}
    for name in present:
        most = _MODEL_BYTES if name in _MODELS else _VOCABULARY_BYTES
        files[name] = _content(folder, name, most, error)
        _check_vocabulary(name, files[name], folder / name, error)
    settings = read_tokenizer_settings(folder, error=error)
    if settings or _is_there(folder, SETTINGS_FILE):
        files[SETTINGS_FILE] = _as_json(settings)
    if _is_there(folder, _SPECIAL_FILE):
        table = _table(folder, _SPECIAL_FILE, error)
        files[_SPECIAL_FILE] = _as_json(named_tokens(table, folder / _SPECIAL_FILE, error=error))
    if _is_there(folder, _ADDED_FILE):
        table = _table(folder, _ADDED_FILE, error)
        files[_ADDED_FILE] = _as_json(added_tokens(table, folder / _ADDED_FILE, error=error))
    if _is_there(folder, "config.json"):
        files["config.json"] = _as_json(encoder_facts(_table(folder, "config.json", error)))
    return files


def _is_there(folder: Path, name: str) -> bool:
    return os.path.lexists(folder / name)


def _content(folder: Path, name: str, most_bytes: int, error: type[MultihotError]) -> bytes:
    content = bytes(read_folder_file(folder, name, most_bytes=most_bytes, error=error))
    refuse_pointer(content, folder / name, error)
    if not content.strip() and name != _MERGES:
        raise error(f"{shown_file(folder / name)} is empty; copy the folder anew.")
    return content


def _table(folder: Path, name: str, error: type[MultihotError]) -> dict[str, Any]:
    return read_json_object(
        folder, name, error=error, most_bytes=_MAX_SETTINGS_BYTES, large_integers=True
    )


def _as_json(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table).encode()


def _check_vocabulary(name: str, content: bytes, path: Path, error: type[MultihotError]) -> None:
    """Raise `error` for a file of a vocabulary that is damaged or has too many entries."""
    if name in _MODELS:
        pieces = _pieces(content)
        if pieces is None:
            raise error(f"{shown_file(path)} is no model of SentencePiece; copy the folder anew.")
        num_entries = len(pieces)
        if num_entries <= MAX_ENTRIES:
            with _explained(path, error):
                require_small_trie(pieces)
    elif name in _TABLES:
        table = parse_json(content, path, error=error, max_values=MAX_ENTRIES)
        if not isinstance(table, dict) or not {*map(type, table.values())} <= {int}:
            raise error(f"{shown_file(path)} is no table of pieces with their ids.")
        num_entries = len(table)
    else:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as reason:
            raise error(f"{shown_file(path)}: byte {reason.start} is not UTF-8.") from None
        num_entries = content.count(b"\n") + 1
    if not 1 <= num_entries <= MAX_ENTRIES:
        raise error(f"{shown_file(path)} has {num_entries} entries; expected 1 to {MAX_ENTRIES}.")


def _pieces(content: bytes) -> list[bytes] | None:
    """Return the pieces of a model of SentencePiece, `None` where it is no protobuf.

    Behind each piece stand the few bytes of its score.
    """
    pieces: list[bytes] = []
    try:
        for number, kind, _, first, end in read_fields(memoryview(content), 0, len(content)):
            if kind == LENGTH_DELIMITED and number == _PIECES_FIELD:
                pieces.append(content[first + 2 : end])
                if len(pieces) > MAX_ENTRIES:
                    break
    except ValueError:
        return None
    return pieces


@contextmanager
def _explained(path: Path, error: type[MultihotError]) -> Iterator[None]:
    try:
        yield
    except ValueError as reason:
        raise error(f"{shown_file(path)}: {reason}.") from None
