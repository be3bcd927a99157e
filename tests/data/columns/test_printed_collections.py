from __future__ import annotations

import pytest

from multihot.data.columns.printed_collections import kind_of, read_collection, read_tags


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("['joy', 'love, deep']", ["joy", "love, deep"]),
        ('["joy", "love"]', ["joy", "love"]),
        ("('joy', 'love')", ["joy", "love"]),
        ("('joy',)", ["joy"]),
        ("('joy')", ["joy"]),
        ("{'love', 'joy'}", ["joy", "love"]),
        ("frozenset({'joy'})", ["joy"]),
        ("set()", []),
        ("()", []),
        ("[]", []),
        ("{}", []),
        ("{joy,love}", ["joy", "love"]),
        ('{"New York",joy}', ["New York", "joy"]),
        (r'{"say \"hi\"",joy}', ['say "hi"', "joy"]),
        ("array(['joy', 'love'], dtype=object)", ["joy", "love"]),
        ("array(['joy'], dtype='<U3')", ["joy"]),
        ("['joy' 'love']", ["joy", "love"]),
        ("['joy'\n 'love']", ["joy", "love"]),
        ("[0 1 0]", [0, 1, 0]),
        ("[1. 0.5]", [1, 0.5]),
        ("[true, null]", [True, None]),
        ("{'joy': 1, 'love': 0}", {"joy": 1, "love": 0}),
        ('{"choices": ["joy", "love"]}', {"choices": ["joy", "love"]}),
        ("[{'name': 'Drama'}]", [{"name": "Drama"}]),
    ],
)
def test_printed_collections_are_read(text: str, members: object) -> None:
    assert kind_of(text) == "collection"
    assert read_collection(text) == members


@pytest.mark.parametrize(
    "text",
    [
        "[joy, love]",
        "(joy, love)",
        "['joy' 'love', 'anger']",
        "['it''s']",
        "['a' ... 'b']",
        "{joy: 1, love: 0}",
        "{'joy': 1, 'joy': 0}",
        '{"joy": true, "joy": false}',
        "{NULL,joy}",
        "{joy,}x}",
        "[nan]",
        "[1-2]",
        "[" * 10_000 + "]" * 10_000,
        "[" + "9" * 10_000 + ", 'a']",
        "[print('joy')]",
    ],
)
def test_what_cannot_be_read_without_guessing_is_an_error(text: str) -> None:
    assert kind_of(text) == "collection"
    with pytest.raises(ValueError, match=r"."):
        read_collection(text)


@pytest.mark.parametrize(
    "text", ["joy", "(other)", "(a), (b)", "other (a)", "'90s music", "a <b> c", "it's, 'x'"]
)
def test_names_with_brackets_or_quotes_inside_are_plain(text: str) -> None:
    assert kind_of(text) == "plain"


def test_names_in_quotes_and_tags_are_told_apart() -> None:
    assert (kind_of("'a', 'b, c'"), read_collection("'a', 'b, c'")) == ("quoted", ["a", "b, c"])
    assert (kind_of('"a"'), read_collection('"a"')) == ("quoted", ["a"])
    assert (kind_of("<a><b c>"), read_tags("<a><b c>")) == ("tags", ["a", "b c"])


@pytest.mark.parametrize(
    "names",
    [[], [""], ["a"], ["a, b", "c"], ["it's", "b"], ['say "hi"'], ["a\\b"], ["', '"], ["a\n"]],
)
def test_lists_as_python_prints_them_are_read_exactly(names: list[str]) -> None:
    assert read_collection(repr(names)) == names
    assert read_collection(repr(tuple(names))) == names


def test_a_comma_behind_the_last_name_is_no_part_of_it() -> None:
    assert read_collection("['a', 'b', ]") == ["a", "b"]
