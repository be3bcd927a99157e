"""Duplicates and leaks: which texts count as the same, and when their labels conflict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.data.duplicates import (
    LabelledTexts,
    find_duplicates,
    find_leaks,
    normalised,
    rows_by_text,
)
from multihot.data.label_bits import LabelBits

SPACE = LabelSpace(("joy", "anger"))
NAN = float("nan")


def labelled(
    texts: Sequence[str], values: Sequence[Sequence[float]], source: str = "a.csv"
) -> LabelledTexts:
    labels = LabelMatrix(SPACE, np.array(values, dtype=np.float32).reshape(-1, 2))
    return LabelledTexts(source, texts, np.arange(2, len(texts) + 2), LabelBits.from_matrix(labels))


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


def test_duplicates_count_texts_and_the_rows_that_repeat_them() -> None:
    texts = ["a b", "A b!", "a b", "c", "d", "d"]
    file = labelled(texts, [[1, 0]] * 6)

    exact = find_duplicates(file, rows_by_text(texts))
    near = find_duplicates(file, rows_by_text(texts, normalised))

    assert (exact.texts, exact.rows, exact.conflicting) == (2, 2, 0)
    assert (near.texts, near.rows, near.conflicting) == (2, 3, 0)


def test_blank_texts_are_no_duplicates() -> None:
    texts = ["", "  ", "\t", ""]

    assert rows_by_text(texts, normalised) == {}


def test_conflicting_duplicates_name_lines_and_labels_and_come_first() -> None:
    texts = ["same", "same", "other", "Other"]
    file = labelled(texts, [[1, 0], [1, 0], [1, 0], [0, 1]])

    duplicates = find_duplicates(file, rows_by_text(texts, normalised))

    first, second = duplicates.examples
    assert duplicates.conflicting == 1
    assert (first.text, first.rows, first.conflicting) == ("other", 2, True)
    assert [(row.source, row.line, row.labels) for row in first.occurrences] == [
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
        ([[1, 0.5], [1, 0.2]], 0),
        ([[1, 0.8], [1, 0.2]], 1),
    ],
)
def test_an_unknown_cell_conflicts_with_nothing(
    values: list[list[float]], conflicting: int
) -> None:
    file = labelled(["x", "x"], values)

    duplicates = find_duplicates(file, rows_by_text(file.texts))

    assert (duplicates.texts, duplicates.conflicting) == (1, conflicting)


def test_leaks_count_rows_of_the_second_file() -> None:
    first = labelled(["a", "b", "c"], [[1, 0]] * 3)
    second = labelled(["x", "A", "a!", "b"], [[1, 0], [1, 0], [0, 0], [1, 0]], "b.csv")
    groups = [rows_by_text(one.texts, normalised) for one in (first, second)]

    duplicates = find_leaks(first, groups[0], second, groups[1])

    assert (duplicates.texts, duplicates.rows, duplicates.conflicting) == (2, 3, 1)
    assert [(row.source, row.line) for row in duplicates.examples[0].occurrences] == [
        ("a.csv", 2),
        ("b.csv", 3),
        ("b.csv", 4),
    ]


def test_a_text_with_very_many_rows_shows_the_first_and_the_last() -> None:
    file = labelled(["x"] * 1000, [[1, 0]] * 1000)

    (duplicated,) = find_duplicates(file, rows_by_text(file.texts)).examples

    assert duplicated.rows == 1000
    assert len(duplicated.occurrences) == 50
    assert duplicated.occurrences[-1].line == 1001
