"""What texts look like to a tokenizer."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from multihot.core.text_facts import TextFacts
from multihot.data.text_facts import TextFactsCounter
from multihot.data.tokens import tokenize

WORDS = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "play": 3, "##ing": 4, "##s": 5, "the": 6}


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    return tokenizer


def facts(tokenizer: Tokenizer, texts: list[str], max_length: int = 16) -> TextFacts:
    return TextFactsCounter(tokenizer).count(tokenize(tokenizer, texts, max_length))


def test_tokens_words_unknown_ones_and_cuts_are_counted() -> None:
    found = facts(wordpiece(), ["the play", "plays xyz", "", "playing " * 4], max_length=8)

    assert (found.rows, found.truncated, found.with_unknown) == (4, 1, 1)
    # the play | play ##s [UNK] | nothing | three times play ##ing
    assert (found.tokens, found.unknown, found.continuing) == (11, 1, 4)
    assert found.pieces_per_word == pytest.approx(11 / 7)
    assert found.continuing_mean == pytest.approx((0 + 1 / 3 + 0 + 1 / 2) / 4)
    assert sum(found.lengths) == 4


def test_facts_of_parts_add_up_to_those_of_the_whole() -> None:
    texts = ["the play", "plays xyz", "", "playing the", "plays " * 6]
    tokenizer = wordpiece()

    whole = facts(tokenizer, texts)
    parts = facts(tokenizer, texts[:2]) + facts(tokenizer, texts[2:]) + TextFacts()

    assert parts.lengths == whole.lengths
    assert parts.continuing_mean == pytest.approx(whole.continuing_mean)
    assert parts.continuing_variance == pytest.approx(whole.continuing_variance)
    counts = ("rows", "truncated", "with_unknown", "tokens", "unknown", "continuing")
    assert [getattr(parts, n) for n in counts] == [getattr(whole, n) for n in counts]
    assert TextFacts.from_json(whole.to_json()) == whole


def test_marks_of_sentencepiece_show_words() -> None:
    tokenizer = Tokenizer(
        models.Unigram([("<unk>", 0.0), ("▁kw", -1.0), ("▁a", -1.5), ("x", -2.0)], 0)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()

    found = facts(tokenizer, ["kw ax", "kwx"])

    assert (found.tokens, found.continuing) == (5, 2)


def test_a_vocabulary_without_marks_has_no_words() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "a": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()

    found = facts(tokenizer, ["the a", "b"])

    assert found.pieces_per_word is None
    assert (found + found).continuing_mean is None


def test_the_median_length_is_the_middle_of_its_bin() -> None:
    found = facts(wordpiece(), ["the " * 8] * 9 + ["the"])

    assert found.median_length == pytest.approx(8 * 2**0.25)
