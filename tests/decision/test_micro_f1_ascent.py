"""Micro-F1 has an ascent of its own: it must find what the sweep over all cells finds, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from multihot.decision import micro_f1_ascent
from multihot.decision.thresholds import fit_per_label


@pytest.mark.parametrize("decimals", [0.25, 0.05, 0.0])
@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_counting_outcomes_finds_the_thresholds_of_the_sweep(
    monkeypatch: pytest.MonkeyPatch, decimals: float, unknown: float
) -> None:
    generator = np.random.default_rng(int(100 * decimals + 10 * unknown))
    cases = []
    for _ in range(60):
        shape = tuple(generator.integers(1, 30, 2))
        truth = (generator.random(shape) < generator.choice([0.05, 0.3, 0.9])).astype(np.float32)
        scores = 1 / (1 + np.exp(1 - generator.normal(size=shape) - 2 * truth))
        # Rounded scores have ties within a label, and equally good thresholds.
        scores = np.round(scores / decimals) * decimals if decimals else scores
        truth[generator.random(shape) < unknown] = np.nan
        cases.append((scores.astype(np.float32), truth))

    counted = [fit_per_label(*case, "micro_f1").tolist() for case in cases]
    stopped = [fit_per_label(*case, "micro_f1", max_rounds=1).tolist() for case in cases]

    monkeypatch.setattr(micro_f1_ascent, "_MOST_TOLD_APART", 0)  # always too much to count
    assert counted == [fit_per_label(*case, "micro_f1").tolist() for case in cases]
    assert stopped == [fit_per_label(*case, "micro_f1", max_rounds=1).tolist() for case in cases]
    assert len({len(set(thresholds)) for thresholds in counted}) > 3
