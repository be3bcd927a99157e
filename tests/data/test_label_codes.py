"""One byte a cell says what four bytes said, of all rows or of some."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.data import label_codes as label_cells
from multihot.data.label_codes import LabelCells

SPACE = LabelSpace(("joy", "fear", "love"))
VALUES = arrays(
    np.float32, st.tuples(st.integers(0, 12), st.just(3)), elements=st.sampled_from([0, 1, np.nan])
)


@given(VALUES, st.data())
def test_rows_have_the_values_of_the_matrix(
    values: npt.NDArray[np.float32], data: st.DataObject
) -> None:
    cells = LabelCells.of_matrix(LabelMatrix(SPACE, values))
    number = st.integers(0, max(0, len(values) - 1))
    some = np.array(data.draw(st.lists(number if len(values) else st.nothing())), np.int64)
    taken = cells.take(some)

    assert cells.codes.dtype == np.uint8
    assert np.array_equal(cells.matrix().values, values, equal_nan=True)
    assert len(taken) == len(some)
    for cells_of, expected in ((cells, values), (taken, values[some])):
        every = np.arange(len(expected))
        assert np.array_equal(cells_of.values(every), expected, equal_nan=True)
        assert cells_of.values(every).dtype == np.float32
        matrix = LabelMatrix(SPACE, expected)
        assert cells_of.positives().tolist() == matrix.positives().tolist()
        assert cells_of.num_unknown() == int((~matrix.known).sum())
        assert cells_of.labelled().tolist() == matrix.known.any(axis=1).tolist()
        assert cells_of.is_positive(every).tolist() == (expected == 1).tolist()
    assert np.array_equal(
        taken.take(np.arange(len(some))[::-1]).matrix().values, values[some][::-1], equal_nan=True
    )


def test_counts_do_not_depend_on_how_many_rows_are_looked_at_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).choice([0, 1, np.nan], (20, 3)).astype(np.float32)
    cells = LabelCells.of_matrix(LabelMatrix(SPACE, values)).take(np.arange(19, 2, -1))

    def figures() -> list[object]:
        rows = np.array([5, 1, 8, 8])
        counts = [cells.positives().tolist(), cells.num_unknown(), cells.labelled().tolist()]
        return [*counts, cells.is_positive(rows).tolist()]

    whole = figures()
    monkeypatch.setattr(label_cells, "_WINDOW_CELLS", 7)

    assert figures() == whole


def test_taking_rows_copies_no_cell() -> None:
    cells = LabelCells.of_matrix(LabelMatrix(SPACE, np.zeros((4, 3), dtype=np.float32)))

    assert cells.take(np.array([2, 0])).codes is cells.codes


def test_soft_cells_keep_their_values_and_count_as_what_they_decide_for() -> None:
    values = np.array([[0.7, 0.5, 0], [np.nan, 0.2, 1], [np.nan] * 3], dtype=np.float32)

    cells = LabelCells.of_matrix(LabelMatrix(SPACE, values))

    rows = np.array([1, 0])
    assert cells.codes.dtype == np.float32
    np.testing.assert_array_equal(cells.values(rows), values[rows])
    np.testing.assert_array_equal(cells.take(rows).matrix().values, values[rows])
    assert cells.is_positive(rows).tolist() == [[False, False, True], [True, False, False]]
    assert cells.positives().tolist() == [1, 0, 1]
    assert cells.num_unknown() == 4
    assert cells.labelled().tolist() == [True, True, False]
