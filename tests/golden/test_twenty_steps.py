"""The losses of twenty steps are those that were written down."""

from __future__ import annotations

import json

import pytest

from golden.twenty_steps import FILE, losses


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_losses_of_twenty_steps_have_not_moved(pooling: str) -> None:
    # When a change is meant to move them: PYTHONPATH=tests python -m golden.twenty_steps
    expected = json.loads(FILE.read_text())[pooling]

    assert len(expected) == 20
    assert losses(pooling) == pytest.approx(expected, abs=1e-4)
