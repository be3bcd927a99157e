"""Rates are a pure function of the step and of decisions that were written down before they count."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import Recorder
from multihot.errors import OptionError
from multihot.training.optimizer import linear_schedule
from multihot.training.pretraining.schedule import (
    Decay,
    Schedule,
    TimeBudget,
    plan_steps,
    read_schedule,
    write_schedule,
)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_without_a_decision_the_rate_is_the_linear_schedule() -> None:
    schedule = Schedule(20, 4, 5)

    assert [schedule.rate(step) for step in range(1, 21)] == [
        linear_schedule(step, 20, 4) for step in range(20)
    ]
    assert schedule.last_step == 20


def test_a_decay_starts_at_the_rate_of_its_step_and_ends_after_its_last() -> None:
    schedule = Schedule(100, 10, 5).shortened(40, 50)

    assert schedule.last_step == 50
    assert schedule.rate(40) == Schedule(100, 10, 5).rate(40)
    steps = [schedule.rate(step) for step in range(40, 52)]
    falls = [before - after for before, after in itertools.pairwise(steps)]
    assert falls == pytest.approx([falls[0]] * 11)
    assert steps[-2] > 0
    assert steps[-1] == 0


def test_a_decision_in_the_warm_up_still_reaches_the_peak() -> None:
    schedule = Schedule(1000, 100, 50).shortened(20, 800)

    rates = [schedule.rate(step) for step in range(1, 801)]
    assert rates[19] == pytest.approx(0.2)
    assert max(rates) > 0.99
    assert rates.index(max(rates)) < 90
    assert rates[-1] < 0.01


def test_two_decisions_in_a_row_are_followed_one_inside_the_other() -> None:
    schedule = Schedule(1000, 0, 50).shortened(200, 600).shortened(400, 500)

    assert schedule.rate(200) == pytest.approx(Schedule(1000, 0, 50).rate(200))
    assert schedule.rate(400) == pytest.approx(schedule.rate(200) / 2, rel=0.01)
    assert schedule.rate(450) == pytest.approx(schedule.rate(400) / 2, rel=0.05)
    assert schedule.rate(501) == 0


def test_head_steps_are_not_shortened() -> None:
    schedule = Schedule(1000, 90, 50, head_steps=100).shortened(20, 500)

    plain = Schedule(1000, 90, 50, head_steps=100)
    assert [schedule.rate(step) for step in range(1, 101)] == [
        plain.rate(step) for step in range(1, 101)
    ]
    assert max(schedule.rate(step) for step in range(101, 501)) > 0.97


def test_a_decay_to_the_planned_end_changes_nothing() -> None:
    schedule = Schedule(100, 10, 5)

    for step in range(1, 102):
        assert schedule.shortened(40, 100).rate(step) == pytest.approx(schedule.rate(step))


@given(
    total=st.integers(50, 300),
    warmup=st.integers(0, 50),
    cuts=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=4),
)
def test_rates_stay_between_0_and_1_and_decisions_never_change_the_past(
    total: int, warmup: int, cuts: list[tuple[int, int]]
) -> None:
    schedule, at = Schedule(total, warmup, 1), 0
    for later, length in cuts:
        at += later
        before, schedule = schedule, schedule.shortened(at, at + length)
        assert [schedule.rate(s) for s in range(1, at + 1)] == [
            before.rate(s) for s in range(1, at + 1)
        ]
    assert all(0 <= schedule.rate(step) <= 1 for step in range(1, total + 50))
    assert schedule.rate(schedule.last_step + 1) == 0


def test_new_heads_have_a_warm_up_and_a_decay_of_their_own() -> None:
    schedule = Schedule(100, 9, 5, head_steps=10)

    assert [schedule.rate(step) for step in range(1, 11)] == [
        linear_schedule(step, 10, 1) for step in range(10)
    ]
    assert [schedule.rate(step) for step in range(11, 101)] == [
        linear_schedule(step, 90, 9) for step in range(90)
    ]
    assert schedule.shortened(40, 50).rate(10) == schedule.rate(10)


def test_decisions_survive_in_their_file(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    schedule = Schedule(100, 10, 5).shortened(40, 50).shortened(45, 47)
    write_schedule(path, schedule)

    assert read_schedule(path) == schedule
    assert read_schedule(tmp_path / "nothing.json") is None
    path.write_text('{"total_steps": 3}')
    with pytest.raises(OptionError, match=r"schedule.json is damaged .* Start again in another"):
        read_schedule(path)


def test_the_plan_fills_the_time_with_steps_and_evaluations() -> None:
    plan = plan_steps(
        1200,
        seconds_per_step=0.5,
        seconds_per_evaluation=6,
        evaluation_steps=None,
    )

    assert plan == Schedule(2280, 0, 228)  # (1200 - 6 - 9 * 6) / 0.5
    assert 0.5 * 2280 + 6 * 10 == 1200


def test_evaluations_that_take_long_become_rare() -> None:
    plan = plan_steps(91, seconds_per_step=1, seconds_per_evaluation=9, evaluation_steps=None)

    assert plan == Schedule(82, 0, 82)


def test_a_given_distance_of_evaluations_is_kept_and_paid_for() -> None:
    plan = plan_steps(111, seconds_per_step=1, seconds_per_evaluation=1, evaluation_steps=10)

    assert plan == Schedule(100, 0, 10)


def test_a_plan_has_at_least_one_step() -> None:
    plan = plan_steps(1, seconds_per_step=9, seconds_per_evaluation=9, evaluation_steps=None)

    assert plan.total_steps == plan.evaluation_steps == 1


class Run:
    """Steps under a time budget, with a pace for each of them."""

    def __init__(self, folder: Path, seconds: float | None, schedule: Schedule) -> None:
        self.clock, self.ears, self.step = Clock(), Recorder(), 0
        self.path = folder / "schedule.json"
        write_schedule(self.path, schedule)
        self.budget = TimeBudget(
            self.path,
            schedule,
            seconds=seconds,
            seconds_before=0.0,
            seconds_at_the_end=0.0,
            listener=self.ears,
            clock=self.clock,
        )

    def go(self, steps: int, pace: float) -> None:
        for _ in range(steps):
            if self.step >= self.budget.schedule.last_step:
                return
            self.step += 1
            self.clock.now += pace
            self.budget.check(self.step)


def test_at_the_planned_pace_nothing_is_decided(tmp_path: Path) -> None:
    run = Run(tmp_path, 200.0, Schedule(200, 0, 50))
    run.go(300, pace=1.0)

    assert run.step == 200
    assert run.ears.sentences == []
    assert run.budget.seconds_used == 200


@pytest.mark.parametrize("slow", [1.5, 2.0, 4.0])
def test_a_slower_pace_ends_the_run_early_and_in_time(tmp_path: Path, slow: float) -> None:
    run = Run(tmp_path, 200.0, Schedule(200, 0, 50))
    run.go(50, pace=1.0)
    run.go(300, pace=slow)

    assert run.step == run.budget.schedule.last_step < 200
    assert 190 <= run.budget.seconds_used <= 230
    assert len(run.ears.sentences) == len(run.budget.schedule.decays) > 0
    assert read_schedule(run.path) == run.budget.schedule


def test_without_hours_the_clock_decides_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, None, Schedule(200, 0, 50))
    run.go(300, pace=1e6)

    assert run.step == 200


def test_when_the_time_is_gone_the_rate_still_falls_over_some_steps(tmp_path: Path) -> None:
    run = Run(tmp_path, 300.0, Schedule(1000, 0, 50))
    run.go(199, pace=0.1)
    run.go(1, pace=10_000.0)

    assert run.budget.schedule.decays == (Decay(200, 204),)
    rates = [run.budget.schedule.rate(step) for step in range(200, 205)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 5 * rates[-1] / 1.01 > 0


def test_a_decision_of_the_run_before_is_waited_for(tmp_path: Path) -> None:
    run = Run(tmp_path, 10.0, Schedule(1000, 0, 50).shortened(60, 70))
    run.go(60, pace=100.0)

    assert run.ears.sentences == []
    assert run.budget.schedule.decays == (Decay(60, 70),)


def test_time_before_an_interruption_and_for_the_last_evaluation_counts(tmp_path: Path) -> None:
    ears, clock = Recorder(), Clock()
    budget = TimeBudget(
        tmp_path / "schedule.json",
        Schedule(200, 0, 50),
        seconds=100.0,
        seconds_before=50.0,
        seconds_at_the_end=10.0,
        listener=ears,
        clock=clock,
    )
    for step in range(101, 121):
        clock.now += 1.0
        budget.check(step)

    assert budget.seconds_used == 70
    assert budget.schedule.decays == (Decay(120, 140),)


@pytest.mark.parametrize(
    "decays", [[(5, 5)], [(5, 120)], [(0, 9)], [(5, 20), (4, 10)], [(5, 20)] * 2]
)
def test_decisions_that_no_run_makes_are_refused(
    tmp_path: Path, decays: list[tuple[int, int]]
) -> None:
    schedule = Schedule(100, 10, 5)
    for decay in decays:
        schedule = schedule.shortened(*decay)
    write_schedule(tmp_path / "schedule.json", schedule)

    with pytest.raises(OptionError, match=r"schedule.json is damaged .*'decays'"):
        read_schedule(tmp_path / "schedule.json")
