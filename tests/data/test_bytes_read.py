"""How many bytes of a file are read until training begins: one pass checks it, one encodes it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from multihot.data.labelled_file import open_labelled, read_examples

LABELS = ("joy", "love", "very happy")
NUM_ROWS = 20_000


@contextmanager
def counted_bytes(monkeypatch: pytest.MonkeyPatch, path: Path) -> Iterator[list[int]]:
    """Count the bytes that files opened as `path` return, whoever opens them."""
    counts: list[int] = []
    opened = io.open

    class Counting(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            number = super().readinto(buffer)
            counts.append(number or 0)
            return number

        def readall(self) -> bytes:
            content = super().readall()
            counts.append(len(content))
            return content

    def open_counting(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if Path(file) != path:
            return opened(file, mode, *args, **options)
        assert mode == "rb"
        return io.BufferedReader(Counting(file, "r"))

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", open_counting)
        yield counts


def write_rows(path: Path, form: str, codec: str = "utf-8") -> None:
    def labels(row: int) -> list[str]:
        return [name for bit, name in enumerate(LABELS) if row >> bit & 1]

    def text(row: int) -> str:
        return f"caf\u00e9 {row}, and so on" + " and on" * (row % 7)

    with path.open("w", encoding=codec, newline="") as handle:
        writer = csv.writer(handle)
        if form == "0/1":
            writer.writerow(["id", "text", *LABELS])
        elif form != "json":
            writer.writerow(["id", "text", "labels"])
        for row in range(NUM_ROWS):
            if form == "0/1":
                writer.writerow([row, text(row), *(row >> bit & 1 for bit in range(3))])
            elif form == "names":
                writer.writerow([row, text(row), "|".join(labels(row))])
            elif form == "lists":
                writer.writerow([row, text(row), json.dumps(labels(row))])
            else:
                record = {"id": row, "text": text(row), "labels": labels(row)}
                handle.write(json.dumps(record, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("form", ["0/1", "names", "lists", "json"])
def test_a_file_is_read_once_to_check_it_and_once_to_encode_it(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("t.jsonl" if form == "json" else "t.csv")
    write_rows(path, form)
    size = path.stat().st_size

    with counted_bytes(monkeypatch, path) as counts:
        file = open_labelled(path)
        checked = sum(counts)
        num_rows = sum(len(chunk) for chunk in file.chunks(1024))
    with counted_bytes(monkeypatch, path) as counts_at_once:
        read_examples(path)

    assert num_rows == NUM_ROWS
    assert size <= checked < 1.2 * size
    assert 2 * size <= sum(counts) < 2.2 * size
    assert size <= sum(counts_at_once) < 1.2 * size


def test_a_file_in_a_legacy_encoding_is_read_once_more_to_detect_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    write_rows(path, "0/1", "cp1252")
    size = path.stat().st_size

    with counted_bytes(monkeypatch, path) as counts:
        file = open_labelled(path)
        num_rows = sum(len(chunk) for chunk in file.chunks(1024))

    assert num_rows == NUM_ROWS
    assert any("cp1252" in note for note in file.notes)
    beginnings = 2**21  # bytes read of the beginning alone, however long the file is
    assert sum(counts) < 3 * size + beginnings
