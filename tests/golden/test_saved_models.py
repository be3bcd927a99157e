"""What earlier code has saved is loaded and decides the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from golden.saved_models import FOLDER, KINDS, TOLERANCE, answers
from multihot.inference.artifact import load_artifact


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_saved_by_earlier_code_decides_the_same(kind: str) -> None:
    expected = json.loads((FOLDER / kind / "expected.json").read_text("utf-8"))

    now = answers(FOLDER / kind)

    assert now["labels"] == expected["labels"]
    assert now["rows_fitted"] == expected["rows_fitted"] == 24
    np.testing.assert_allclose(now["scores"], expected["scores"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_no_stored_decision_hangs_on_rounding(kind: str) -> None:
    expected = json.loads((FOLDER / kind / "expected.json").read_text("utf-8"))
    decision = load_artifact(FOLDER / kind).decision
    scores = np.asarray(expected["scores"])

    if decision.goal.startswith("top_k"):
        two = np.sort(scores, axis=1)[:, -2:]
        assert (two[:, 1] - two[:, 0]).min() > 10 * TOLERANCE
    else:
        assert np.abs(scores - np.asarray(decision.thresholds)).min() > 10 * TOLERANCE
    assert len({tuple(labels) for labels in expected["labels"]}) > 2
