"""Packed labels are the matrix they were packed from, with fractions as decisions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.data.label_bits import LabelBits

LAWS = settings(deadline=None, max_examples=60)


@st.composite
def label_matrices(draw: st.DrawFn) -> LabelMatrix:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 20)))
    cells = st.sampled_from(draw(st.sampled_from([[0.0, 1.0], [0.0, 1.0, np.nan, 0.3, 0.5, 0.8]])))
    names = tuple(f"label {column}" for column in range(shape[1]))
    return LabelMatrix(LabelSpace(names), draw(arrays(np.float32, shape, elements=cells)))


@LAWS
@given(label_matrices(), st.integers(1, 5))
def test_packing_by_chunks_and_unpacking_gives_the_hard_labels(
    labels: LabelMatrix, chunk_rows: int
) -> None:
    starts = range(0, len(labels), chunk_rows)
    rows = [range(start, min(start + chunk_rows, len(labels))) for start in starts]

    packed = LabelBits.from_chunks(labels.space, (labels.take(list(each)) for each in rows))

    np.testing.assert_array_equal(packed.matrix().values, labels.hard().values)
    assert packed.positive.shape == (len(labels), -(-len(labels.space) // 8))
    assert (packed.known is None) == bool(labels.hard().known.all())


@LAWS
@given(label_matrices(), st.data(), st.booleans())
def test_taking_rows_and_aligning_columns_is_that_of_the_matrix(
    labels: LabelMatrix, data: st.DataObject, lists_all: bool
) -> None:
    labels = LabelMatrix(labels.space, labels.hard().values, lists_all)
    names = data.draw(st.permutations([*labels.space.names, "new", "newer"]))
    space = LabelSpace(tuple(names))
    rows = np.array(data.draw(st.lists(st.integers(0, len(labels) - 1), min_size=1)))

    packed = LabelBits.from_matrix(labels).take(rows).aligned_to(space)

    expected = labels.take(rows).aligned_to(space)
    np.testing.assert_array_equal(packed.matrix().values, expected.values)
    assert packed.lists_all == expected.lists_all


@LAWS
@given(label_matrices())
def test_label_sets_are_those_of_the_rows_without_an_unknown_cell(labels: LabelMatrix) -> None:
    hard = labels.hard()
    packed = LabelBits.from_matrix(labels)

    found = [packed.names(each) for each in packed.label_sets()]

    complete = hard.take(hard.known.all(axis=1))
    assert found == [tuple(names) for names in complete.to_names()]


@LAWS
@given(label_matrices(), st.data())
def test_contrast_is_what_some_rows_have_and_some_lack(
    labels: LabelMatrix, data: st.DataObject
) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(labels) - 1), min_size=1)))
    values = labels.hard().values[rows]
    packed = LabelBits.from_matrix(labels)

    positive, negative = packed.contrast(rows)

    num_labels = len(labels.space)
    assert np.unpackbits(positive, count=num_labels).tolist() == (values == 1).any(0).tolist()
    assert np.unpackbits(positive & negative, count=num_labels).tolist() == (
        ((values == 1).any(0) & (values == 0).any(0)).tolist()
    )
