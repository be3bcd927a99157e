"""Filling masks and telling next sentences apart, on tiny random models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

import multihot
from models.families import write_family
from models.pretraining.tiny import write_bert
from multihot.errors import DataError, EncoderError, OptionError
from multihot.inference.masked_lm import FillMask, NextSentence, fill_mask, next_sentence
from multihot.models.encoder import load_encoder_tokenizer
from multihot.models.pretraining.checkpoint import load_pretraining_model, save_pretraining_model


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small BERT with both heads."""
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny RoBERTa with its masked-language-model head."""
    folder = tmp_path_factory.mktemp("roberta")
    encoder = write_family("roberta", folder / "encoder", initializer_range=0.3)
    model = load_pretraining_model(encoder, seed=1).model
    save_pretraining_model(model, *load_encoder_tokenizer(encoder), folder / "saved")
    return folder / "saved"


# Filling masks


def test_a_mask_gets_its_best_tokens_with_probabilities(bert: Path) -> None:
    (fills,) = fill_mask(bert, "I am [MASK] today", top=4)

    assert len(fills) == 4
    scores = [fill.score for fill in fills]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) < 1
    words = load_encoder_tokenizer(bert)[0].get_vocab()
    for fill in fills:
        assert words[fill.token] == fill.token_id
        if not fill.token.startswith("["):
            assert fill.text == f"i am {fill.token} today"


def test_all_tokens_together_have_probability_one(bert: Path) -> None:
    (fills,) = fill_mask(bert, "i am [MASK] today", top=10_000)

    assert len(fills) == load_encoder_tokenizer(bert)[0].get_vocab_size()
    assert sum(fill.score for fill in fills) == pytest.approx(1, abs=1e-5)


def test_several_masks_are_answered_each_for_itself_in_their_order(bert: Path) -> None:
    one, other = fill_mask(bert, "i am [MASK] and [MASK] today", top=3)

    assert [fill.token_id for fill in one] != [fill.token_id for fill in other]
    assert one[0].text == f"i am {one[0].token} and [MASK] today"
    assert other[0].text == f"i am [MASK] and {other[0].token} today"


def test_special_tokens_that_a_text_writes_itself_are_not_shown(bert: Path) -> None:
    for fill in fill_mask(bert, "i am [SEP] [MASK] [PAD] today", top=3)[0]:
        assert fill.text == f"i am {fill.token} today"


def test_texts_of_any_length_together_are_answered_as_alone(bert: Path) -> None:
    model = FillMask.load(bert, device="cpu")
    texts = ["[MASK]", "i am [MASK] today", "happy " * 40 + "[MASK] sad", "[MASK] [MASK] [MASK]"]

    together = model.fill(texts, top=3)

    assert [len(masks) for masks in together] == [1, 1, 1, 3]
    for text, masks in zip(texts, together, strict=True):
        (alone,) = model.fill([text], top=3)
        assert [[f.token_id for f in fills] for fills in masks] == [
            [f.token_id for f in fills] for fills in alone
        ]
        found = np.array([[f.score for f in fills] for fills in masks])
        assert np.allclose(found, [[f.score for f in fills] for fills in alone], atol=1e-6)


def test_no_texts_have_no_answers(bert: Path) -> None:
    assert FillMask.load(bert, device="cpu").fill([]) == []


@pytest.mark.parametrize(
    "text", ["i am [MASK] today", "i am[MASK]today", "[MASK].", "([MASK])", "I AM [MASK], not"]
)
def test_the_tokenizer_file_alone_knows_the_mask_beside_any_word(bert: Path, text: str) -> None:
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))

    ids = tokenizer.encode(text).ids

    mask = tokenizer.token_to_id("[MASK]")
    assert ids.count(mask) == 1
    around = text.replace("[MASK]", " ")
    expected = tokenizer.encode(around, add_special_tokens=False).ids
    assert [number for number in ids[1:-1] if number != mask] == expected


def test_robertas_mask_takes_the_blank_before_it(roberta: Path) -> None:
    tokenizer = Tokenizer.from_file(str(roberta / "tokenizer.json"))

    ids = tokenizer.encode("i am <mask> today").ids

    assert ids.count(tokenizer.token_to_id("<mask>")) == 1
    assert len(fill_mask(roberta, "i am <mask> today")[0]) == 5


@pytest.mark.parametrize("text", ["i am happy", "", "i am [mask]", "i am <mask>", "i am [ MASK ]"])
def test_a_text_without_a_mask_is_told_what_this_tokenizers_mask_is(bert: Path, text: str) -> None:
    with pytest.raises(
        DataError, match=r"Text 2 \('.*'\) has no mask\. Write \[MASK\], exactly so"
    ):
        FillMask.load(bert, device="cpu").fill(["i am [MASK]", text])


def test_berts_mask_is_none_for_roberta(roberta: Path) -> None:
    with pytest.raises(DataError, match=r"Text 1 .* has no mask\. Write <mask>, exactly so"):
        fill_mask(roberta, "i am [MASK]")


def test_a_tokenizer_that_takes_its_mask_apart_is_blamed(bert: Path, tmp_path: Path) -> None:
    model = FillMask.load(bert, device="cpu")
    content = json.loads(model._loaded.tokenizer.to_str())
    content["added_tokens"] = [
        token for token in content["added_tokens"] if token["content"] != "[MASK]"
    ]
    broken = Tokenizer.from_str(json.dumps(content))
    object.__setattr__(model._loaded, "tokenizer", broken)

    with pytest.raises(DataError, match=r"holds \[MASK\], but the tokenizer .* takes it apart"):
        model.fill(["i am [MASK]"])


def test_a_text_that_is_too_long_is_named_with_both_lengths(bert: Path) -> None:
    with pytest.raises(DataError, match=r"Text 1 has 66 tokens.* 64 "):
        fill_mask(bert, "happy " * 63 + "[MASK]")


def test_a_name_for_a_text_is_used_in_messages(bert: Path) -> None:
    with pytest.raises(DataError, match=r"Line 7 of a file.* mask"):
        FillMask.load(bert, device="cpu").fill(["i am"], names=["Line 7 of a file"])


def test_only_strings_of_valid_unicode_are_texts(bert: Path) -> None:
    model = FillMask.load(bert, device="cpu")
    with pytest.raises(DataError, match=r"Text 1 is int"):
        model.fill([3])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"Text 1 .*surrogate"):
        model.fill(["[MASK] \ud83d"])


def test_at_least_one_token_must_be_asked_for(bert: Path) -> None:
    with pytest.raises(OptionError, match="top=0"):
        fill_mask(bert, "[MASK]", top=0)


def test_an_encoder_without_the_head_is_refused(tmp_path: Path) -> None:
    folder = write_family("bert", tmp_path)

    with pytest.raises(EncoderError, match="masked-language-model head"):
        FillMask.load(folder)


def test_the_starter_has_no_head_either() -> None:
    with pytest.raises(EncoderError, match=r"starter.*masked-language-model head"):
        FillMask.load("starter")


def test_a_classifier_is_refused_by_its_name(tiny_model: Path) -> None:
    for kind in (FillMask, NextSentence):
        with pytest.raises(EncoderError, match="multihot classifier"):
            kind.load(tiny_model)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="nothing"):
        FillMask.load(tmp_path / "nothing")


def test_a_tokenizer_without_a_mask_token_is_refused(bert: Path, tmp_path: Path) -> None:
    model = FillMask.load(bert, device="cpu")
    del model._loaded.tokenizer_config["mask_token"]

    with pytest.raises(EncoderError, match="no mask token"):
        FillMask(model._loaded)


def test_a_tokenizer_of_another_model_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bert, tmp_path / "mixed")
    path = folder / "tokenizer.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {**vocabulary, **{f"w{n}": len(vocabulary) + n for n in range(9)}}
    path.write_text(json.dumps(content), "utf-8")

    with pytest.raises(EncoderError, match=r"35 tokens.* 26"):
        FillMask.load(folder)


# Next sentences


def test_probabilities_of_a_pair_are_those_of_next_and_random(bert: Path) -> None:
    found = next_sentence(bert, [("i am happy", "the sun is good"), ("sad", "sad")])

    assert found.shape == (2, 2)
    assert found.dtype == np.float32
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)


def test_pairs_of_any_length_together_are_answered_as_alone(bert: Path) -> None:
    model = NextSentence.load(bert, device="cpu")
    pairs = [("sad", "happy"), ("happy " * 20, "never " * 25), ("", "sad"), ("i am", "so good")]

    together = model.probabilities(pairs)

    alone = np.concatenate([model.probabilities([pair]) for pair in pairs])
    assert np.allclose(together, alone, atol=1e-6)
    assert model.probabilities([]).shape == (0, 2)


def test_which_text_is_first_matters(bert: Path) -> None:
    one, other = next_sentence(bert, [("i am happy", "never again"), ("never again", "i am happy")])

    assert abs(one[0] - other[0]) > 1e-3


def test_only_bert_has_the_next_sentence_head(roberta: Path) -> None:
    with pytest.raises(EncoderError, match="'roberta'"):
        NextSentence.load(roberta)


def test_a_bert_that_was_trained_without_it_is_refused(tmp_path: Path) -> None:
    folder = write_bert(tmp_path, next_sentence=False)

    assert fill_mask(folder, "[MASK]")
    with pytest.raises(EncoderError, match="next-sentence head"):
        NextSentence.load(folder)


def test_a_pair_that_is_too_long_is_named(bert: Path) -> None:
    with pytest.raises(DataError, match=r"Pair 2 has 83 tokens.* 64 "):
        next_sentence(bert, [("a", "b"), ("happy " * 40, "sad " * 40)])


def test_only_pairs_of_strings_are_pairs(bert: Path) -> None:
    with pytest.raises(DataError, match="Pair 1 is NoneType"):
        next_sentence(bert, [("a", None)])  # type: ignore[list-item]


# In Python


def test_the_package_offers_them() -> None:
    assert multihot.FillMask is FillMask
    assert multihot.next_sentence is next_sentence


def test_loading_draws_no_random_numbers_that_others_wait_for(bert: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)

    torch.manual_seed(5)
    FillMask.load(bert, device="cpu")

    assert torch.equal(torch.rand(3), expected)
