"""When a file's tokens come from the cache, and what makes them be made anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.data import encode as encoded_files
from multihot.data.encode import encode_file
from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, open_labelled
from multihot.data.tokens import load_tokenizer
from multihot.data.union import open_union
from multihot.errors import DataError

SPACE = LabelSpace(("fear", "joy"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a cache in which every file counts as large."""
    monkeypatch.setattr(encoded_files, "SMALL_FILE_BYTES", 0)
    monkeypatch.setenv("MULTIHOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "a.jsonl")


@pytest.fixture
def tokenizer(tiny_encoder: Path) -> Tokenizer:
    return load_tokenizer(tiny_encoder / "tokenizer.json")


def write(path: Path, text: str = "so happy", labels: object = ("joy",)) -> Path:
    rows = [{"text": text, "labels": labels}, {"text": "afraid again", "labels": ["fear"]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows * 2), "utf-8")
    return path


def said_of(
    path: Path,
    tokenizer: Tokenizer,
    data: DataOptions | None = None,
    *,
    space: LabelSpace = SPACE,
    max_length: int = 16,
) -> str:
    """Encode a file and return what was said."""
    said: list[str] = []
    file = open_labelled(path, data, space=space)
    rows = encode_file(file, space, tokenizer, max_length, said.append)
    assert len(rows.lines) == 4
    return " ".join(said)


def test_a_file_is_tokenised_once_and_it_is_said_where_to(
    path: Path, tokenizer: Tokenizer, cache: Path
) -> None:
    first, second = (said_of(path, tokenizer) for _ in range(2))
    (entry,) = cache.iterdir()

    assert first == (
        f"Tokenising {path} once, into {entry}. MULTIHOT_CACHE names another folder, or is off."
    )
    assert second == f"Using cached tokens of {path}: {entry}."


def test_a_small_file_leaves_nothing_in_the_cache(
    path: Path, tokenizer: Tokenizer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded_files, "SMALL_FILE_BYTES", path.stat().st_size + 1)

    assert said_of(path, tokenizer) == ""
    assert not cache.exists()


def test_a_cache_that_is_off_is_not_written(
    path: Path, tokenizer: Tokenizer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTIHOT_CACHE", "off")

    assert said_of(path, tokenizer) == ""
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(
    path: Path, tokenizer: Tokenizer, cache: Path
) -> None:
    cache.parent.write_text("a file, not a folder")

    said = said_of(path, tokenizer)

    assert "Cannot write" in said
    assert said.endswith("Until then the tokens are held in memory.")


def _copy(path: Path) -> Path:
    path.with_name("copy.jsonl").write_bytes(path.read_bytes())
    return path.with_name("copy.jsonl")


def test_an_equal_file_elsewhere_is_the_same_file(
    path: Path, tokenizer: Tokenizer, cache: Path
) -> None:
    said_of(path, tokenizer)

    assert "Using cached tokens" in said_of(_copy(path), tokenizer)


CHANGES: dict[str, Callable[[Path, Tokenizer], str]] = {
    "one letter": lambda path, one: said_of(write(path, text="so happi"), one),
    "one label": lambda path, one: said_of(write(path, labels=[]), one),
    "max_length": lambda path, one: said_of(path, one, max_length=15),
    "the order of the labels": lambda path, one: said_of(
        path, one, space=LabelSpace(("joy", "fear"))
    ),
    "a reading option": lambda path, one: said_of(path, one, DataOptions(ignore_columns=("x",))),
    "the tokenizer": lambda path, one: said_of(path, _with_another_token(one)),
}


def _with_another_token(tokenizer: Tokenizer) -> Tokenizer:
    changed = Tokenizer.from_str(tokenizer.to_str())
    changed.add_tokens(["happily"])
    return changed


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_the_rows_makes_them_be_tokenised_again(
    path: Path, tokenizer: Tokenizer, cache: Path, change: str
) -> None:
    said_of(path, tokenizer)

    assert "Tokenising" in CHANGES[change](path, tokenizer)
    assert len(list(cache.iterdir())) == 2


def test_other_names_for_the_same_indices_are_other_rows(
    path: Path, tokenizer: Tokenizer, cache: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("fear\njoy\n")
    data = DataOptions(label_names=str(names), label_column="labels")
    write(path, labels=[1])
    path.write_text(path.read_text().replace('["fear"]', "[0]"))
    said_of(path, tokenizer, data)
    assert "Using cached tokens" in said_of(path, tokenizer, data)

    names.write_text("joy\nfear\n")

    assert "Tokenising" in said_of(path, tokenizer, data)


def test_a_damaged_entry_is_made_anew(path: Path, tokenizer: Tokenizer, cache: Path) -> None:
    said_of(path, tokenizer)
    (entry,) = cache.iterdir()
    (entry / "ids.bin").write_bytes(b"damaged")

    assert "Tokenising" in said_of(path, tokenizer)
    assert "Using cached tokens" in said_of(path, tokenizer)


def test_a_file_that_changes_while_it_is_read_is_refused(
    path: Path, tokenizer: Tokenizer, cache: Path
) -> None:
    file = open_labelled(path, space=SPACE)

    def chunks(num_rows: int) -> object:
        yield from file.chunks(num_rows)
        os.utime(path, (0, 0))

    changing = replace(file, _chunks=chunks)

    with pytest.raises(DataError) as caught:
        encode_file(changing, SPACE, tokenizer, 16, lambda said: None)
    assert caught.value.path == str(path)
    assert list(cache.iterdir()) == []


def test_only_few_rows_are_read_at_a_time(path: Path, tokenizer: Tokenizer, cache: Path) -> None:
    sizes: list[int] = []

    def counted(file: LabelledFile) -> Callable[[int], object]:
        def chunks(num_rows: int) -> object:
            part: Examples
            for part in file.chunks(num_rows):
                sizes.append(len(part))
                yield part

        return chunks

    file = open_labelled(path, space=SPACE)

    counting = replace(file, _chunks=counted(file))
    encode_file(counting, SPACE, tokenizer, 16, lambda said: None, chunk_rows=3)

    assert sizes == [3, 1]


def test_a_union_with_weights_and_fractions_is_cached_whole(
    tmp_path: Path, tokenizer: Tokenizer, cache: Path
) -> None:
    (tmp_path / "a.csv").write_text("text,joy,w,who\nhappy,0.25,2,me\nsad,0,1,\n", "utf-8")
    (tmp_path / "b.csv").write_text("text,fear,w,who\nafraid,1,0.5,me\n", "utf-8")
    data = DataOptions(soft_labels=True, weight_column="w", split_by="who")
    file = open_union([tmp_path / "a.csv", tmp_path / "b.csv"], data)
    said: list[str] = []

    made, found = (encode_file(file, file.space, tokenizer, 16, said.append) for _ in range(2))

    assert "Using cached tokens" in said[1]
    for rows in (made, found):
        expected = np.array([[0.25, np.nan], [0, np.nan], [np.nan, 1]], dtype=np.float32)
        np.testing.assert_array_equal(rows.codes, expected)
        assert rows.weights is not None
        assert rows.groups is not None
        assert rows.weights.tolist() == [2, 1, 0.5]
        assert rows.groups[0] == rows.groups[2] != rows.groups[1] == 0
        assert rows.lines.tolist() == [2, 3, 2]
    (tmp_path / "b.csv").write_text("text,fear,w,who\nafraid,1,0.25,me\n", "utf-8")
    encode_file(file, file.space, tokenizer, 16, said.append)
    assert "Tokenising a.csv + b.csv once" in said[2]
