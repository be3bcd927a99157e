"""A `tokenizer.json` is loaded only when nothing in it can explode, panic or point nowhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multihot.errors import ArtifactError
from multihot.gate import tokenizer_json, tokenizer_loading
from multihot.gate.tokenizer_json import check_tokenizer_json, require_small_trie
from multihot.gate.tokenizer_loading import library_errors, parse_tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def _document(**changes: Any) -> dict[str, Any]:
    words = [*SPECIAL, "a", "b", "##b"]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, "special": True, **flags}
            for number, token in enumerate(SPECIAL)
        ],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": _template(),
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: number for number, word in enumerate(words)},
        },
        **changes,
    }


def _template() -> dict[str, Any]:
    pieces: list[dict[str, Any]] = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    return {
        "type": "TemplateProcessing",
        "single": pieces,
        "pair": [*pieces, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            token: {"id": token, "ids": [number], "tokens": [token]}
            for number, token in ((2, "[CLS]"), (3, "[SEP]"))
        },
    }


def _load(document: dict[str, Any]) -> Any:
    content = json.dumps(document).encode()
    return parse_tokenizer(content, Path("folder/tokenizer.json"), error=ArtifactError)[0]


def _replace(text: str, content: str, kind: str = "String") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: text}, "content": content}


def _normalizers(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(parts)}


def _charsmap(trie: bytes, texts: bytes) -> dict[str, Any]:
    raw = len(trie).to_bytes(4, "little") + trie + texts
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(raw).decode()}


def test_a_tokenizer_is_loaded_with_padding_and_truncation_cleared() -> None:
    tokenizer = _load(
        _document(
            truncation={
                "direction": "Right",
                "max_length": 2,
                "strategy": "LongestFirst",
                "stride": 0,
            }
        )
    )

    assert tokenizer.encode("A abb x").ids == [2, 4, 4, 6, 6, 1, 3]


GROWING = {
    "one replacement": _replace("a", "a" * 65),
    "eight of them": _normalizers(*[_replace("a", "aa")] * 7),
    "between all characters": _normalizers(*[_replace("x*", "ab", "Regex")] * 4),
    "bytes of bytes": _normalizers(*[{"type": "ByteLevel"}] * 4),
    "very many parts": _normalizers(*[{"type": "Lowercase"}] * 129),
    "a map out of itself": _charsmap(b"\xff\xff\xff\xff", b"a\0"),
    "two character maps": _normalizers(*[_charsmap(bytes(1024), b"\0")] * 2),
    "an empty prefix": {"type": "Prepend", "prepend": ""},
    "a long prefix": {"type": "Prepend", "prepend": "a" * 1025},
    "a slow pattern": _replace("(a+)+b", "", "Regex"),
}


@pytest.mark.parametrize("name", GROWING)
def test_a_normalizer_that_can_explode_is_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match=r"tokenizer\.json: is not a readable tokenizer file"):
        _load(_document(normalizer=GROWING[name]))


def test_normalizers_in_use_are_accepted() -> None:
    parts = [
        _replace("``", '"'),
        _replace(" {2,}", " ", "Regex"),
        _replace("\\s*\\n", "\n", "Regex"),
    ]
    kinds = ("NFKD", "StripAccents", "Lowercase", "Nmt")

    check_tokenizer_json(
        _document(normalizer=_normalizers(*parts, *[{"type": kind} for kind in kinds]))
    )


def _change(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def changed(document: dict[str, Any]) -> None:
        *parents, last = place.split(".")
        for key in parents:
            document = document[key]
        document[last] = value

    return changed


DAMAGED = {
    "an empty vocabulary": _change("model.vocab", {}),
    "no unknown token": _change("model.unk_token", "[NONE]"),
    "a negative id": _change("model.vocab.a", -1),
    "an id twice": _change("model.vocab.a", 5),
    "an id that is no integer": _change("model.vocab.a", 1.5),
    "an id that is enormous": _change("model.vocab.a", 2**31),
    "words without end": _change("model.max_input_chars_per_word", 10**9),
    "a long prefix of pieces": _change("model.continuing_subword_prefix", "#" * 2000),
    "an unknown model": _change("model.type", "Other"),
    "an unknown component": _change("pre_tokenizer.type", "Other"),
    "pieces of no length": _change("pre_tokenizer", {"type": "FixedLength", "length": 0}),
    "another key": _change("other", 1),
    "a token that the template does not describe": _change("post_processor.special_tokens", {}),
    "a template's id beyond the vocabulary": _change(
        "post_processor.special_tokens.[CLS].ids", [70]
    ),
    "a template's id of another token": _change("post_processor.special_tokens.[CLS].ids", [3]),
    "a template with the text twice": _change(
        "post_processor.single", [{"Sequence": {"id": "A", "type_id": 0}}] * 2
    ),
    "a template without the text": _change("post_processor.single", []),
    "a stride beyond the length": _change("truncation", {"max_length": 2, "stride": 2}),
    "padding to multiples of 0": _change("padding", {"pad_to_multiple_of": 0}),
    "an added token with the id of a piece": _change("added_tokens", [{"id": 4, "content": "<x>"}]),
    "an added token with another id than its piece": _change(
        "added_tokens", [{"id": 40, "content": "a"}]
    ),
    "a model that splits at random": _change("model", {"type": "BPE", "dropout": 0.1}),
    "two templates": _change(
        "post_processor", {"type": "Sequence", "processors": [_template(), _template()]}
    ),
    "scores without unknown piece": _change("model", {"type": "Unigram", "vocab": [["a", 0.0]]}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_tokenizer_is_refused(name: str) -> None:
    document = _document()
    DAMAGED[name](document)

    with pytest.raises(ValueError, match=r"\w"):
        check_tokenizer_json(document)


def test_special_tokens_around_a_text_are_bounded() -> None:
    document = _document()
    special = document["post_processor"]["special_tokens"]["[CLS]"]
    special.update(ids=[2] * 2**15, tokens=["[CLS]"] * 2**15)

    with pytest.raises(ArtifactError, match="special tokens are put around a text"):
        _load(document)


def test_five_hundred_labels_may_stand_before_a_text() -> None:
    document = _document()
    special = document["post_processor"]["special_tokens"]["[CLS]"]
    special.update(ids=[4] * 2500, tokens=["a"] * 2500)

    assert len(_load(document).encode("b").ids) == 2502


def test_a_pointer_of_git_lfs_says_what_to_do() -> None:
    with pytest.raises(ArtifactError, match=r"pointer of Git LFS.*'git lfs pull'"):
        parse_tokenizer(b"version https://git-lfs.github.com/spec/v1\n", "a", error=ArtifactError)


def test_a_panic_of_the_library_becomes_a_sentence() -> None:
    from tokenizers.pre_tokenizers import FixedLength

    with (
        pytest.raises(ArtifactError, match=r"a file: '.*non-zero"),
        library_errors(ArtifactError, "a file"),
    ):
        FixedLength(0).pre_tokenize_str("a")


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes(signal: type[BaseException]) -> None:
    with pytest.raises(signal), library_errors(ArtifactError, "a file"):
        raise signal


@pytest.mark.parametrize("pattern", [r"\w*\w*\w*\w*!", r"(?:[^a1 .!]?[^a1 .!])*!"])
def test_a_pattern_is_slow_where_the_word_that_it_looks_for_comes_later(pattern: str) -> None:
    with pytest.raises(ArtifactError, match=r"its patterns take very long|retry-limit"):
        _load(_document(normalizer=_replace(pattern, "", "Regex")))


@pytest.fixture(autouse=True)
def _nothing_accepted_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_loading, "_accepted", {})


def test_bytes_that_passed_are_checked_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[object] = []
    check = tokenizer_loading.check_tokenizer_json
    monkeypatch.setattr(
        tokenizer_loading,
        "check_tokenizer_json",
        lambda *given, **named: (checked.append(given), check(*given, **named))[1],
    )

    first, again = _load(_document()), _load(_document())
    _load(_document(normalizer=_replace("x", "y")))

    assert len(checked) == 2
    assert first.to_str() == again.to_str()


def test_added_tokens_have_a_bounded_number_of_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = sum(map(len, SPECIAL))
    monkeypatch.setattr(tokenizer_json, "MAX_ADDED_CHARACTERS", most)
    _load(_document())
    monkeypatch.setattr(tokenizer_json, "MAX_ADDED_CHARACTERS", most - 1)
    monkeypatch.setattr(tokenizer_loading, "_accepted", {})

    with pytest.raises(ArtifactError, match=f"added_tokens have {most} characters; expected at"):
        _load(_document())


def test_pieces_have_a_bounded_number_of_different_beginnings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenizer_json, "_MAX_TRIE", 5)

    require_small_trie([b"abc", b"abx", b"e"])
    with pytest.raises(ValueError, match="have 6 different beginnings; expected at most 5"):
        require_small_trie([b"abc", b"abx", b"ef"])


def test_a_tokenizer_that_takes_long_for_short_texts_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenizer_loading, "_MAX_PROBE_SECONDS", -1.0)

    with pytest.raises(ArtifactError, match="its patterns take very long for 16 characters"):
        _load(_document(normalizer=_replace("b", "c", "Regex")))


@pytest.mark.parametrize(("second", "fits"), [("##b", True), ("b", False), ("é", False)])
def test_merges_inside_words_have_the_prefix_of_their_pieces(second: str, fits: bool) -> None:
    model = {
        "type": "BPE",
        "continuing_subword_prefix": "##",
        "vocab": {"[UNK]": 0, "a": 1, second: 2, "ab": 3},
        "merges": [["a", second]],
    }
    document = _document(model=model, added_tokens=[], post_processor=None)

    if fits:
        assert check_tokenizer_json(document).num_pieces == 4
    else:
        with pytest.raises(ValueError, match="no second part that begins with '##'"):
            check_tokenizer_json(document)
