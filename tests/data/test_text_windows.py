"""Windows cover every token, overlap as told, and end with sentences where they can."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from multihot.core.windows import WindowSettings
from multihot.data.batches import make_batch
from multihot.data.text_windows import sentence_tokens, window_bounds
from multihot.data.tokens import TokenizedTexts, tokenize
from multihot.errors import OptionError

MANY = 10**6


def _tokenizer() -> Tokenizer:
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2} | {f"w{n}": n for n in range(3, 400)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


@given(
    num_tokens=st.integers(1, 300),
    room=st.integers(1, 40),
    overlap=st.integers(0, 39),
    sentences=st.sets(st.integers(1, 299)),
)
def test_windows_cover_every_token_and_share_at_most_the_overlap(
    num_tokens: int, room: int, overlap: int, sentences: set[int]
) -> None:
    overlap = min(overlap, room - 1)
    begins = sorted(each for each in sentences if each < num_tokens)

    bounds, is_cut = window_bounds(num_tokens, room, WindowSettings("max", overlap, MANY), begins)

    assert not is_cut
    assert bounds[0][0] == 0
    assert bounds[-1][1] == num_tokens
    assert all(0 < end - start <= room for start, end in bounds)
    for (before, end), (start, after) in pairwise(bounds):
        assert before < start
        assert end < after
        shared = end - start
        assert shared == overlap or (start in sentences and 0 < shared < overlap)


@given(num_tokens=st.integers(41, 300), overlap=st.integers(0, 20))
def test_without_sentences_windows_are_full_and_share_exactly_the_overlap(
    num_tokens: int, overlap: int
) -> None:
    bounds, _ = window_bounds(num_tokens, 40, WindowSettings("max", overlap, MANY), [])

    assert [start for start, _ in bounds] == [n * (40 - overlap) for n in range(len(bounds))]
    assert all(end - start == 40 for start, end in bounds[:-1])


def test_a_window_ends_with_a_sentence_of_its_second_half() -> None:
    bounds, _ = window_bounds(100, 40, WindowSettings("max", 10, MANY), [12, 30, 36, 60])

    assert bounds[:2] == [(0, 36), (30, 60)]


def test_windows_beyond_the_most_are_left_out_and_said_to_be() -> None:
    settings = WindowSettings("max", 0, 3)

    assert window_bounds(30, 10, settings, []) == ([(0, 10), (10, 20), (20, 30)], False)
    assert window_bounds(31, 10, settings, []) == ([(0, 10), (10, 20), (20, 30)], True)


@pytest.mark.parametrize(
    ("text", "beginnings"),
    [
        ("One two. Three!  Four", ["Three!", "Four"]),
        ("Er sagte „gut.“ Dann ging er", ["Dann"]),
        ("version 1.5 is out", []),
        ("a line\nanother", ["another"]),
        ("一二。 三四！ 五", ["三四！", "五"]),
    ],
)
def test_sentences_begin_behind_their_marks(text: str, beginnings: list[str]) -> None:
    words = text.split()
    starts, place = [], 0
    for word in words:
        place = text.index(word, place)
        starts.append(place)
        place += len(word)

    assert [words[number] for number in sentence_tokens(text, starts)] == beginnings


@pytest.mark.parametrize("repeated", [".", " ", "\n"])
def test_a_long_run_of_one_character_is_looked_at_once(repeated: str) -> None:
    text = "a" + repeated * 2_000_000 + "b"
    expected = [1] if repeated == "\n" else []

    # Looking again from each of its characters would take an hour.
    assert sentence_tokens(text, [0, len(text) - 1]) == expected


def test_every_window_has_the_special_tokens_and_says_where_it_is_in_its_text() -> None:
    texts = ["", "w3 w4", " ".join(f"w{n}" for n in range(10, 30))]

    found = tokenize(_tokenizer(), texts, 10, windows=WindowSettings("max", 2, MANY))

    assert found.windows is not None
    assert found.windows.characters is not None
    assert found.windows.counts.tolist() == [1, 1, 3]
    parts = found.by_window()
    for number, (begin, end) in enumerate(found.windows.characters.tolist()):
        ids = parts.ids[parts.offsets[number] : parts.offsets[number + 1]].tolist()
        text = texts[min(number, 2)]
        assert ids == [1, *(int(word[1:]) for word in text[begin:end].split()), 2]
    assert not found.truncated.any()


def test_texts_of_one_window_are_the_tokens_of_today() -> None:
    texts = ["w3 w4", "", "w5 " * 8]

    plain = tokenize(_tokenizer(), texts, 10)
    cut = tokenize(_tokenizer(), texts, 10, windows=WindowSettings("max", 2, MANY))

    assert cut.ids.tolist() == plain.ids.tolist()
    assert cut.offsets.tolist() == plain.offsets.tolist()
    batch = make_batch(cut, np.arange(3), 0, packed=True)
    assert batch.text_of_window is None


def test_chosen_and_joined_texts_keep_their_windows() -> None:
    settings = WindowSettings("max", 2, MANY)
    texts = [" ".join(f"w{n}" for n in range(3, 3 + length)) for length in (20, 4, 31)]
    whole = tokenize(_tokenizer(), texts, 10, windows=settings)
    backwards = np.array([2, 1, 0])

    chosen = whole.selected(backwards)
    alone = [tokenize(_tokenizer(), [text], 10, windows=settings) for text in texts[::-1]]
    joined = TokenizedTexts.joined(alone)

    for found in (chosen, joined):
        assert found.windows is not None
        again = tokenize(_tokenizer(), texts[::-1], 10, windows=settings)
        assert again.windows is not None
        assert found.ids.tolist() == again.ids.tolist()
        assert found.windows.starts.tolist() == again.windows.starts.tolist()
        assert found.windows.first.tolist() == again.windows.first.tolist()
    batch = make_batch(whole, backwards, 0, packed=True)
    assert batch.text_of_window is not None
    assert batch.text_of_window.tolist() == [0] * 5 + [1] + [2] * 3
    assert batch.input_ids.tolist() == chosen.ids.tolist()


def test_an_overlap_that_leaves_nothing_new_is_refused() -> None:
    with pytest.raises(OptionError, match="window_overlap=8 leaves nothing new in windows of 8"):
        tokenize(_tokenizer(), ["w3"], 10, windows=WindowSettings("max", 8, MANY))
