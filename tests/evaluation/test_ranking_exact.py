"""Cells as sorted numbers: their order, and areas that do not depend on blocks."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from multihot.evaluation.ranking_cells import UNKNOWN, areas_of, packed_cells


def test_the_order_of_the_numbers_is_the_order_of_the_scores() -> None:
    scores = np.array([0, -0.0, 1e-45, 1e-30, 0.25, 0.5, 1 - 2**-24, 1], dtype=np.float32)

    keys = packed_cells(np.zeros(8, np.float32), scores)

    assert keys[0] == keys[1] == 0
    assert (np.diff(keys[1:].astype(np.int64)) > 0).all()
    assert packed_cells(np.ones(8, np.float32), scores).tolist() == (keys + 1).tolist()


def test_unknown_cells_are_larger_than_all_others() -> None:
    keys = packed_cells(np.array([np.nan, 1], np.float32), np.array([0, 1], np.float32))

    assert keys[0] == UNKNOWN > keys[1]


@given(
    seed=st.integers(0, 2**32 - 1),
    num_cells=st.integers(1, 60),
    levels=st.sampled_from([1, 2, 5, 1000]),
    block=st.integers(1, 20),
)
def test_any_block_size_gives_what_scikit_learn_gives(
    seed: int, num_cells: int, levels: int, block: int
) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, num_cells).astype(np.float32)
    scores = (generator.integers(0, levels + 1, num_cells) / levels).astype(np.float32)

    found = areas_of(np.sort(packed_cells(truth, scores)), block_cells=block)

    if truth.any():
        expected = sklearn.metrics.average_precision_score(truth, scores)
        assert found.average_precision == pytest.approx(expected, abs=1e-12)
    else:
        assert found.average_precision is None
    if 0 < truth.sum() < num_cells:
        assert found.roc_auc == pytest.approx(
            sklearn.metrics.roc_auc_score(truth, scores), abs=1e-12
        )
    else:
        assert found.roc_auc is None
