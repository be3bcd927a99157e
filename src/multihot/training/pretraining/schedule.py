"""Time-budgeted schedule: a learning rate whose run length is calibrated once, maybe shortened.

Everything that depends on a clock is a decision: taken once, written to the run directory before
it takes effect, and read from there afterwards. The rate is then a pure function of the step, so
a resumed run has the rates of the interrupted one. The step-time calibration runs the first steps
with a learning rate of 0 and measures them.

The roofline of a step is the time of its matrix products (GEMMs of the same shapes) alone: every
linear layer counts once forward (X Wt) and twice backward (dY W and dYt X), at the row counts of
a real batch. The products inside attention are left out; they are a few percent for short texts.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multihot.core.files import write_json
from multihot.core.progress import Listener
from multihot.core.text_tables import cut
from multihot.errors import OptionError
from multihot.gate.json_documents import read_json_object
from multihot.gate.stored_records import record_of
from multihot.training import loop
from multihot.training.optimizer import linear_schedule
from multihot.training.ranks import ALONE, Ranks

__all__ = [
    "Decay",
    "LinearShape",
    "Schedule",
    "TimeBudget",
    "gemm_seconds",
    "linear_shapes",
    "measure_step_seconds",
    "plan_steps",
    "read_schedule",
    "write_schedule",
]

_HEAD_WARMUP = 0.1  # of the head steps
_CHECK_EVERY_STEPS = 10
_FIRST_CHECK = 20  # steps of this process; the mean time of fewer is too noisy
_TOLERANCE = 1.03  # a smaller overrun of the remaining time is left to a later check
_SHORTEST_DECAY = 0.02  # of the steps so far; an abrupt drop of the rate leaves a worse model


@dataclass(frozen=True)
class Decay:
    """A decision to end early: from `from_step` on, the rate falls to 0 after `last_step`."""

    from_step: int
    last_step: int


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the step."""

    total_steps: int
    """As planned at the start."""
    warmup_steps: int
    evaluation_steps: int
    """Steps between two evaluations."""
    head_steps: int = 0
    """Steps at the start that train new heads only, with a warm-up and decay of their own."""
    decays: tuple[Decay, ...] = ()

    @property
    def last_step(self) -> int:
        """The 1-based step that the run ends with."""
        return self.decays[-1].last_step if self.decays else self.total_steps

    def rate(self, step: int) -> float:
        """Return the factor on the peak learning rate at a 1-based step.

        Linear warm-up and decay (Devlin et al. 2018, A.2), once for the head steps and once for the
        others. Every `Decay` compresses the remaining schedule into fewer steps: a warm-up is still
        completed, and the rate falls faster. Head steps are never compressed.
        """
        heads, at = self.head_steps, float(step)
        planned = [self.total_steps, *(decay.last_step for decay in self.decays)]
        for decay, planned_last in zip(reversed(self.decays), reversed(planned[:-1]), strict=True):
            start = max(decay.from_step, heads)
            if at > decay.last_step:
                return 0.0
            if at > start:
                at = start + (at - start) * (planned_last + 1 - start) / (
                    decay.last_step + 1 - start
                )
        if at <= heads:
            return linear_schedule(at - 1, heads, round(_HEAD_WARMUP * heads))
        return linear_schedule(at - 1 - heads, self.total_steps - heads, self.warmup_steps)

    def shortened(self, from_step: int, last_step: int) -> Schedule:
        """Return the schedule with one more decision to end early."""
        return replace(self, decays=(*self.decays, Decay(from_step, last_step)))


def plan_steps(
    seconds: float,
    *,
    seconds_per_step: float,
    seconds_per_evaluation: float,
    evaluation_steps: int | None,
) -> Schedule:
    """Return the schedule, without a warm-up, that fills a time budget at a measured pace.

    The final evaluation is accounted for; the others take at most a tenth of the time unless
    `evaluation_steps` is given.
    """
    left = max(0.0, seconds - seconds_per_evaluation)
    if evaluation_steps is None:
        affordable = int(0.1 * left / max(1e-9, seconds_per_evaluation))
        num_evaluations = min(9, affordable)
        left -= num_evaluations * seconds_per_evaluation
        total_steps = max(1, int(left / seconds_per_step + 1e-6))
        evaluation_steps = -(-total_steps // (num_evaluations + 1))
    else:
        pace = seconds_per_step + seconds_per_evaluation / evaluation_steps
        total_steps = max(1, int(left / pace + 1e-6))
    return Schedule(total_steps, 0, evaluation_steps)


def write_schedule(path: Path, schedule: Schedule) -> None:
    """Write the decisions so far, complete or not at all."""
    write_json(path, asdict(schedule))


def read_schedule(path: Path, ranks: Ranks = ALONE) -> Schedule | None:
    """Return the decisions of an interrupted run, `None` when there are none yet.

    The first of several processes reads for all: it may have written a plan before another looks.
    """

    def read() -> dict[str, Any] | None:
        if not path.is_file():
            return None
        return read_json_object(path.parent, path.name, error=OptionError)

    try:
        content = ranks.from_first(read)
        if content is None:
            return None
        decays = content.pop("decays", None)
        if not isinstance(decays, list):
            raise OptionError(f"'decays' is {cut(decays)}")
        schedule = record_of(Schedule, content, path, OptionError)
        if not schedule.total_steps or not schedule.evaluation_steps:
            raise OptionError("it has no steps")
        found = tuple(record_of(Decay, decay, path, OptionError) for decay in decays)
        _check_decays(schedule.total_steps, found)
        return replace(schedule, decays=found)
    except OptionError as error:
        raise OptionError(
            f"{path} is damaged ({error}), so the run cannot be resumed. Start again in another "
            "--output."
        ) from None


def _check_decays(total_steps: int, decays: Sequence[Decay]) -> None:
    """Raise `OptionError` unless each decision is later than the one before and ends the run earlier."""
    begin, end = 0, total_steps
    for decay in decays:
        if not begin < decay.from_step < decay.last_step < end:
            raise OptionError(f"'decays' has {cut(asdict(decay))} for {end} steps")
        begin, end = decay.from_step, decay.last_step


class TimeBudget:
    """Checks the clock every few steps, and shortens the schedule when the time would not suffice."""

    def __init__(
        self,
        path: Path,
        schedule: Schedule,
        *,
        seconds: float | None,
        seconds_before: float,
        seconds_at_the_end: float,
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
        ranks: Ranks = ALONE,
    ) -> None:
        self._ranks = ranks
        self.schedule = schedule
        self._path = path
        self._seconds = seconds
        self._before = seconds_before
        self._at_the_end = seconds_at_the_end
        self._listener = listener
        self._clock = clock
        self._started = clock()
        self._steps = 0
        self._marks = [self._started]

    @property
    def seconds_used(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self._before + self._clock() - self._started

    def check(self, step: int) -> None:
        """Decide after a step whether the schedule must be shortened, and write that down."""
        self._steps += 1
        if self._seconds is None or self._steps % _CHECK_EVERY_STEPS:
            return
        self._marks.append(self._clock())
        # Of several processes the first one's clock counts.
        decided = self._ranks.from_first(lambda: self._shortening(step))
        if decided is None:
            return
        affordable, left = decided
        steps_left = self.schedule.last_step - step
        schedule = self.schedule.shortened(step, step + affordable)
        if self._ranks.is_first:
            write_schedule(self._path, schedule)
        self.schedule = schedule
        self._listener.say(
            f"The time budget is too short: {steps_left} steps remain, and the "
            f"{max(0.0, left) / 60:.1f} minutes left are enough for {affordable}. The learning rate "
            f"decays faster and the run ends after step {schedule.last_step}."
        )

    def _shortening(self, step: int) -> tuple[int, float] | None:
        """Return how many steps can still be taken, and in how many seconds, when those are too few."""
        assert self._seconds is not None
        # A decision about a later step was made before an interruption and takes effect first.
        waiting = any(decay.from_step >= step for decay in self.schedule.decays)
        steps_left = self.schedule.last_step - step
        if waiting or steps_left <= 0 or self._steps < _FIRST_CHECK:
            return None
        left = self._seconds - self._at_the_end - self.seconds_used
        pace = self._pace()
        if steps_left * pace <= max(0.0, left) * _TOLERANCE:
            return None
        affordable = max(int(left / pace), round(_SHORTEST_DECAY * step), 1)
        return None if affordable >= steps_left else (affordable, left)

    def _pace(self) -> float:
        """Return the seconds per step, evaluations included, over the later half of the steps."""
        half = len(self._marks) // 2
        num_steps = (len(self._marks) - half) * _CHECK_EVERY_STEPS
        return (self._marks[-1] - self._marks[half - 1]) / num_steps


_WARM_UP_STEPS = 2
_FEWEST_STEPS = 8


def measure_step_seconds(
    network: nn.Module,
    steps: Iterable[loop.Step[Any]],
    loss: Callable[[nn.Module, Any], tuple[Tensor, Tensor]],
    *,
    autocast: Callable[[], contextlib.AbstractContextManager[object]],
    at_most: float,
    clock: Callable[[], float] = time.monotonic,
    ranks: Ranks = ALONE,
) -> float:
    """Return the mean seconds of a training step, over at least eight steps (step-time calibration).

    The steps are those of training with a learning rate of 0 and an optimiser of their own: the
    network is unchanged.

    Parameters
    ----------
    network, steps, loss, autocast, ranks
        As for `loop.run`.
    at_most
        Seconds after which no further step is taken, once eight are done.
    clock
        Seconds from any moment.
    """
    moments: list[float] = []

    def enough(result: loop.StepResult[Any]) -> bool:
        moments.append(clock())
        num_steps = len(moments) - _WARM_UP_STEPS
        is_enough = num_steps >= _FEWEST_STEPS and moments[-1] - moments[0] >= at_most
        return bool(ranks.greatest(is_enough))

    loop.run(
        network,
        steps,
        loss,
        torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=0.0, fused=True),
        learning_rate=lambda step: 0.0,
        seed_of=lambda step: 0,
        autocast=autocast,
        max_gradient_norm=0.0,
        explain=lambda batch: "of the step-time calibration",
        after_step=[enough],
        ranks=ranks,
    )
    network.zero_grad(set_to_none=True)
    first = moments[_WARM_UP_STEPS - 1]
    return (moments[-1] - first) / (len(moments) - _WARM_UP_STEPS)


LinearShape = tuple[int, int, int]
"""Rows, inputs and outputs of one linear layer in one batch."""

_REPEATS = 20


def linear_shapes(network: nn.Module, compute: Callable[[], object]) -> list[LinearShape]:
    """Return the shapes of all linear layers that `compute`, a forward pass of `network`, runs."""
    found: list[LinearShape] = []

    def record(module: nn.Linear, args: tuple[Tensor, ...], output: Tensor) -> None:
        rows = args[0].numel() // module.in_features
        found.append((rows, module.in_features, module.out_features))

    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    try:
        with torch.inference_mode():
            compute()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def gemm_seconds(
    shapes: list[LinearShape],
    *,
    dtype: torch.dtype,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the seconds of the matrix products of one training step: the best of twenty runs.

    The fastest, since other load on the machine can only slow it down.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator).to(device, dtype)

    # Each layer has operands of its own, as in a model, since caches count.
    operands = [
        (drawn(rows, inputs), drawn(outputs, inputs), drawn(rows, outputs))
        for rows, inputs, outputs in shapes
    ]
    seconds = []
    for _ in range(_REPEATS + 1):
        _finish(device)
        began = clock()
        for values, weights, incoming in operands:
            values @ weights.mT
            incoming @ weights
            incoming.mT @ values
        _finish(device)
        seconds.append(clock() - began)
    return min(seconds[1:])  # the first run warms up


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
