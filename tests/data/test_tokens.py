"""Token ids are those of transformers; cutting and typing are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from multihot.data.tokenizer_fit import check_vocabulary
from multihot.data.tokens import (
    TokenizedTexts,
    id_dtype,
    load_tokenizer,
    plain_tokenizer,
    tokenize,
)
from multihot.errors import ArtifactError, DataError, EncoderError, OptionError

TEXTS = [
    "",
    " ",
    "i love this day",
    "I'M SO HAPPY!!! trust me, they can't believe it",
    "unknown words zyxw everywhere and äöü ß 的 里 😀 \U0001f469‍\U0001f4bb",
    "tab\tnewline\nnull\0control\x07 nbsp\u00a0 zero\u200bwidth",
    "[CLS] [SEP] [MASK] </s> <pad> inside the text",
    "word " * 200,
    "e\u0301 is not normalised, ﬁ neither",
    ". , ! ?",
]


def word_tokenizer(num_words: int = 20, *, special: bool = True) -> Tokenizer:
    """Words `w0`, `w1` ...; id 0 is unknown, 1 and 2 surround the text."""
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3}
    vocabulary |= {f"w{number}": number for number in range(4, num_words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    return tokenizer


def rows(found: TokenizedTexts) -> list[list[int]]:
    return [
        found.ids[start:end].tolist()
        for start, end in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]


def save_byte_level(folder: Path) -> Path:
    """Save a byte-level BPE tokenizer as RoBERTa has it, trained on a sentence."""
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["the happy day of trust and the good year of love"], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    ).save_pretrained(folder)
    return folder


def against_transformers(folder: Path, max_length: int, texts: list[str]) -> None:
    from transformers import AutoTokenizer

    wrapped: Any = AutoTokenizer.from_pretrained(folder)
    expected = wrapped(texts, truncation=True, max_length=max_length)["input_ids"]
    untouched = wrapped(texts, truncation=False, verbose=False)["input_ids"]
    found = tokenize(load_tokenizer(folder / "tokenizer.json"), texts, max_length)

    assert expected == rows(found)
    assert [len(ids) > max_length for ids in untouched] == found.truncated.tolist()


@pytest.mark.parametrize("max_length", [3, 4, 7, 64, 512])
def test_ids_are_those_of_the_bert_tokenizer(tiny_encoder: Path, max_length: int) -> None:
    against_transformers(tiny_encoder, max_length, TEXTS)


@pytest.mark.parametrize("max_length", [3, 8, 512])
def test_ids_are_those_of_a_byte_level_tokenizer(tmp_path: Path, max_length: int) -> None:
    against_transformers(save_byte_level(tmp_path), max_length, TEXTS)


def test_padding_and_truncation_in_the_file_are_cleared(tmp_path: Path) -> None:
    tokenizer = word_tokenizer()
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(max_length=4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    loaded = load_tokenizer(tmp_path / "tokenizer.json")

    assert loaded.padding is None
    assert loaded.truncation is None
    assert [1, *range(4, 14), 2] == loaded.encode(" ".join(f"w{n}" for n in range(4, 14))).ids


def test_a_plain_tokenizer_is_the_same_object() -> None:
    tokenizer = word_tokenizer()

    assert plain_tokenizer(tokenizer) is tokenizer


@given(
    st.lists(st.lists(st.integers(4, 19), max_size=12).map(lambda ids: [f"w{n}" for n in ids])),
    st.integers(3, 10),
)
def test_a_long_text_loses_its_end_and_keeps_its_special_tokens(
    texts: list[list[str]], max_length: int
) -> None:
    found = tokenize(word_tokenizer(), [" ".join(words) for words in texts], max_length)

    expected = [[1, *(int(w[1:]) for w in words[: max_length - 2]), 2] for words in texts]
    assert expected == rows(found)
    assert [len(words) + 2 > max_length for words in texts] == found.truncated.tolist()
    assert found.lengths.tolist() == [len(ids) for ids in expected]
    assert len(found) == len(texts)


def test_texts_of_all_chunks_are_kept_in_order() -> None:
    texts = [f"w{4 + row % 16}" for row in range(10)]

    found = tokenize(word_tokenizer(), texts, 8, chunk_characters=9)  # two or three texts

    assert [[1, int(text[1:]), 2] for text in texts] == rows(found)


def test_spans_are_where_the_given_texts_lie() -> None:
    texts = [" ".join(f"w{4 + row + word}" for word in range(row)) for row in range(6)]
    every = tokenize(word_tokenizer(), texts, 6)
    wanted = np.array([4, 1, 4, 5])

    starts, lengths = every.spans(wanted)

    spans = zip(starts, lengths, strict=True)
    found = [every.ids[start : start + length].tolist() for start, length in spans]
    assert found == [rows(every)[row] for row in wanted]


@pytest.mark.parametrize(("num_words", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_the_id_type_follows_the_size_of_the_vocabulary(num_words: int, dtype: type) -> None:
    found = tokenize(word_tokenizer(num_words), [f"w{num_words - 1}"], 8)

    assert found.ids.dtype == dtype
    assert [[1, num_words - 1, 2]] == rows(found)


def test_no_texts_give_no_tokens() -> None:
    found = tokenize(word_tokenizer(), [], 8)

    assert len(found) == 0
    assert found.ids.dtype == np.uint16
    assert found.lengths.tolist() == []


def test_an_empty_text_has_only_special_tokens() -> None:
    assert rows(tokenize(word_tokenizer(), ["", "  "], 8)) == [[1, 2], [1, 2]]


def test_a_tokenizer_without_special_tokens_works() -> None:
    found = tokenize(word_tokenizer(special=False), ["w4 w5 w6", ""], 2)

    assert rows(found) == [[4, 5], []]


def test_a_tokenizer_that_knows_no_latin_letters_keeps_its_special_tokens() -> None:
    tokenizer = Tokenizer(models.BPE(vocab={"[CLS]": 0, "[SEP]": 1, "的": 2}, merges=[]))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )

    assert rows(tokenize(tokenizer, ["的的的的"], 4)) == [[0, 2, 2, 1]]


def test_a_tokenizer_that_is_blind_to_every_text_is_refused() -> None:
    tokenizer = word_tokenizer()
    tokenizer.normalizer = normalizers.Replace(" ", "")
    tokenizer.model = models.BPE()

    with pytest.raises(OptionError, match="This tokenizer changes the text"):
        tokenize(tokenizer, ["a"], 8)


@pytest.mark.parametrize("max_length", [0, 1, 2])
def test_a_length_without_room_for_text_is_refused(max_length: int) -> None:
    with pytest.raises(
        OptionError, match=f"max_length={max_length} leaves no room for text beside 2 special"
    ):
        tokenize(word_tokenizer(), ["a"], max_length)


def test_half_a_surrogate_pair_is_refused_with_its_row() -> None:
    texts = ["a", "a", "a", "\ud83d"]

    with pytest.raises(DataError, match=r"text 3 holds half a surrogate pair.*'\\ud83d'"):
        tokenize(word_tokenizer(), texts, 8, chunk_characters=4)  # two texts


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (3, "int"), (b"a", "bytes")])
def test_what_is_no_string_is_refused_with_its_row(value: object, kind: str) -> None:
    with pytest.raises(DataError, match=f"text 1 is {kind} .*, expected a string"):
        tokenize(word_tokenizer(), ["a", value], 8)  # type: ignore[list-item]


def test_a_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no tokenizer; the folder is damaged"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0", "model":')

    with pytest.raises(ArtifactError, match=r"tokenizer\.json is not valid JSON"):
        load_tokenizer(path)


def test_large_ids_of_a_small_vocabulary_keep_their_values() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "a": 1, "far": 70_000}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()

    assert tokenize(tokenizer, ["a far", "a"], 8, chunk_characters=1).ids.tolist() == [1, 70_000, 1]
    assert id_dtype(tokenizer) == np.uint32


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (19, "has 20 tokens, but the encoder has embeddings for 19"),
        (5000, "has 20 tokens, but the encoder has embeddings for 5000: the vocabulary is damaged"),
    ],
)
def test_a_vocabulary_of_another_encoder_is_refused(rows: int, found: str) -> None:
    check_vocabulary(word_tokenizer(), 20, "encoder")
    with pytest.raises(EncoderError, match=f"The tokenizer of encoder {found}"):
        check_vocabulary(word_tokenizer(), rows, "encoder")


def test_a_text_on_which_the_tokenizer_fails_is_no_failure_of_ours() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    without_unknown = Tokenizer(WordLevel({"a": 0}, unk_token="[UNK]"))

    with pytest.raises(EncoderError, match="fails on one of the texts 0 to 1"):
        tokenize(without_unknown, ["a", "b"], 8)
