from __future__ import annotations

import numpy as np
import pytest

from multihot.data.words import shares_of_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I'm happy, so good!!!", ["I'm", "happy", ",", "so", "good", "!!!"]),
        ("#blessed @anna_b a#b", ["#blessed", "@anna_b", "a", "#", "b"]),
        ("rock 'n' roll :)", ["rock", "'", "n", "'", "roll", ":)"]),
        ("don’t 3.5 co-op", ["don’t", "3", ".", "5", "co", "-", "op"]),
        ("好车,油耗3.5", ["好", "车", ",", "油", "耗", "3", ".", "5"]),
        ("東京タワー ABC車", ["東", "京", "タ", "ワ", "ー", "ABC", "車"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("ขอบคุณ", ["ข", "อ", "บ", "คุ", "ณ"]),
        ("हिन्दी है", ["हिन्दी", "है"]),
        ("cafe\u0301 au lait", ["cafe\u0301", "au", "lait"]),
        ("😀😀👍🏽 👩‍💻x", ["😀", "😀", "👍🏽", "👩‍💻", "x"]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_and_single_characters_where_there_are_no_spaces(
    text: str, words: list[str]
) -> None:
    found = words_of(text)

    assert [word.text for word in found] == words
    assert [text[word.start : word.end] for word in found] == words


def test_a_token_over_two_words_is_shared_and_one_without_characters_is_nobodys() -> None:
    words = words_of("好车 now")

    shares = shares_of_words(words, [(0, 0), (0, 2), (2, 4), (3, 6), (0, 0)])

    np.testing.assert_allclose(shares, [[0, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]])
