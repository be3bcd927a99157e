"""The measured steps leave nothing behind but their time."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

from multihot.training.loop import Step
from multihot.training.pretraining.schedule import measure_step_seconds
from training.toys import Rows, copied, same, toy_loss, toy_network, toy_rows


def test_the_first_steps_are_timed_and_taken_back() -> None:
    network = toy_network(dropout=0.5)
    before = copied(network)
    ticks = itertools.count()
    taken = []

    def steps() -> Iterator[Step[Rows]]:
        for number in itertools.count(1):
            taken.append(number)
            yield Step(number, 1, False, [toy_rows()])

    found = measure_step_seconds(
        network,
        steps(),
        toy_loss,
        autocast=contextlib.nullcontext,
        at_most=15.0,
        clock=lambda: 1.5 * next(ticks),
    )

    assert found == 1.5
    assert len(taken) == 11  # 10 after the first take 15 seconds
    assert same(copied(network), before)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_at_least_eight_steps_are_timed() -> None:
    ticks = itertools.count()
    steps = (Step(number, 1, False, [toy_rows()]) for number in itertools.count(1))
    found = measure_step_seconds(
        toy_network(),
        steps,
        toy_loss,
        autocast=contextlib.nullcontext,
        at_most=0.0,
        clock=lambda: float(next(ticks)),
    )

    assert found == 1.0
    assert next(ticks) == 10
