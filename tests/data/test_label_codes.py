"""One byte a cell holds what four bytes held, and counts do not depend on the window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.data.label_codes import (
    has_known_label,
    label_codes,
    label_totals,
    label_values,
    positive_cells,
    weighted_totals,
)

SPACE = LabelSpace(("joy", "fear", "love"))
HARD = arrays(
    np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=st.sampled_from([0, 1, np.nan])
)
SOFT = arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.just(3)),
    elements=st.one_of(st.just(np.nan), st.floats(0, 1, width=32)),
)


@given(HARD)
def test_codes_are_one_byte_a_cell_and_give_the_values_back(
    values: npt.NDArray[np.float32],
) -> None:
    codes = label_codes(values)

    assert codes.dtype == np.uint8
    assert label_values(codes).dtype == np.float32
    np.testing.assert_array_equal(label_values(codes), values)


@given(
    st.one_of(HARD.map(lambda values: (values, label_codes(values))), SOFT.map(lambda v: (v, v)))
)
@pytest.mark.parametrize("window_cells", [1, 7, 2**24])
def test_selected_rows_count_as_those_of_the_matrix(
    window_cells: int, both: tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]
) -> None:
    values, codes = both
    indices = np.arange(len(values))[::-2]
    matrix = LabelMatrix(SPACE, values[indices])

    totals = label_totals(codes, indices, window_cells=window_cells)
    known = has_known_label(codes, indices, window_cells=window_cells)
    positive = positive_cells(codes, indices, window_cells=window_cells)

    np.testing.assert_array_equal(label_values(codes, indices), matrix.values)
    assert totals.positives.tolist() == matrix.positives().tolist()
    assert totals.known.tolist() == matrix.known.sum(axis=0).tolist()
    np.testing.assert_allclose(totals.sums, np.nansum(matrix.values, axis=0, dtype=np.float64))
    assert known.tolist() == matrix.known.any(axis=1).tolist()
    weights = np.linspace(0.5, 2, len(indices), dtype=np.float32)
    sums, counts = weighted_totals(codes, indices, weights, window_cells=window_cells)
    exact = weights.astype(np.float64)
    np.testing.assert_allclose(sums, np.nansum(exact[:, None] * matrix.values, axis=0))
    np.testing.assert_allclose(counts, exact @ matrix.known)
    assert positive.tolist() == (matrix.values > 0.5).tolist()


def test_soft_cells_keep_their_values_and_count_as_what_they_decide_for() -> None:
    values = np.array([[0.7, 0.5, 0], [np.nan, 0.2, 1], [np.nan] * 3], dtype=np.float32)
    indices = np.array([1, 0])

    totals = label_totals(values, np.arange(3))

    np.testing.assert_array_equal(label_values(values, indices), values[indices])
    assert positive_cells(values, indices).tolist() == [[False, False, True], [True, False, False]]
    assert totals.positives.tolist() == [1, 0, 1]
    assert totals.known.tolist() == [1, 2, 2]
    np.testing.assert_allclose(totals.sums, [0.7, 0.7, 1], rtol=1e-6)
    assert has_known_label(values, np.arange(3)).tolist() == [True, True, False]
