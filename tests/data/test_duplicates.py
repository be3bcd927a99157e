"""Repeats and leaks: what counts as the same text, and when its labels conflict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.duplicates import find_leaks, find_repeats, group_rows, normalised
from multihot.data.examples import Examples

SPACE = LabelSpace(("joy", "anger"))
NAN = float("nan")


def examples_of(
    texts: Sequence[str], values: Sequence[Sequence[float]], source: str = "a.csv"
) -> Examples:
    labels = LabelMatrix(SPACE, np.array(values, dtype=np.float32).reshape(-1, 2))
    numbers = list(range(2, len(texts) + 2))
    return Examples(
        list(texts), labels, [str(n) for n in numbers], source, DataOptions(), (), numbers
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("So   HAPPY!!!\n", "so happy"),
        ("@ann_b so happy http://x.co/1?q=2 www.x.com/a", "so happy"),
        ("salt &amp; pepper", "salt pepper"),
        ("#winning 🎉", "winning"),
        ("“Don’t”", "don t"),
        ("ｆｕｌｌ　width ①", "full width 1"),
        ("mail ann@home.org", "mail ann home org"),
        ("很好！！用车", "很好 用车"),
        ("हिन्दी है।", "हिन्दी है"),
        ("cafe\u0301", "café"),
        ("I ❤️ it", "i it"),
    ],
)
def test_normalised_keeps_the_words_alone(text: str, words: str) -> None:
    assert normalised(text) == words


@pytest.mark.parametrize("text", ["😀 😀", "!!!", "@ann", "http://x.co/1"])
def test_a_text_without_words_keeps_its_characters(text: str) -> None:
    assert normalised(f"  {text}  ") == text


@settings(derandomize=True, deadline=None, database=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_only_a_blank_text_is_normalised_to_nothing(text: str) -> None:
    assert bool(normalised(text)) == bool(text.strip())


def test_repeats_count_texts_and_their_further_rows() -> None:
    texts = ["a b", "A b!", "a b", "c", "d", "d"]
    examples = examples_of(texts, [[1, 0]] * 6)

    equal = find_repeats(examples, group_rows(texts))
    alike = find_repeats(examples, group_rows(texts, normalised))

    assert (equal.texts, equal.rows, equal.conflicting) == (2, 2, 0)
    assert (alike.texts, alike.rows, alike.conflicting) == (2, 3, 0)


def test_without_labels_nothing_conflicts() -> None:
    examples = replace(examples_of(["x", "x"], [[1, 0], [0, 1]]), labels=None)

    found = find_repeats(examples, group_rows(examples.texts))

    assert (found.texts, found.conflicting) == (1, 0)
    assert found.examples[0].occurrences[0].labels == ()


def test_blank_texts_are_no_repeats() -> None:
    texts = ["", "  ", "\t", ""]

    assert group_rows(texts, normalised) == {}


def test_conflicting_repeats_name_lines_and_labels_and_come_first() -> None:
    texts = ["same", "same", "other", "Other"]
    examples = examples_of(texts, [[1, 0], [1, 0], [1, 0], [0, 1]])

    found = find_repeats(examples, group_rows(texts, normalised))

    first, second = found.examples
    assert found.conflicting == 1
    assert (first.text, first.rows, first.conflicting) == ("other", 2, True)
    assert [(one.source, one.line, one.labels) for one in first.occurrences] == [
        ("a.csv", 4, ("joy",)),
        ("a.csv", 5, ("anger",)),
    ]
    assert (second.text, second.conflicting) == ("same", False)


@pytest.mark.parametrize(
    ("values", "conflicting"),
    [
        ([[1, 0], [1, 0]], 0),
        ([[1, 0], [1, 1]], 1),
        ([[1, NAN], [1, 1]], 0),
        ([[NAN, NAN], [1, 1]], 0),
        ([[1, NAN], [0, NAN]], 1),
    ],
)
def test_an_unknown_cell_conflicts_with_nothing(
    values: list[list[float]], conflicting: int
) -> None:
    examples = examples_of(["x", "x"], values)

    found = find_repeats(examples, group_rows(examples.texts))

    assert (found.texts, found.conflicting) == (1, conflicting)


def test_leaks_count_rows_of_the_second_file() -> None:
    first = examples_of(["a", "b", "c"], [[1, 0]] * 3)
    second = examples_of(["x", "A", "a!", "b"], [[1, 0], [1, 0], [0, 0], [1, 0]], "b.csv")
    groups = [group_rows(one.texts, normalised) for one in (first, second)]

    found = find_leaks(first, groups[0], second, groups[1])

    assert (found.texts, found.rows, found.conflicting) == (2, 3, 1)
    assert [(one.source, one.line) for one in found.examples[0].occurrences] == [
        ("a.csv", 2),
        ("b.csv", 3),
        ("b.csv", 4),
    ]


def test_a_text_with_very_many_rows_shows_the_first_and_the_last() -> None:
    examples = examples_of(["x"] * 1000, [[1, 0]] * 1000)

    (repeated,) = find_repeats(examples, group_rows(examples.texts)).examples

    assert repeated.rows == 1000
    assert len(repeated.occurrences) == 50
    assert repeated.occurrences[-1].line == 1001
