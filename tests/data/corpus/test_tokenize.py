from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpora import letter_tokenizer, stories, write_documents
from multihot.core.progress import Listener
from multihot.data.corpus.documents import read_corpus
from multihot.data.corpus.tokenize import CorpusTokens, split_sentences, tokenize_corpus
from multihot.errors import DataError


class _Notes(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def _sentences(tokens: CorpusTokens) -> list[list[list[int]]]:
    """Return the ids of each sentence of each document."""
    sentences = np.split(tokens.ids, tokens.sentence_offsets[1:-1])
    bounds = zip(tokens.document_offsets[:-1], tokens.document_offsets[1:], strict=True)
    return [[each.tolist() for each in sentences[start:end]] for start, end in bounds]


def test_both_parts_together_are_the_sentences_of_the_corpus(tmp_path: Path) -> None:
    corpus = read_corpus([write_documents(tmp_path / "a.jsonl", stories(60))])
    tokenizer = letter_tokenizer()
    training, held_out = (
        tokenize_corpus(corpus, tokenizer, tmp_path / "cache", held_out=part, fraction=0.2)
        for part in (False, True)
    )
    expected = [
        [
            tokenizer.encode(sentence, add_special_tokens=False).ids
            for passage in document.passages
            for sentence in split_sentences(passage)
        ]
        for document in corpus.documents()
    ]
    found = dict(zip(training.sources.tolist(), _sentences(training), strict=True))
    found |= dict(zip(held_out.sources.tolist(), _sentences(held_out), strict=True))

    assert [found[number] for number in range(60)] == expected
    assert training.ids.dtype == np.uint16
    assert 0 < held_out.num_documents < training.num_documents
    assert training.num_sentences == sum(map(len, _sentences(training)))
    assert held_out.num_tokens == len(held_out.ids)


def test_the_second_call_reads_what_the_first_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = read_corpus([write_documents(tmp_path / "a.jsonl", [*stories(8), ["Too short."]])])
    first, second = _Notes(), _Notes()
    made = tokenize_corpus(
        corpus, letter_tokenizer(), tmp_path / "cache", held_out=False, listener=first
    )
    with monkeypatch.context() as patch:
        patch.setattr("multihot.data.corpus.tokenize.split_sentences", None)
        again = tokenize_corpus(
            corpus, letter_tokenizer(), tmp_path / "cache", held_out=False, listener=second
        )

    np.testing.assert_array_equal(made.ids, again.ids)
    assert first.said == second.said
    assert first.said[:2] == [
        "8 documents.",
        "Skipped 1 document of fewer than 5 words.",
    ]
    assert (
        "training tokens; hold-out corpus, chosen by a hash of the text: sections" in first.said[2]
    )
    tokenize_corpus(corpus, letter_tokenizer(), tmp_path / "cache", held_out=False, seed=1)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_text_that_looks_like_a_special_token_is_text(tmp_path: Path) -> None:
    documents = [["We say [MASK] and [SEP] here."], ["♥ ♥ ♥ ♥ ♥ ♥ ok then it is fine by me."]]
    corpus = read_corpus([write_documents(tmp_path / "a.jsonl", documents)])
    tokenizer = letter_tokenizer()
    tokens = tokenize_corpus(corpus, tokenizer, tmp_path / "cache", held_out=False, fraction=0)
    special = {tokenizer.token_to_id(name) for name in ("[MASK]", "[SEP]", "[CLS]", "[PAD]")}

    assert special.isdisjoint(tokens.ids.tolist())
    assert tokenizer.encode("[MASK]", add_special_tokens=False).ids == [
        tokenizer.token_to_id("[MASK]")
    ]


def test_sentences_and_documents_without_tokens_are_skipped(tmp_path: Path) -> None:
    control = "\u200b" * 3
    path = write_documents(tmp_path / "a.jsonl", [["a b c d e.", control], ["f g h i j!"]])
    tokens = tokenize_corpus(
        read_corpus([path]), letter_tokenizer(), tmp_path / "cache", held_out=False, fraction=0
    )

    assert [len(document) for document in _sentences(tokens)] == [1, 1]
    assert (np.diff(tokens.sentence_offsets) > 0).all()


def test_a_wrong_file_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write_documents(tmp_path / "a.jsonl", stories(3))
    with path.open("a", encoding="utf-8") as handle:
        handle.write("{}\n")

    with pytest.raises(DataError) as raised:
        tokenize_corpus(read_corpus([path]), letter_tokenizer(), tmp_path / "cache", held_out=False)

    assert (raised.value.path, raised.value.line) == (str(path), 4)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_long_run_reports_progress_and_the_batches_do_not_matter(tmp_path: Path) -> None:
    corpus = read_corpus([write_documents(tmp_path / "a.jsonl", stories(9))])
    notes = _Notes()
    small = tokenize_corpus(
        corpus,
        letter_tokenizer(),
        tmp_path / "small",
        held_out=False,
        listener=notes,
        progress_seconds=-1.0,
        batch_sentences=10,
    )
    large = tokenize_corpus(corpus, letter_tokenizer(), tmp_path / "large", held_out=False)

    progress = [line for line in notes.said if "tokens/s" in line]
    assert len(progress) > 1
    assert _sentences(small) == _sentences(large)


def test_tokens_that_were_changed_are_made_anew(tmp_path: Path) -> None:
    corpus = read_corpus([write_documents(tmp_path / "a.jsonl", stories(8))])
    made = tokenize_corpus(corpus, letter_tokenizer(), tmp_path / "cache", held_out=False)
    expected = made.ids.copy()
    del made
    (entry,) = (tmp_path / "cache").iterdir()
    path = entry / "training.ids.bin"
    path.write_bytes(bytes(len(path.read_bytes())))

    again = tokenize_corpus(corpus, letter_tokenizer(), tmp_path / "cache", held_out=False)

    np.testing.assert_array_equal(again.ids, expected)
