"""Lengths in words, characters and tokens and the cost of padding, on texts whose lengths are known."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split, Whitespace
from tokenizers.processors import TemplateProcessing

from multihot.data.inspection.lengths import character_figures, token_figures, word_figures


@pytest.fixture
def tokenizer() -> Tokenizer:
    words = Tokenizer(WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return words


def test_words_are_what_white_space_separates() -> None:
    figures = word_figures(["", "a", "a  b\tc", "a b c d e f g h"])

    assert figures.mean == 3
    assert figures.median == 2
    assert figures.longest == 8


def test_the_95th_percentile_is_a_length_that_95_percent_do_not_exceed() -> None:
    texts = ["a " * number for number in range(1, 101)]

    assert word_figures(texts).percentile_95 == 95


def test_tokens_are_counted_before_they_are_cut(tokenizer: Tokenizer) -> None:
    figures = token_figures(tokenizer, ["a", "a a a", "a " * 20], max_length=4)

    assert figures.lengths.longest == 20
    assert figures.truncated == 1
    assert figures.truncated_share == pytest.approx(1 / 3)


def test_what_truncation_leaves_out_is_counted_in_characters(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = Split("", "isolated")  # one token for each character, as in Chinese
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    texts = ["\u4ef7\u683c\u5b9e\u60e0", "\u6cb9\u8017", "a" * 12]

    figures = token_figures(tokenizer, texts, max_length=5)  # two of them are not of the text

    assert figures.truncated == 2
    assert figures.truncated_characters == (4 - 3) + (12 - 3)
    assert figures.truncated_characters_share == pytest.approx(10 / 18)
    assert character_figures(texts).longest == 12
    assert token_figures(tokenizer, texts, max_length=14).truncated_characters == 0


def test_padding_waste_by_hand(tokenizer: Tokenizer) -> None:
    texts = ["a " * 2] * 32 + ["a " * 8, "a " * 4]

    figures = token_figures(tokenizer, texts, max_length=8)

    num_tokens = 32 * 2 + 12
    assert figures.padding_to_max_length == pytest.approx(1 - num_tokens / (34 * 8))
    assert figures.padding_to_longest == pytest.approx(1 - num_tokens / (32 * 2 + 2 * 8))


def test_texts_without_a_single_token_have_figures_too(tokenizer: Tokenizer) -> None:
    figures = token_figures(tokenizer, ["", ""], max_length=4)

    assert figures.lengths.longest == 0
    assert figures.padding_to_max_length == 1
