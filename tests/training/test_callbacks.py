"""Between steps: progress, the best epoch, early stopping, checkpoints, signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multihot.core.options import TrainOptions
from multihot.core.progress import Listener, StepProgress
from multihot.errors import InterruptedRunError
from multihot.training import loop
from multihot.training.callbacks import Callbacks, ProgressReporter, RunState, stop_signals
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


@dataclass(frozen=True)
class Batch:
    """A micro-batch of four inputs and its number of tokens."""

    inputs: Tensor
    num_tokens: int = 5


class Run:
    """A run of the training loop with constant loss and given validation values of the goal."""

    def __init__(
        self, folder: Path, values: list[float | None], *, steps_per_epoch: int = 2, **options: Any
    ) -> None:
        self.listener = Recorder()
        self.checkpoints = folder / "checkpoints"
        self.steps_per_epoch = steps_per_epoch
        self.num_epochs = len(values)
        self.network = toy_network()
        self.optimizer = build_optimizer(self.network, 0.1, 0.0)
        remaining = iter(values)
        self.best_epochs: list[int] = []
        self.callbacks = Callbacks(
            self.checkpoints,
            self.network,
            self.optimizer,
            TrainOptions(goal="micro_f1", epochs=len(values), **options),
            evaluate=lambda: {"micro_f1": next(remaining), "jaccard": 0.5},
            on_best=lambda: self.best_epochs.append(self.state.best_epoch),
            total_steps=steps_per_epoch * len(values),
            log=MetricsLog(folder / "metrics.jsonl", last_step=0),
            listener=self.listener,
            state=RunState(),
        )

    @property
    def state(self) -> RunState:
        return self.callbacks.state

    def go(
        self,
        num_steps: int | None = None,
        *,
        during_step: Callable[[int], None] = lambda number: None,
        after_step: Callable[[], None] = lambda: None,
    ) -> int:
        """Run the loop, at most `num_steps` steps; return the number of steps taken."""
        taken = 0
        inputs = torch.ones(2, 4)

        def steps() -> Iterator[Step[Batch]]:
            nonlocal taken
            last = self.steps_per_epoch * self.num_epochs
            for taken in range(1, (num_steps or last) + 1):
                epoch, position = divmod(taken - 1, self.steps_per_epoch)
                batches = [Batch(inputs), Batch(inputs)]
                yield Step(taken, epoch + 1, position + 1 == self.steps_per_epoch, batches)

        def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
            during_step(taken)
            return 0 * network(batch.inputs).sum() + 1.0, torch.tensor(4.0)

        loop.run(
            self.network,
            steps(),
            loss,
            self.optimizer,
            learning_rate=lambda step: 1e-4,
            seed_of=lambda step: step,
            autocast=contextlib.nullcontext,
            max_gradient_norm=1.0,
            explain=lambda batch: "no row",
            after_step=[*self.callbacks.after_step(), lambda result: after_step()],
        )
        return taken

    def saved(self) -> list[int]:
        return sorted(int(path.name[5:]) for path in self.checkpoints.glob("step-*"))


def test_the_best_epoch_is_the_first_with_the_highest_value(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.3, 0.6, 0.6, 0.5])
    run.go()

    assert (run.state.best_epoch, run.state.best_step, run.state.best_value) == (2, 4, 0.6)
    assert run.best_epochs == [1, 2]
    assert run.state.epochs_without_improvement == 2
    assert run.saved() == [4, 6, 8]
    assert run.listener.sentences == [
        "Epoch 1 of 4: mean loss 0.2500, validation micro_f1 0.3000 (best so far).",
        "Epoch 2 of 4: mean loss 0.2500, validation micro_f1 0.6000 (best so far).",
        "Epoch 3 of 4: mean loss 0.2500, validation micro_f1 0.6000.",
        "Epoch 4 of 4: mean loss 0.2500, validation micro_f1 0.5000.",
    ]


def test_an_undefined_value_never_beats_a_defined_one(tmp_path: Path) -> None:
    run = Run(tmp_path, [None, 0.0, None])
    run.go()

    assert (run.state.best_epoch, run.state.best_value) == (2, 0.0)


def test_when_every_value_is_undefined_the_last_epoch_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, [None, None], early_stopping_epochs=1)

    assert run.go() == 4
    assert run.state.best_step == 4


@pytest.mark.parametrize(("patience", "stopped_at"), [(1, 6), (2, 8), (None, 12)])
def test_patience_counts_epochs_without_a_better_value(
    tmp_path: Path, patience: int | None, stopped_at: int
) -> None:
    run = Run(tmp_path, [0.3, 0.6, 0.6, 0.5, 0.4, 0.3], early_stopping_epochs=patience)

    assert run.go() == stopped_at
    assert run.state.stopped_early == (patience is not None)
    latest = latest_checkpoint(run.checkpoints)
    assert latest is not None
    assert read_state(latest)["stopped_early"] == (patience is not None)


def test_a_better_value_resets_the_patience(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.3, 0.2, 0.4, 0.3, 0.5], early_stopping_epochs=2)

    assert run.go() == 10
    assert run.state.best_epoch == 5


def test_every_step_is_reported_with_its_real_tokens(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1, 0.2])
    run.go(3)

    assert [update.step for update in run.listener.updates] == [1, 2, 3]
    last = run.listener.updates[-1]
    assert (last.total_steps, last.epoch, last.epochs, last.loss) == (4, 2, 2, 0.25)


def test_the_throughput_counts_real_tokens_since_the_start(tmp_path: Path) -> None:
    ticks = iter([0.0, 2.0, 2.0, 2.0])
    listener, log = Recorder(), MetricsLog(tmp_path / "metrics.jsonl", last_step=0)
    progress = ProgressReporter(4, 1, log, listener, clock=lambda: next(ticks))
    batches = [Batch(torch.ones(2, 4)), Batch(torch.ones(2, 4))]
    progress.report(StepResult(Step(1, 1, False, batches), 0.25, 8.0, 1.5, 1e-4))

    (update,) = listener.updates
    assert (update.tokens_per_second, update.seconds_left) == (5.0, 6.0)


def test_the_log_has_epoch_ends_and_every_tenth_step(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1], steps_per_epoch=12)
    run.go()

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
    run = Run(tmp_path, [0.1, 0.2], steps_per_epoch=5, checkpoint_steps=3)
    saved: list[int] = []
    run.go(after_step=lambda: saved.append(max(run.saved(), default=0)))

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

    def interrupt(at: int) -> None:
        if at == step and run.callbacks.stop_signal is None:
            os.kill(os.getpid(), number)

    with stop_signals(run.callbacks), pytest.raises(InterruptedRunError) as caught:
        run.go(during_step=interrupt)

    assert str(caught.value) == (
        f"Stopped by {number.name} after step {step}; a checkpoint was written. "
        "Run the same command with --resume to continue."
    )
    assert caught.value.exit_code == 130
    assert run.saved() == [step]
    assert run.state.step == step
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
