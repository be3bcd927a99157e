from __future__ import annotations

import pytest

from multihot.core.options import DataOptions
from multihot.data.columns.text_and_id import (
    find_id_column,
    find_text_column,
    required_column,
    text_of,
)
from multihot.errors import DataError


@pytest.mark.parametrize(
    "name",
    [
        "text",
        "Tweet",
        "CONTENT",
        "sentence",
        "comment",
        "comment_text",
        "message",
        "review",
        "body",
        "utterance",
        "文本",
        "内容",
    ],
)
def test_a_column_named_like_a_text_is_the_text(name: str) -> None:
    assert name == find_text_column(["id", "anger", name, "joy"], DataOptions(), "f")


def test_the_only_candidate_is_the_text() -> None:
    assert find_text_column(["words"], DataOptions(), "f") == "words"
    assert find_text_column(["post_id", "words", "Labels"], DataOptions(), "f") == "words"
    options = DataOptions(
        label_columns=("joy", "love"), ignore_columns=("date",), group_by="thread"
    )
    assert find_text_column(["joy", "date", "thread", "words", "love"], options, "f") == "words"


def test_several_texts_are_ambiguous() -> None:
    with pytest.raises(
        DataError, match=r"Several columns are named like a text: Tweet, body.*data.text_column"
    ):
        find_text_column(["id", "Tweet", "body"], DataOptions(), "f")
    options = DataOptions(ignore_columns=("body",))
    assert find_text_column(["id", "Tweet", "body"], options, "f") == "Tweet"


def test_no_text_lists_the_columns_and_the_option() -> None:
    with pytest.raises(
        DataError, match=r"The columns are: a, b\. .*data\.text_column=NAME.*data\.header=false"
    ):
        find_text_column(["a", "b"], DataOptions(), "f")


def test_a_wrong_text_column_suggests_the_nearest() -> None:
    with pytest.raises(
        DataError, match=r"no column 'tweets' \(data.text_column\). Did you mean 'Tweet'\?"
    ):
        find_text_column(["ID", "Tweet"], DataOptions(text_column="tweets"), "f")
    assert required_column("a", ["a"], "f", "x") == "a"


@pytest.mark.parametrize("name", ["id", "ID", "Ids", "index", "tweet_id", "编号"])
def test_a_column_named_like_an_id_is_the_id(name: str) -> None:
    assert name == find_id_column(["text", name], DataOptions(), "f", "text")


def test_plain_id_goes_before_the_others_and_group_before_the_rest() -> None:
    columns = ["text", "user_id", "Id", "thread_id"]
    assert find_id_column(columns, DataOptions(), "f", "text") == "Id"
    options = DataOptions(group_by="thread_id")
    assert find_id_column(["text", "user_id", "thread_id"], options, "f", "text") == "thread_id"
    assert find_id_column(["text", "date"], DataOptions(), "f", "text") is None


def test_several_ids_are_ambiguous() -> None:
    columns = ["text", "user_id", "post_id"]
    with pytest.raises(DataError, match=r"named like an id: user_id, post_id.*data.id_column"):
        find_id_column(columns, DataOptions(), "f", "text")
    assert (
        find_id_column(columns, DataOptions(ignore_columns=("user_id",)), "f", "text") == "post_id"
    )


def test_a_given_id_column_is_used_where_it_exists() -> None:
    options = DataOptions(id_column="key")
    assert find_id_column(["text", "key", "id"], options, "f", "text") == "key"
    assert find_id_column(["text", "id"], options, "f", "text") is None


@pytest.mark.parametrize(
    ("cell", "words"),
    [(None, r"is missing \(null\)"), (5, "is 5, not a text"), (["a", 5], ".*not a text")],
)
def test_a_text_must_be_a_text(cell: object, words: str) -> None:
    with pytest.raises(DataError, match=f"f:3, column 'text': The text {words}"):
        text_of(cell, "f", 3, "text")
    assert text_of("", "f", 3, "text") == ""
