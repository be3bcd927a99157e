"""The intervals hold the truth about as often as they say; a small run of the simulation."""

from __future__ import annotations

import numpy as np
import pytest

from interval_coverage import covered

pytestmark = pytest.mark.slow


def test_intervals_hold_the_truth_about_95_times_in_100() -> None:
    hits = covered(500, 60, seed=1, pool_rows=40_000)

    assert len(hits) == 19
    assert {name: np.mean(held) for name, held in hits.items() if np.mean(held) < 0.82} == {}
    assert 0.9 < np.mean([np.mean(held) for held in hits.values()]) < 0.99
