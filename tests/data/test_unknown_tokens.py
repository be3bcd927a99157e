"""Texts that the vocabulary does not know are counted, remarked and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from data.test_tokens import word_tokenizer
from multihot.core.options import DataOptions
from multihot.data.dataset import encode
from multihot.data.labelled_file import read_examples
from multihot.data.tokens import load_tokenizer, tokenize, with_label_prompt
from multihot.data.union import open_union
from multihot.data.unknown_tokens import (
    UnknownTokens,
    UnknownTokensCounter,
    check_unknown_tokens,
    texts_with_special_tokens,
    unknown_tokens_in,
)
from multihot.errors import DataError


def test_special_tokens_count_in_neither() -> None:
    found = unknown_tokens_in(word_tokenizer(), ["w4 x w5", "y z", "", "w6"], 16)

    assert found == UnknownTokens(unknown=3, tokens=6)
    assert found.fraction == 0.5
    assert not found.is_most


def test_a_range_of_texts_is_counted_alone() -> None:
    tokenizer = word_tokenizer()
    tokenized = tokenize(tokenizer, ["w4 x w5", "y z", "w6"], 16)

    assert UnknownTokensCounter(tokenizer).count(tokenized, 1, 2) == UnknownTokens(2, 2)


def test_texts_that_write_a_special_token_themselves_are_counted(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(tiny_encoder / "tokenizer.json")
    texts = ["i [SEP] you", "i[MASK]you", "", "[sep] i", "[UNK] unheard", "[PAD] [PAD]"]

    assert texts_with_special_tokens(tokenizer, tokenize(tokenizer, texts, 64)) == 3


def test_labels_in_front_of_every_text_count_in_neither() -> None:
    tokenizer = word_tokenizer()
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer, _ = with_label_prompt(tokenizer, ["unheard", "w4"], {})

    assert unknown_tokens_in(tokenizer, ["x w5", "w6"], 32) == UnknownTokens(1, 3)


@pytest.mark.parametrize(
    ("model", "unknown"),
    [
        (models.Unigram([("a", -1.0), ("<unk>", -2.0)], 1), 2),
        (models.BPE({"a": 0}, []), 0),  # characters that it lacks are dropped
    ],
)
def test_tokenizers_that_name_the_unknown_otherwise_or_have_none(
    model: object, unknown: int
) -> None:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

    assert unknown_tokens_in(tokenizer, ["a b", "b a"], 16).unknown == unknown


def test_each_file_has_its_remark_and_most_of_all_is_refused(tmp_path: Path) -> None:
    english, other = tmp_path / "english.csv", tmp_path / "other.csv"
    english.write_text("text,joy\nw4 w5,1\nw6 w7,0\n", "utf-8")
    other.write_text("text,joy\nชอบ มาก,1\nแย่ มาก,0\nช้า มาก,0\n", "utf-8")
    file = open_union([english, other], DataOptions(text_column="text"))
    tokenizer, said = word_tokenizer(), list[str]()
    rows = encode(file, file.space, tokenizer, 16)

    check_unknown_tokens(rows, tokenizer, said.append, 1.0)
    with pytest.raises(DataError, match="max_unknown_fraction=1") as caught:
        check_unknown_tokens(rows, tokenizer, said.append, 0.5)

    assert [remark[:45] for remark in said[:1]] == ["100 % of the tokens of other.csv are unknown "]
    assert len(said) == 2
    assert caught.value.path == file.source


def test_a_few_unknown_tokens_are_no_remark(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,joy\n" + "w4 w5 w6 w7,1\n" * 20 + "x,0\n", "utf-8")
    examples, tokenizer, said = read_examples(path), word_tokenizer(), list[str]()
    assert examples.labels is not None

    rows = encode(examples, examples.labels.space, tokenizer, 16)
    check_unknown_tokens(rows, tokenizer, said.append, 0.5)

    assert said == []
