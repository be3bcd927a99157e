from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.errors import LabelError

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=8).map(
    lambda name: unicodedata.normalize("NFC", name)
)
SPACES = st.lists(NAMES, min_size=1, max_size=6, unique=True).map(lambda n: LabelSpace(tuple(n)))
CELLS = st.sampled_from([0.0, 1.0, np.nan])


@st.composite
def matrices(draw: st.DrawFn) -> LabelMatrix:
    space = draw(SPACES)
    row = st.lists(CELLS, min_size=len(space), max_size=len(space))
    rows = draw(st.lists(row, min_size=1, max_size=8))
    return LabelMatrix(space, np.array(rows, dtype=np.float32))


@given(SPACES, st.data())
def test_names_survive_the_way_to_multi_hot_and_back(
    space: LabelSpace, data: st.DataObject
) -> None:
    subset = st.lists(st.sampled_from(space.names), unique=True)
    rows = data.draw(st.lists(subset, max_size=8))

    matrix = LabelMatrix.from_names(rows, space)

    assert matrix.values.shape == (len(rows), len(space))
    assert matrix.values.dtype == np.float32
    assert [set(row) for row in matrix.to_names()] == [set(row) for row in rows]
    assert LabelMatrix.from_names(matrix.to_names(), space).values.tolist() == (
        matrix.values.tolist()
    )
    assert matrix.positives().tolist() == [sum(name in row for row in rows) for name in space.names]


@given(matrices(), st.randoms(use_true_random=False))
def test_alignment_follows_the_names_and_not_the_columns(
    matrix: LabelMatrix, random: object
) -> None:
    shuffled = list(matrix.space.names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = LabelSpace((*shuffled, "one more"))

    aligned = matrix.aligned_to(other)

    assert aligned.space == other
    for name in matrix.space.names:
        np.testing.assert_array_equal(
            aligned.values[:, other.index(name)], matrix.values[:, matrix.space.index(name)]
        )
    assert np.isnan(aligned.values[:, -1]).all()
    assert (~aligned.known[:, -1]).all()


@given(matrices(), st.data())
def test_taking_rows_keeps_their_order(matrix: LabelMatrix, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(matrix) - 1), max_size=10))

    taken = matrix.take(np.array(rows, dtype=np.int64))

    assert len(taken) == len(rows)
    np.testing.assert_array_equal(taken.values, matrix.values[rows])


def test_names_are_compared_as_a_reader_sees_them() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    space = LabelSpace((f" {decomposed}\t".strip("\t"), "joy"))

    assert space.names == (composed, "joy")
    assert space.index(decomposed) == space.index(f" {composed} ") == 0
    assert LabelMatrix.from_names([[decomposed]], space).values.tolist() == [[1, 0]]
    assert LabelMatrix.from_names([[decomposed], [composed]]).space.names == (composed,)


def test_whole_numbers_as_names_are_texts_and_never_columns() -> None:
    matrix = LabelMatrix.from_names([["10"], ["2"], ["2", "10"]])

    assert matrix.space.names == ("10", "2")
    assert matrix.values.tolist() == [[1, 0], [0, 1], [1, 1]]
    other = matrix.aligned_to(LabelSpace(("2", "10")))
    assert other.values.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert other.to_names() == [["10"], ["2"], ["2", "10"]]


def test_an_empty_row_has_no_label_and_a_missing_row_is_unknown() -> None:
    matrix = LabelMatrix.from_names([[], None, ["joy"]])

    assert matrix.values[0].tolist() == [0]
    assert np.isnan(matrix.values[1]).all()
    assert matrix.known.tolist() == [[True], [False], [True]]
    assert matrix.to_names() == [[], [], ["joy"]]
    assert matrix.positives().tolist() == [1]


def test_rows_may_be_any_collection_of_names() -> None:
    space = LabelSpace(("joy", "love"))

    matrix = LabelMatrix.from_names(
        [("joy",), {"love"}, iter(["joy", "love"]), np.array(["love"])], space
    )

    assert matrix.values.tolist() == [[1, 0], [0, 1], [1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "at least one label name is needed"),
        (("joy", "  "), r"A label name is empty. The names are: \['joy', ''\]"),
        (("joy\nlove",), r"'joy\\nlove' contains a control character"),
        (("joy", "love", "joy "), "must be unique; these occur more than once: joy"),
    ],
)
def test_names_that_cannot_be_labels_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        LabelSpace(names)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    space = LabelSpace(("joy", "love"))

    with pytest.raises(LabelError, match=r"Unknown label 'fear'. The labels are: joy, love"):
        space.index("fear")
    with pytest.raises(LabelError, match=r"Row 1 has the label 'fear', .* not among .*: joy, love"):
        LabelMatrix.from_names([["joy"], ["fear"]], space)
    with pytest.raises(LabelError, match=r"not known here: fear. The known labels are: joy, love"):
        LabelMatrix.from_names([["fear", "joy"]]).aligned_to(space)


def test_a_string_in_place_of_a_list_is_not_taken_apart_into_letters() -> None:
    with pytest.raises(LabelError, match=r"Row 1 has the string 'joy' where a list"):
        LabelMatrix.from_names([["joy"], "joy"])


@pytest.mark.parametrize("row", [[0, 1, 1], [True], [None], [0.5]])
def test_numbers_are_no_names(row: list[object]) -> None:
    with pytest.raises(LabelError, match=r"which is not a string.*as an array"):
        LabelMatrix.from_names([row])  # type: ignore[list-item]


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 1)])
def test_a_matrix_has_one_column_per_label(shape: tuple[int, ...]) -> None:
    with pytest.raises(LabelError, match=r"has shape .*; expected \(rows, 2\) .* joy, love"):
        LabelMatrix(LabelSpace(("joy", "love")), np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize("value", [2, -1, 1.01, np.inf])
def test_a_cell_is_between_zero_and_one_or_unknown(value: float) -> None:
    values = np.array([[0, 1], [0, value]], dtype=np.float32)

    with pytest.raises(LabelError, match=r"in row 1, label 'love' is not 0, 1 or NaN"):
        LabelMatrix(LabelSpace(("joy", "love")), values)


def test_values_of_any_number_type_become_float32() -> None:
    for values in ([[0, 1]], np.array([[False, True]]), np.array([[0, 1]], dtype=np.int64)):
        matrix = LabelMatrix(LabelSpace(("joy", "love")), values)  # type: ignore[arg-type]

        assert matrix.values.dtype == np.float32
        assert matrix.to_names() == [["love"]]


def test_alignment_to_the_same_labels_is_free() -> None:
    matrix = LabelMatrix.from_names([["joy"]])

    assert matrix.aligned_to(LabelSpace(("joy",))) is matrix


def test_a_name_missing_from_lists_is_absent_and_from_columns_unknown() -> None:
    wider = LabelSpace(("fear", "joy", "love"))
    listed = LabelMatrix.from_names([["joy"], [], None]).aligned_to(wider)
    columns = LabelMatrix(LabelSpace(("joy",)), np.array([[1], [0], [np.nan]])).aligned_to(wider)

    unknown = np.nan
    assert np.array_equal(listed.values, [[0, 1, 0], [0, 0, 0], [unknown] * 3], equal_nan=True)
    assert np.array_equal(
        columns.values,
        [[unknown, 1, unknown], [unknown, 0, unknown], [unknown] * 3],
        equal_nan=True,
    )
    assert np.array_equal(listed.take([1, 0]).aligned_to(wider).values[0], [0, 0, 0])


def test_fractions_become_hard_where_something_is_decided() -> None:
    matrix = LabelMatrix(
        LabelSpace(("joy", "love")), np.array([[0.7, 0.2], [0.5, np.nan], [1, 0]], dtype=np.float32)
    )

    assert matrix.is_soft
    np.testing.assert_array_equal(matrix.hard().values, [[1, 0], [np.nan, np.nan], [1, 0]])
    assert matrix.positives().tolist() == [2, 0]
    assert matrix.to_names() == [["joy"], [], ["joy"]]
    assert matrix.hard().hard() is not matrix
    assert not matrix.hard().is_soft


def test_labels_without_fractions_are_hard_already() -> None:
    matrix = LabelMatrix(LabelSpace(("joy",)), np.array([[1], [np.nan], [0]], dtype=np.float32))

    assert matrix.hard() is matrix


@pytest.mark.parametrize("names", ["ab", b"ab", None, 5])
def test_label_names_are_several_names(names: Any) -> None:
    with pytest.raises(LabelError, match=r"expected a sequence of names"):
        LabelSpace(names)


@pytest.mark.parametrize("rows", [None, 5, "ab", [5], [float("nan")], [{"a": 1}], {"a": ["b"]}])
def test_rows_of_names_are_lists(rows: Any) -> None:
    with pytest.raises(LabelError, match=r"expected a list of"):
        LabelMatrix.from_names(rows)
