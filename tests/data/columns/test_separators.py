from __future__ import annotations

import pytest

from multihot.data.columns.separators import (
    doubtful_comma,
    doubtful_whole_cells,
    looks_like_vectors,
    recurring_parts,
    split_cell,
)


@pytest.mark.parametrize("mark", ["#", "/", "+", " ", "\t", "&"])
def test_parts_that_are_cells_themselves_speak_for_a_separator(mark: str) -> None:
    cells = [f"joy{mark}love", "joy", "love", "anger"]

    assert doubtful_whole_cells(cells) == (mark, f"joy{mark}love")


def test_names_of_several_words_are_no_lists() -> None:
    cells = ["credit card", "debit card", "card fee", "exchange rate"]

    assert doubtful_whole_cells(cells) is None
    assert recurring_parts(cells) is None


def test_parts_that_recur_in_other_cells_are_noticed() -> None:
    assert recurring_parts(["joy love", "love anger", "anger joy"]) == (" ", "joy love")


def test_uris_are_not_cut_at_their_slashes() -> None:
    one_each = ["http://a.org/x/1", "http://a.org/x/2", "http://a.org/x"]

    assert doubtful_whole_cells(one_each) is None
    assert doubtful_whole_cells([*one_each, "http://a.org/x/1 http://a.org/x/2"]) == (
        " ",
        "http://a.org/x/1 http://a.org/x/2",
    )


def test_a_comma_between_parts_that_never_stand_alone_is_doubtful() -> None:
    cities = ["Paris", "London", "Dallas, TX", "Austin, TX"]

    assert doubtful_comma(cities, ",") == "Dallas, TX"
    assert doubtful_comma([*cities, "TX"], ",") is None
    assert doubtful_comma(["joy,love", "anger,fear", "hope,fear"], ",") is None
    assert doubtful_comma(["joy, love", "love, joy", "love, anger"], ",") is None
    assert doubtful_comma(cities, ";") is None


def test_cells_of_equally_many_zeros_and_ones_look_like_vectors() -> None:
    assert looks_like_vectors(["0,1,0", "1,1,0"]) == 3
    assert looks_like_vectors(["0 1", "1 1"]) == 2
    assert looks_like_vectors(["0", "1"]) == 0
    assert looks_like_vectors(["0,1,0", "1,1"]) == 0
    assert looks_like_vectors(["2,1,0", "1,1,0"]) == 0


def test_separators_have_names() -> None:
    assert split_cell("a  b\tc", "space") == ["a", "b", "c"]
    assert split_cell("a\nb c\n", "newline") == ["a", "b c"]
    assert split_cell("a\tb c", "tab") == ["a", "b c"]
    assert split_cell("a::b", "::") == ["a", "b"]
    assert split_cell("a|b", "") == ["a|b"]
