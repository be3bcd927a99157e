from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.data.corpus.tokenize import split_sentences
from multihot.errors import MissingExtraError, OptionError


@pytest.mark.parametrize(
    ("passage", "sentences"),
    [
        ("Mr. Smith paid 3.50 in the U.S. market. He left.", 2),
        ('"Fine." "Go!" he said. "I went home. You stayed."', 4),
        ("'Yes. No,' she said. \"Really?\" 'I don't.'", 4),
        ("_Hermit._ I wonder what the world is doing now.", 2),
        ("No full stop at all", 1),
        ("It came at 5 p.m. on Sunday.", 1),
        ("", 0),
        ("  \n ", 0),
    ],
)
def test_english_sentences(passage: str, sentences: int) -> None:
    assert len(split_sentences(passage, "en")) == sentences


def test_quotation_marks_stay_with_their_sentence() -> None:
    assert split_sentences('"Fine." "Go!" he said. "I went. You stayed."') == [
        '"Fine."',
        '"Go!" he said.',
        '"I went.',
        'You stayed."',
    ]


def test_chinese_sentences() -> None:
    assert split_sentences(
        "他说：“你好！我来了。”然后走了。真的吗？！价格3.5万元。「好。」「走吧！」"
    ) == [
        "他说：“你好！",
        "我来了。”",
        "然后走了。",
        "真的吗？！",
        "价格3.5万元。",
        "「好。」",
        "「走吧！」",
    ]


def test_the_language_is_seen_in_the_letters() -> None:
    chinese = "我喜欢eco模式。iphone也好。"

    assert split_sentences(chinese) == ["我喜欢eco模式。", "iphone也好。"]
    assert split_sentences(chinese, "zh") == split_sentences(chinese)
    assert split_sentences(chinese, "en") == [chinese]
    assert split_sentences("He said 好. That was all.") == ["He said 好.", "That was all."]


@given(st.text(st.sampled_from("aB.!?。 \n\"'“”é好_-\u3000\u00a0😀"), max_size=60))
def test_no_character_is_lost_but_white_space(passage: str) -> None:
    found = split_sentences(passage)

    assert "".join("".join(found).split()) == "".join(passage.split())
    assert all(each == " ".join(each.split()) != "" for each in found)


def test_another_language_is_refused() -> None:
    with pytest.raises(OptionError, match="'fr'"):
        split_sentences("Bonjour.", "fr")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencex", None)

    with pytest.raises(MissingExtraError, match=r"multihot\[pretrain\]"):
        split_sentences("One.")


def test_a_segmenter_that_loses_characters_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentencex.segment", lambda language, text: ["One."])

    assert split_sentences("One. Two.") == ["One. Two."]
