"""What every run does after a step, whatever it learns: progress, the log, an orderly stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Protocol

from multihot.errors import InterruptedRunError
from multihot.listener import Listener, StepProgress
from multihot.training.log import MetricsLog, Throughput
from multihot.training.loop import StepResult

__all__ = ["Progress", "Stoppable", "interruption", "stop_signals"]

_LOG_EVERY_STEPS = 10


class Progress:
    """Tells the listener about every step and the log about every tenth."""

    def __init__(
        self,
        total_steps: int,
        epochs: int,
        log: MetricsLog,
        listener: Listener,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.epochs = epochs
        self.log = log
        self.listener = listener
        self.throughput = Throughput(total_steps, clock) if clock else Throughput(total_steps)

    def report(
        self,
        result: StepResult[Any],
        more: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        """Tell about a step; `more` gives further entries of a line of the log."""
        step = result.step
        self.throughput.add(sum(batch.num_tokens for batch in step.micro_batches))
        update = StepProgress(
            step.number,
            self.throughput.total_steps,
            step.epoch,
            self.epochs,
            result.loss,
            self.throughput.tokens_per_second,
            self.throughput.seconds_left(step.number),
        )
        self.listener.progress(update)
        if step.number % _LOG_EVERY_STEPS == 0 or step.last_of_epoch:
            self.log.write(
                {
                    "step": step.number,
                    "epoch": step.epoch,
                    "loss": result.loss,
                    "gradient_norm": result.gradient_norm,
                    "learning_rate": result.learning_rate,
                    "tokens_per_second": round(update.tokens_per_second, 1),
                    **(more() if more is not None else {}),
                }
            )


class Stoppable(Protocol):
    """What keeps the signal that asked it to stop."""

    stop_signal: int | None


def interruption(stop_signal: int, step: int) -> InterruptedRunError:
    """Return the error that ends a run whose checkpoint has just been written."""
    return InterruptedRunError(
        f"Stopped by {signal.Signals(stop_signal).name} after step {step}; a checkpoint is written. "
        "Run the same command with --resume to go on."
    )


@contextlib.contextmanager
def stop_signals(watch: Stoppable) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the run after the step in progress; a second one ends it at once.

    Outside the main thread Python delivers no signals, and nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if watch.stop_signal is not None:
            raise KeyboardInterrupt
        watch.stop_signal = number

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
