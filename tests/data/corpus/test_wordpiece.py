from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from corpora import letter_tokenizer, stories, write_documents
from multihot.core.progress import Listener
from multihot.data.corpus.documents import Corpus, read_corpus
from multihot.data.corpus.wordpiece import (
    SPECIAL_TOKENS,
    Coverage,
    measure_coverage,
    save_tokenizer,
    train_tokenizer,
)
from multihot.errors import DataError, OptionError

TEXTS = (
    "the old man saw a small boat",
    "Unbelievable! The CAFÉ near 42 harbours, isn't it?",
    "我们 saw 老人。 tab\tand\u00a0nbsp\u200b [MASK] 😀",
    "",
)


class _Notes(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def _corpus(folder: Path, num_documents: int = 40) -> Corpus:
    chinese = [["老人看见一条小船。" * 9, "他很高兴!"]] * 3
    return read_corpus([write_documents(folder / "a.jsonl", stories(num_documents) + chinese)])


def test_the_vocabulary_is_as_large_as_asked_and_begins_as_berts_does(tmp_path: Path) -> None:
    tokenizer, _ = train_tokenizer(_corpus(tmp_path), vocab_size=120, held_out_fraction=0)
    by_id = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]

    assert len(by_id) == 120
    assert tuple(by_id[:5]) == SPECIAL_TOKENS == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    assert {"老", "##o", "!"} <= set(by_id)
    assert not {"##老", "##!", "A"} & set(by_id)
    encoding = tokenizer.encode("老人", "the")
    assert encoding.tokens == ["[CLS]", "老", "人", "[SEP]", *encoding.tokens[4:-1], "[SEP]"]
    assert encoding.type_ids == [0, 0, 0, 0] + [1] * (len(encoding.ids) - 4)


@pytest.mark.parametrize("lowercase", [True, False])
def test_transformers_loads_the_folder_as_berts_tokenizer(tmp_path: Path, lowercase: bool) -> None:
    from transformers import AutoTokenizer

    tokenizer, _ = train_tokenizer(_corpus(tmp_path), vocab_size=300, lowercase=lowercase)
    save_tokenizer(tokenizer, tmp_path / "out", lowercase=lowercase)
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")

    assert type(loaded).__name__.startswith("BertTokenizer")
    assert (loaded.model_max_length, loaded.mask_token_id) == (512, 4)
    for text in TEXTS:
        assert loaded(text)["input_ids"] == tokenizer.encode(text).ids
    pair = loaded(TEXTS[0], TEXTS[1])
    expected = tokenizer.encode(TEXTS[0], TEXTS[1])
    assert (pair["input_ids"], pair["token_type_ids"]) == (expected.ids, expected.type_ids)
    lines = (tmp_path / "out" / "vocab.txt").read_text("utf-8").splitlines()
    assert lines == [tokenizer.id_to_token(number) for number in range(len(lines))]
    assert ("The" in loaded.tokenize("The")) == (not lowercase)


def test_every_process_makes_the_same_tokenizer(tmp_path: Path) -> None:
    _corpus(tmp_path)
    program = (
        "import sys; from multihot.data.corpus.documents import read_corpus\n"
        "from multihot.data.corpus.wordpiece import train_tokenizer\n"
        "print(train_tokenizer(read_corpus([sys.argv[1]]), vocab_size=150)[0].to_str())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.jsonl")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    first, second = (
        subprocess.run(command, capture_output=True, check=True, env=environment).stdout
        for _ in range(2)
    )

    assert json.loads(first)["model"]["type"] == "WordPiece"
    assert first == second


def test_coverage_counts_words_pieces_and_unknown_ones() -> None:
    found = measure_coverage(letter_tokenizer(), iter([["abc d!", "♥"], ["e"]]))

    assert found == Coverage(
        documents=2,
        words=5,
        pieces_per_word=7 / 5,
        whole_word_share=3 / 5,
        unknown_rate=1 / 5,
        vocabulary_size=59,
        vocabulary_used=7 / 59,
    )
    assert "pieces per word          1.400" in str(found)
    assert found.to_json()["unknown_rate"] == 0.2


def test_coverage_stops_when_enough_text_was_measured() -> None:
    documents = iter([["abc"], ["d"], ["e"]])

    assert measure_coverage(letter_tokenizer(), documents, max_characters=4).documents == 2


def test_hold_out_documents_are_measured_and_not_trained_on(tmp_path: Path) -> None:
    documents = [[f"{chr(97 + number // 26)}{chr(97 + number % 26)} " * 8] for number in range(60)]
    corpus = read_corpus([write_documents(tmp_path / "a.jsonl", documents)])
    tokenizer, coverage = train_tokenizer(corpus, vocab_size=2000, held_out_fraction=0.2)

    known = [tokenizer.token_to_id(document[0].split()[0]) is not None for document in documents]
    assert sum(not each for each in known) == coverage.documents > 0
    assert coverage.pieces_per_word == 2


def test_skipped_documents_and_missing_pieces_are_logged(tmp_path: Path) -> None:
    notes = _Notes()
    train_tokenizer(_corpus(tmp_path), vocab_size=5000, listener=notes)

    assert notes.said[:2] == [
        "41 documents.",
        "Skipped 2 duplicates of earlier documents.",
    ]
    assert any("Training a tokenizer of 5000 entries" in line for line in notes.said)
    assert notes.said[-1].startswith("The corpus has only ")


def test_characters_beyond_half_of_the_vocabulary_are_left_out(tmp_path: Path) -> None:
    signs = ["".join(chr(0x4E00 + 40 * line + place) for place in range(40)) for line in range(5)]
    documents = [[sign * (1 + number)] for number, sign in enumerate(signs)]
    corpus = read_corpus([write_documents(tmp_path / "a.jsonl", documents)])
    tokenizer, _ = train_tokenizer(corpus, vocab_size=60, held_out_fraction=0.0)

    assert tokenizer.get_vocab_size() == 5 + 30
    assert tokenizer.token_to_id(signs[4][29]) is not None
    assert tokenizer.token_to_id(signs[4][30]) is None
    assert tokenizer.token_to_id(signs[0][0]) is None


def test_what_cannot_become_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("Hm.\n", encoding="utf-8")

    with pytest.raises(DataError):
        train_tokenizer(read_corpus([tmp_path / "empty.txt"]), vocab_size=100)
    with pytest.raises(OptionError, match="vocab_size=9"):
        train_tokenizer(_corpus(tmp_path), vocab_size=9)
