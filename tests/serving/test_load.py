"""The load that `multihot bench` puts on the server's engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multihot.inference.predictor import Predictor
from multihot.serving.engine import Engine
from multihot.serving.load import EngineLoad, open_load
from multihot.serving.served_model import Serving


def test_a_late_answer_counts_from_the_planned_arrival(exported_model: Path) -> None:
    # All are planned for the same moment and computed one after the other: no request waits for an earlier
    # answer before it counts, so the last has waited for all others.
    serving = Serving.of(Predictor.load(exported_model))
    engine = Engine(pass_tokens=1, max_queue_tokens=1 << 20)

    found = open_load(serving, ["i am happy"], engine, np.zeros(50), deadline_seconds=60.0)

    assert (len(found.milliseconds), found.num_refused, found.num_late) == (50, 0, 0)
    assert max(found.milliseconds) > 0.9 * 1000 * found.seconds
    assert found.milliseconds == sorted(found.milliseconds)


def test_what_the_queue_cannot_hold_is_refused_and_counted(exported_model: Path) -> None:
    serving = Serving.of(Predictor.load(exported_model))
    engine = Engine(pass_tokens=1, max_queue_tokens=10)

    found = open_load(serving, ["i am happy"], engine, np.zeros(50), deadline_seconds=60.0)

    assert found.num_refused > 0
    assert len(found.milliseconds) + found.num_refused == 50


def test_the_rate_does_not_count_the_time_until_the_first_group() -> None:
    load = EngineLoad(seconds=3.0, answered_at=[1.0, 1.0, 2.0, 2.0, 3.0, 3.0])

    assert load.per_second == 2.0
    assert EngineLoad(seconds=2.0, answered_at=[1.9, 1.9]).per_second == 1.0
