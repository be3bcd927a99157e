"""transformers sees copies of a tokenizer's files that were checked, and nothing else of its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from multihot.errors import EncoderError
from multihot.gate import tokenizer_settings
from multihot.gate.tokenizer_files import checked_copy, read_tokenizer_settings

VOCABULARY = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text(VOCABULARY)
    _write(
        tmp_path, "config.json", {"model_type": "bert", "auto_map": {"AutoModel": "other.Model"}}
    )
    return tmp_path


def _write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


def _copied(folder: Path) -> dict[str, str]:
    with checked_copy(folder, error=EncoderError) as copy:
        return {path.name: path.read_text() for path in copy.iterdir()}


def test_other_files_are_not_copied(folder: Path) -> None:
    (folder / "other.py").write_text("raise AssertionError")
    (folder / "chat_template.jinja").write_text("{{ 1 }}")
    os.mkfifo(folder / "additional_chat_templates")

    copied = _copied(folder)

    assert sorted(copied) == ["config.json", "vocab.txt"]
    assert copied["vocab.txt"] == VOCABULARY
    assert json.loads(copied["config.json"]) == {"model_type": "bert"}


def test_settings_keep_their_known_keys_alone(folder: Path) -> None:
    known = {
        "do_lower_case": True,
        "model_max_length": 10**30,
        "mask_token": {"content": "[MASK]", "lstrip": False},
        "additional_special_tokens": ["<x>"],
        "tokenizer_class": "BertTokenizer",
    }
    unknown = {"vocab_file": "/etc/x", "name_or_path": "/etc", "chat_template": "{{ 1 }}", "x": [1]}
    _write(folder, "tokenizer_config.json", {**known, **unknown})

    assert read_tokenizer_settings(folder, error=EncoderError) == known


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoTokenizer": ["other.Tokenizer", None]}),
        ("tokenizer_class", "AutoModel"),
        ("tokenizer_class", "../other/Tokenizer"),
        ("model_max_length", "512"),
        ("padding_side", "up"),
        ("do_lower_case", "yes"),
        ("unk_token", {"content": "[UNK]", "other": 1}),
        ("extra_special_tokens", 3),
        ("added_tokens_decoder", {"1000000000": {"content": "<x>"}}),
        ("added_tokens_decoder", [1]),
    ],
)
def test_a_setting_of_another_type_is_refused_with_its_key(
    folder: Path, key: str, value: Any
) -> None:
    _write(folder, "tokenizer_config.json", {key: value})

    with pytest.raises(EncoderError, match=rf"tokenizer_config\.json (has|sets) '?{key}"):
        _copied(folder)


def test_the_tokens_of_all_lists_together_are_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_settings, "_MAX_LISTED_TOKENS", 3)
    lists = {"additional_special_tokens": ["<x>", "<y>"], "extra_special_tokens": {"z": "<z>"}}
    _write(folder, "tokenizer_config.json", lists)
    _copied(folder)

    _write(folder, "special_tokens_map.json", {**lists, "extra_special_tokens": ["<z>", "<a>"]})

    with pytest.raises(EncoderError, match=r"map\.json lists 4 special tokens; expected at most 3"):
        _copied(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.txt", b""),
        ("vocab.txt", b"\xff\xfe"),
        ("vocab.txt", b"version https://git-lfs.github.com/spec/v1\n"),
        ("vocab.json", b"[]"),
        ("vocab.json", b'{"a": "b"}'),
        ("spiece.model", b"no protobuf"),
        ("added_tokens.json", b'{"<x>": 4000000000}'),
        ("special_tokens_map.json", b'{"unk_token": 3}'),
        ("tokenizer.json", b"{}"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)

    with pytest.raises(EncoderError, match=name):
        _copied(folder)


def test_a_pipe_in_place_of_a_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "added_tokens.json")

    with pytest.raises(EncoderError, match="is a named pipe"):
        _copied(folder)


def test_a_vocabulary_outside_the_folder_is_refused(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "vocab.txt").symlink_to(folder / "vocab.txt")

    with pytest.raises(EncoderError, match="outside the folder"):
        _copied(inner)
