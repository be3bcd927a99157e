from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from multihot.data.corpus.documents import DocumentCounts, new_document, read_corpus
from multihot.data.corpus.files import read_pieces
from multihot.errors import DataError, OptionError

TEXT = """One day the old man left.
He did not come back.

A second document is here now.

"""


def _passages(*paths: Path, minimum_words: int = 1) -> list[tuple[str, ...]]:
    return [each.passages for each in read_corpus(paths, minimum_words=minimum_words).documents()]


def test_a_blank_line_stands_between_documents_of_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    corpus = read_corpus([path])
    documents = list(corpus.documents())

    assert [each.id for each in documents] == ["a.txt:1", "a.txt:4"]
    assert documents[0].passages == ("One day the old man left.", "He did not come back.")
    assert corpus.notes == ("Corpus: 1 file, 1 of plain text.",)
    assert list(corpus.documents()) == documents


def test_json_lines_hold_a_text_or_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    records = [
        {"id": 7, "text": "First line here.\n\nSecond line here."},
        {"paragraphs": ["Third line.", " ", "Fourth."]},
        {"text": None},
    ]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")

    found = list(read_corpus([path], minimum_words=1).documents())

    assert [each.id for each in found] == ["7", "a.jsonl:2"]
    assert [each.passages for each in found] == [
        ("First line here.", "Second line here."),
        ("Third line.", "Fourth."),
    ]


def test_packed_files_and_folders_are_read_like_others(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b.txt").write_text("Second one here.", encoding="utf-8")
    (tmp_path / "inner" / "a.TXT.gz").write_bytes(gzip.compress("Größe zählt hier.".encode()))
    (tmp_path / "inner" / "notes.pdf").write_bytes(b"x")
    corpus = read_corpus([tmp_path, tmp_path / "inner" / "b.txt"], minimum_words=1)

    assert [each.passages for each in corpus.documents()] == [
        ("Größe zählt hier.",),
        ("Second one here.",),
    ]
    assert "1 file with other extensions" in corpus.notes[1]


def test_near_empty_documents_and_duplicates_are_counted_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "Only three words.\n\nThis one is long enough.\n\nTHIS one is\nlong  enough.\n\n我们都很好。\n",
        encoding="utf-8",
    )
    counts = DocumentCounts()
    found = [each.passages for each in read_corpus([path]).documents(counts)]

    assert found == [("This one is long enough.",), ("我们都很好。",)]
    assert counts == DocumentCounts(documents=2, near_empty=1, duplicates=1)
    assert counts.notes(5) == [
        "2 documents.",
        "Skipped 1 document of fewer than 5 words.",
        "Skipped 1 duplicate of earlier documents.",
    ]


def test_lines_wrapped_at_a_fixed_width_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "It was a bright cold day in\nApril, and the clocks were all\nstriking thirteen. Winston\n"
        "Smith went home.\n\nOne sentence a line.\nAnd this is quite another one of them.\nEnd.\n",
        encoding="utf-8",
    )
    counts = DocumentCounts()
    found = [each.passages for each in read_corpus([path], minimum_words=1).documents(counts)]

    assert [len(passages) for passages in found] == [1, 3]
    assert found[0][0].startswith("It was a bright cold day in April, and")
    assert counts.wrapped == 1


def test_the_encoding_is_detected_or_given(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Caf\xe9 au lait.".encode("cp1252"))

    assert _passages(path) == [("Café au lait.",)]
    assert any("cp1252" in note for note in read_corpus([path]).notes)
    given = read_corpus([path], encoding="latin-1", minimum_words=1)
    assert [each.passages for each in given.documents()] == [("Café au lait.",)]
    with pytest.raises(OptionError):
        read_corpus([path], encoding="nonsense")


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ('{"title": "x"}', None),
        ('{"text": "x", "paragraphs": []}', None),
        ('{"text": 5}', "text"),
        ('{"paragraphs": ["a", 1]}', "paragraphs"),
        ('["a"]', None),
        ('{"text": ', None),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, column: str | None) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "Fine."}}\n{line}\n', encoding="utf-8")

    with pytest.raises(DataError) as raised:
        list(read_corpus([path]).documents())

    error = raised.value
    assert (error.path, error.line, error.column) == (str(path), 2, column)


def test_a_corpus_has_at_least_one_file() -> None:
    with pytest.raises(OptionError):
        read_corpus([])


@pytest.mark.parametrize("name", ["nothing.txt", "empty", "pipe.txt"])
def test_paths_without_a_document_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    if name == "pipe.txt":
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no named pipes here")
        os.mkfifo(tmp_path / name)

    with pytest.raises(DataError) as raised:
        read_corpus([tmp_path / name])

    assert raised.value.path == str(tmp_path / name)


def test_a_document_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Short one.\n\nLine number one.\nLine number two.\n", encoding="utf-8")
    (file,) = read_corpus([path]).files

    with pytest.raises(DataError) as raised:
        list(read_pieces(file, max_characters=30))

    assert (raised.value.path, raised.value.line) == (str(path), 3)


def test_the_digest_is_that_of_the_words() -> None:
    assert (
        new_document("a", ["One Two", "three"]).digest
        == new_document("b", ["one two\nTHREE"]).digest
    )
    assert new_document("a", ["one two"]).digest != new_document("a", ["onetwo"]).digest


def test_the_fingerprint_changes_with_content_and_options(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    first, other = read_corpus([path]).fingerprint(), read_corpus([path], minimum_words=2)

    assert read_corpus([path]).fingerprint() == first != other.fingerprint()
    path.write_text(TEXT + "More.", encoding="utf-8")
    assert read_corpus([path]).fingerprint() != first
