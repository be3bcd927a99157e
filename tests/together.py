"""Several processes that train together on this machine, and what they do there."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from multihot.core.options import TrainOptions
from multihot.core.pretrain_options import PretrainOptions
from ranks import PRELOADED

__all__ = ["environment_of", "free_port", "pretrained", "together", "toy_weights", "trained"]

_WAIT_SECONDS = 120.0


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment_of(rank: int, count: int, port: int) -> dict[str, str]:
    """Return what torchrun tells a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(n) for name, n in numbers.items()}}


def together(work: Callable[..., Any], arguments: Sequence[Sequence[Any]]) -> list[Any]:
    """Return what `work` returns or raises in processes with these arguments, by rank.

    A process that is killed gives its exit code. They are forked from one that has imported torch and
    done nothing else.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    count, port, started = len(arguments), free_port(), []
    for rank, given in enumerate(arguments):
        receiver, sender = context.Pipe(duplex=False)
        environment = environment_of(rank, count, port)
        process = context.Process(target=_run, args=(sender, environment, work, given))
        process.start()
        sender.close()
        started.append((process, receiver))
    outcomes = []
    for process, receiver in started:
        try:
            outcome = receiver.recv() if receiver.poll(_WAIT_SECONDS) else None
        except EOFError:
            outcome = None
        process.join(_WAIT_SECONDS)
        if process.is_alive():
            process.kill()
        outcomes.append(process.exitcode if outcome is None else outcome[0])
    return outcomes


def _run(sender: Any, environment: dict[str, str], work: Callable[..., Any], given: Any) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ.update(environment)
    try:
        outcome = work(*given)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the test looks at it
        outcome = error
    sender.send((outcome,))


def trained(
    data: tuple[Any, Any],
    options: TrainOptions,
    output: Path,
    resume: bool = False,
    stop: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Train, and return the report; `stop` is a step, and the signal that comes before it."""
    from multihot.workflows.train import train

    _stop_before(stop)
    return train(*data, options, output, resume=resume).to_json()


def pretrained(
    corpus: Path,
    options: PretrainOptions,
    output: Path,
    resume: bool = False,
    stop: tuple[int, int] | None = None,
    late_seconds: float = 0.0,
) -> dict[str, Any]:
    """Pretrain, and return the report; `stop` as in `trained`, and late when it looks for a plan."""
    from multihot.training.pretraining import run
    from multihot.workflows.pretrain import pretrain

    _stop_before(stop)
    read = run.read_schedule

    def read_late(*given: Any) -> Any:
        time.sleep(late_seconds)
        return read(*given)

    run.read_schedule = read_late  # type: ignore[assignment]
    return pretrain([corpus], output, options, resume=resume).to_json()


def _stop_before(stop: tuple[int, int] | None) -> None:
    """Let a signal come before a step of this process, which is none of the test's."""
    from multihot.training import loop

    if stop is None:
        return
    step, number = stop
    original, calls = loop.Gradients.clear, itertools.count(1)

    def clear(self: loop.Gradients) -> None:
        if next(calls) == step:
            os.kill(os.getpid(), number)
        original(self)

    loop.Gradients.clear = clear  # type: ignore[method-assign]


def toy_weights(
    sizes: Sequence[Sequence[int]], clip: float = 0.0, bad_step: int | None = None
) -> Any:
    """Train a toy on the same steps in however many processes; return its weights and losses.

    `sizes` are the rows of each process in each step. The last row of `bad_step` is infinite.
    """
    import torch
    from torch import nn

    from multihot.models.cpu.embedding import TouchedRowsEmbedding
    from multihot.training import loop
    from multihot.training.ranks import joined
    from training.toys import toy_loss, toy_network, toy_rows

    class WithTable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = toy_network()
            self.table = TouchedRowsEmbedding(nn.Embedding(50, 4))
            self.unused = nn.Parameter(torch.ones(3))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            ids = (inputs[:, 0].abs() * 20).long() % 50
            return self.inner(inputs + self.table(ids))  # type: ignore[no-any-return]

    with joined("cpu") as ranks:
        network = WithTable()
        with torch.no_grad():
            network.table.weight.copy_(torch.linspace(-1, 1, 200).view(50, 4))
        steps = []
        for number, by_rank in enumerate(sizes, start=1):
            rows = toy_rows(sum(by_rank), unknown=0.4, seed=number)
            if number == bad_step:
                rows[0][-1] = torch.inf
            bounds = [sum(by_rank[:n]) for n in range(len(by_rank) + 1)]
            own = range(len(by_rank)) if ranks.count == 1 else [ranks.rank]
            micro = [
                tuple(part[bounds[n] : bounds[n + 1]] for part in rows) for n in own if by_rank[n]
            ]
            steps.append(loop.Step(number, 1, False, micro))
        losses: list[float] = []
        loop.run(
            network,
            steps,
            toy_loss,  # type: ignore[arg-type]
            torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1, fused=True),
            learning_rate=lambda step: 0.01,
            seed_of=lambda step: ranks.seed(0, "dropout", step),
            autocast=torch.enable_grad,
            max_gradient_norm=clip,
            explain=lambda batch: f"of process {ranks.rank}",
            after_step=[lambda result: losses.append(result.loss)],
            ranks=ranks,
        )
        return {n: w.detach().numpy() for n, w in network.state_dict().items()}, losses
