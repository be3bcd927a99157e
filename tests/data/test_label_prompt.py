"""The tokenizer that reads all labels before every text."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from models.families import write_family
from multihot.data.tokens import LabelPrompt, plain_tokenizer, tokenize, with_label_prompt
from multihot.errors import OptionError
from multihot.models.encoder import load_encoder_tokenizer

NAMES = ("joy", "not_sad", "fear")


@pytest.fixture
def plain(tiny_encoder: Path) -> Tokenizer:
    return load_encoder_tokenizer(tiny_encoder)[0]


def test_labels_and_text_stand_as_the_texts_of_a_pair(plain: Tokenizer) -> None:
    changed, prompt = with_label_prompt(plain, NAMES, {})

    found = changed.encode("i am happy")

    expected = plain.encode("joy not sad fear", "i am happy")
    assert (found.ids, found.type_ids) == (expected.ids, expected.type_ids)
    assert prompt == LabelPrompt(((1, 2), (2, 4), (4, 5)), length=6, text_type=1)
    assert [found.tokens[start:end] for start, end in prompt.spans] == [
        ["joy"],
        ["not", "sad"],
        ["fear"],
    ]


def test_the_tokenizer_given_is_left_as_it_was(plain: Tokenizer) -> None:
    before = plain.to_str()

    with_label_prompt(plain, NAMES, {})

    assert plain.to_str() == before


def test_a_description_is_read_instead_of_the_name(plain: Tokenizer) -> None:
    _, prompt = with_label_prompt(plain, NAMES, {"joy": "happy love wonderful"})

    assert prompt.spans[0] == (1, 4)
    assert prompt.length == 8


def test_long_texts_lose_their_end_and_never_the_labels(plain: Tokenizer) -> None:
    changed, prompt = with_label_prompt(plain, NAMES, {})

    found = tokenize(changed, ["i am happy " * 9, "sad"], 10)

    whole = changed.encode("i am happy " * 9).ids
    assert found.truncated.tolist() == [True, False]
    assert found.lengths.tolist() == [10, prompt.length + 2]
    assert found.ids[:10].tolist() == whole[:9] + whole[-1:]


def test_the_file_of_the_tokenizer_holds_the_labels(plain: Tokenizer, tmp_path: Path) -> None:
    changed, _ = with_label_prompt(plain, NAMES, {})
    changed.save(str(tmp_path / "tokenizer.json"))

    loaded = plain_tokenizer(Tokenizer.from_file(str(tmp_path / "tokenizer.json")))

    assert loaded.encode("i am happy").ids == changed.encode("i am happy").ids


@pytest.mark.parametrize("family", ["roberta", "distilbert", "modernbert"])
def test_other_families_have_their_own_special_tokens(tmp_path: Path, family: str) -> None:
    plain = load_encoder_tokenizer(write_family(family, tmp_path))[0]

    changed, prompt = with_label_prompt(plain, ("joy", "sad"), {})

    found = changed.encode("i am happy").ids
    assert (
        found[prompt.length :]
        == plain.encode("x", "i am happy").ids[-(len(found) - prompt.length) :]
    )
    assert found[0] == plain.encode("joy").ids[0]


def test_a_description_of_no_label_is_refused(plain: Tokenizer) -> None:
    with pytest.raises(OptionError, match="descriptions for hate, but the labels are joy, not_sad"):
        with_label_prompt(plain, NAMES, {"hate": "hate"})


def test_a_label_without_a_token_is_refused(plain: Tokenizer) -> None:
    with pytest.raises(OptionError, match="The label '_' is read as ' ', which has no token"):
        with_label_prompt(plain, ("joy", "_"), {})


def test_it_can_be_written_down(plain: Tokenizer) -> None:
    prompt = with_label_prompt(plain, NAMES, {})[1]

    assert LabelPrompt.from_json(json.loads(json.dumps(asdict(prompt)))) == prompt
