"""JSON from elsewhere is strict and bounded, and what is wrong with it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multihot.errors import ArtifactError
from multihot.gate import json_documents
from multihot.gate.json_documents import MAX_DEPTH, parse_json, read_json_object


def _refusal(content: str | bytes) -> str:
    raw = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(ArtifactError, match=r"model/a\.json is not valid JSON") as caught:
        parse_json(raw, "model/a.json", error=ArtifactError)
    return str(caught.value).partition("not valid JSON: ")[2]


def test_what_our_own_files_hold_comes_back_as_it_was() -> None:
    content = {"a": [1, -2, 0.5, 1e-300, True, None, 'é 😀 \\ [[ " {'], "b": {"": {}}}

    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False, indent=2)):
        assert parse_json(text.encode(), "a.json", error=ArtifactError) == content


def test_nesting_is_measured_before_parsing_and_brackets_in_texts_do_not_count() -> None:
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    quoted = json.dumps({"\\": "[" * 200 + '\\"' + "{" * 200, '"': "[" * 99})

    assert parse_json(deepest.encode(), "a", error=ArtifactError)
    assert parse_json(quoted.encode(), "a", error=ArtifactError) == json.loads(quoted)
    assert "inside each other" in _refusal(f"[{deepest}]")
    assert "inside each other" in _refusal("[" * 100_000)
    assert "inside each other" in _refusal('{"a":' * 100_000)
    assert "1000000 lists and objects" in _refusal("[" + "{}," * 1_000_000 + "{}]")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("9" * 5000, "is too large"),
        ("[9223372036854775808]", "9223372036854775808 is too large"),
        ("0." + "1" * 5000, "longer than 40 characters"),
        ("1e999", "the number 1e999 is too large"),
        ("[NaN]", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ('{"a": 1, "b": {"c": 1, "d": 2, "c": 1}}', "the key 'c' comes twice"),
        (r'["\ud83d"]', r"'\ud83d' is half a character"),
        (r'["\ude00\ud83d"]', "half a character"),
        ('{"a": ', "line 1 column 7"),
        (b'["\xff"]', "byte 2 is not UTF-8"),
        ("", "line 1 column 1"),
    ],
)
def test_what_a_writer_of_ours_would_never_write_is_refused(
    content: str | bytes, reason: str
) -> None:
    assert reason in _refusal(content)


def test_whole_characters_written_as_two_escapes_are_read() -> None:
    assert parse_json(rb'["\ud83d\ude00", "\\ud83d"]', "a", error=ArtifactError) == [
        "😀",
        "\\ud83d",
    ]


def test_a_document_that_is_no_object_or_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")

    with pytest.raises(ArtifactError, match=r"a\.json is no JSON object; it begins \[1, 2\]"):
        read_json_object(tmp_path, "a.json", error=ArtifactError)
    with pytest.raises(ArtifactError, match="has 6 bytes; expected at most 5"):
        read_json_object(tmp_path, "a.json", error=ArtifactError, most_bytes=5)


def test_integers_beyond_64_bits_are_read_where_they_are_asked_for() -> None:
    text = str(int(1e30)).encode()

    assert parse_json(text, "a", error=ArtifactError, large_integers=True) == int(1e30)
    assert "too large" in _refusal(text)
    with pytest.raises(ArtifactError, match="too large"):
        parse_json(b"1" * 41, "a", error=ArtifactError, large_integers=True)


def test_nesting_is_counted_across_the_blocks_that_are_looked_at_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_documents, "_BLOCK", 7)
    deepest = "[ " * MAX_DEPTH + '"[[[[[[[[[" ' + "] " * MAX_DEPTH

    assert parse_json(deepest.encode(), "a", error=ArtifactError)
    assert "inside each other" in _refusal(f"[ {deepest} ]")


def test_values_and_escapes_are_bounded_where_nothing_else_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_documents, "_MAX_ESCAPES", 3)

    assert parse_json(rb'["\\ \n"]', "a", error=ArtifactError) == ["\\ \n"]
    assert "more than 3 escapes" in _refusal(rb'["\n\n\n\n"]')
    assert "more than 3000000 values" in _refusal(b"[" + b"1," * 3_000_001 + b"1]")


def test_the_number_of_values_is_bounded_where_it_is_asked_for() -> None:
    assert parse_json(b"[1,2,3]", "a", error=ArtifactError, max_values=2) == [1, 2, 3]
    with pytest.raises(ArtifactError, match="more than 2 values"):
        parse_json(b"[1,2,3,4]", "a", error=ArtifactError, max_values=2)


def test_the_number_of_keys_is_bounded_where_it_is_asked_for() -> None:
    document = rb'{"a": [{"b:\": :": ":::"}], "c": 1}'

    assert parse_json(document, "a", error=ArtifactError, max_keys=3)["c"] == 1
    with pytest.raises(ArtifactError, match="3 keys, and at most 2"):
        parse_json(document, "a", error=ArtifactError, max_keys=2)
