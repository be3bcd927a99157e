"""Between steps: progress, the best epoch, early stopping, checkpoints, signals."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from multihot.core.progress import Listener, StepProgress
from multihot.errors import InterruptedRunError
from multihot.training.callbacks import Callbacks, RunState, stop_signals
from multihot.training.checkpoint import latest_checkpoint, read_state
from multihot.training.loop import Step, StepResult
from multihot.training.metrics_log import MetricsLog
from multihot.training.optimizer import build_optimizer
from training.toys import toy_network


class Recorder(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.updates: list[StepProgress] = []

    def say(self, message: str) -> None:
        self.sentences.append(message)

    def progress(self, update: StepProgress) -> None:
        self.updates.append(update)


class Run:
    """A callbacks over a run of `steps_per_epoch` steps an epoch, with given values of the goal."""

    def __init__(self, folder: Path, values: list[float | None], **changes: Any) -> None:
        self.listener = Recorder()
        self.steps_per_epoch = 2
        given = iter(values)
        network = toy_network()
        settings: dict[str, Any] = {
            "evaluate": lambda: {"micro_f1": next(given), "jaccard": 0.5},
            "goal": "micro_f1",
            "patience": None,
            "checkpoint_steps": 100,
            "total_steps": self.steps_per_epoch * len(values),
            "epochs": len(values),
            "log": MetricsLog(folder / "metrics.jsonl", last_step=0),
            "listener": self.listener,
            "state": RunState(),
        }
        self.checkpoints = folder / "checkpoints"
        optimizer = build_optimizer(network, 0.1, 0.0)
        self.callbacks = Callbacks(self.checkpoints, network, optimizer, **{**settings, **changes})

    @property
    def state(self) -> RunState:
        return self.callbacks.state

    def step(self, number: int) -> bool:
        """Do what the loop does after a step; return whether it would stop."""
        batch = SimpleNamespace(num_tokens=5)
        epoch = (number - 1) // self.steps_per_epoch + 1
        last = number % self.steps_per_epoch == 0
        result = StepResult(Step(number, epoch, last, [batch, batch]), 0.25, 8.0, 1.5, 1e-4)
        callbacks = self.callbacks
        calls = [callbacks.report_progress, callbacks.end_epoch, callbacks.save_when_due]
        return any([call(result) for call in calls])

    def go(self, num_steps: int) -> int:
        """Return the number of steps taken before the run was stopped."""
        for number in range(1, num_steps + 1):
            if self.step(number):
                return number
        return num_steps

    def saved(self) -> list[int]:
        return sorted(int(path.name[5:]) for path in self.checkpoints.glob("step-*"))


def test_the_best_epoch_is_the_first_with_the_highest_value(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.3, 0.6, 0.6, 0.5])
    run.go(8)

    assert (run.state.best_epoch, run.state.best_step, run.state.best_value) == (2, 4, 0.6)
    assert run.state.epochs_without_improvement == 2
    assert run.saved() == [4, 6, 8]
    said = [sentence.partition(", ")[2] for sentence in run.listener.sentences]
    assert said == [
        "validation micro_f1 0.3000 (best so far).",
        "validation micro_f1 0.6000 (best so far).",
        "validation micro_f1 0.6000.",
        "validation micro_f1 0.5000.",
    ]
    assert run.listener.sentences[0].startswith("Epoch 1 of 4: mean loss 0.2500")


def test_an_undefined_value_never_beats_a_defined_one(tmp_path: Path) -> None:
    run = Run(tmp_path, [None, 0.0, None])
    run.go(6)

    assert (run.state.best_epoch, run.state.best_value) == (2, 0.0)
    assert "validation micro_f1 undefined" in run.listener.sentences[0]


def test_when_every_value_is_undefined_the_last_epoch_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, [None, None], patience=1)

    assert run.go(4) == 4
    assert run.state.best_step == 4


@pytest.mark.parametrize(("patience", "stopped_at"), [(1, 6), (2, 8), (None, 12)])
def test_patience_counts_epochs_without_a_better_value(
    tmp_path: Path, patience: int | None, stopped_at: int
) -> None:
    run = Run(tmp_path, [0.3, 0.6, 0.6, 0.5, 0.4, 0.3], patience=patience)

    assert run.go(12) == stopped_at
    assert run.state.stopped_early == (patience is not None)
    latest = latest_checkpoint(run.checkpoints)
    assert latest is not None
    assert read_state(latest)["stopped_early"] == (patience is not None)
    if patience is not None:
        said = run.listener.sentences[-1]
        assert said == f"Stopping early: micro_f1 did not rise for {patience} epochs."


def test_a_better_value_resets_the_patience(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.3, 0.2, 0.4, 0.3, 0.5], patience=2)

    assert run.go(10) == 10
    assert run.state.best_epoch == 5


def test_every_step_is_reported_with_its_real_tokens(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1, 0.2])
    run.go(3)

    assert [update.step for update in run.listener.updates] == [1, 2, 3]
    last = run.listener.updates[-1]
    assert (last.total_steps, last.epoch, last.epochs, last.loss) == (4, 2, 2, 0.25)
    assert last.tokens_per_second > 0
    assert run.callbacks.progress.throughput._tokens == 3 * 2 * 5


def test_the_log_has_epoch_ends_and_every_tenth_step(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1])
    run.steps_per_epoch = 12
    run.go(12)

    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 12, 12]
    assert lines[0]["learning_rate"] == 1e-4
    assert lines[2] == {
        "step": 12,
        "epoch": 1,
        "validation": True,
        "epoch_loss": 0.25,
        "micro_f1": 0.1,
        "jaccard": 0.5,
    }


def test_checkpoints_come_every_so_many_steps_and_after_epochs(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1, 0.2], checkpoint_steps=3)
    run.steps_per_epoch = 5
    saved = []
    for number in range(1, 11):
        run.step(number)
        saved.append(max(run.saved(), default=0))

    assert saved == [0, 0, 3, 3, 5, 6, 6, 6, 9, 10]
    assert run.saved() == [5, 9, 10]  # 5 is the best epoch, should 10 be damaged


def test_the_saved_state_is_the_state(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1, 0.05], checkpoint_steps=1)
    run.go(3)
    latest = latest_checkpoint(run.checkpoints)

    assert latest is not None
    expected = RunState(3, 2, 1, 0.1, 0, False, epoch_loss=2.0, epoch_cells=8.0)
    assert RunState(**read_state(latest)) == run.state == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 2])
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint(
    tmp_path: Path, number: signal.Signals, step: int
) -> None:
    run = Run(tmp_path, [0.1])
    before = signal.getsignal(number)

    with stop_signals(run.callbacks):
        os.kill(os.getpid(), number)
        for done in range(1, step):
            run.callbacks.stop_signal, asked = None, run.callbacks.stop_signal
            run.step(done)
            run.callbacks.stop_signal = asked
        with pytest.raises(
            InterruptedRunError, match=f"Stopped by {number.name} after step {step}; a checkpoint"
        ) as caught:
            run.step(step)

    assert "with --resume" in str(caught.value)
    assert caught.value.exit_code == 130
    assert run.saved() == [step]
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_the_run_at_once(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1])

    with stop_signals(run.callbacks):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_no_handler_is_installed(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1])
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with stop_signals(run.callbacks):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [before]
