"""Several processes train one model: they meet, agree, and sum their gradients.

Each step's rows are shared out over the processes, and the gradients are summed and divided by the
known cells of all of them: the step is that of one process, but for rounding and for dropout, which
every process draws from a stream of its own. Every process then takes the same step with the same
numbers, so nothing but gradients and a few scalars is ever sent. What is sent beside tensors is JSON.

With one process nothing here does anything.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.distributed.distributed_c10d import _set_pg_timeout

from multihot.core.launch import Launch, launched
from multihot.core.seeding import named_seed
from multihot.core.text_tables import counted, cut, cut_digest
from multihot.errors import (
    EncoderError,
    MultihotError,
    NonFiniteError,
    OptionError,
    StorageError,
    TrainingError,
)

__all__ = ["ALONE", "NOT_SHARED", "Ranks", "joined"]

NOT_SHARED = "One process writes --output, and all read it: put it where all of them see it."
"""Advice for processes that see other files."""

_ARRIVAL_SECONDS = 300.0  # all processes must have started within
_LOOK_SECONDS = 0.05
_CONNECTING = timedelta(minutes=1)
_SILENCE = timedelta(minutes=30)  # the longest work that one process does while the others wait
_ROW = 1 << 21  # numbers that are sent together, at least
_KINDS = {
    kind.__name__: kind
    for kind in (EncoderError, NonFiniteError, OptionError, StorageError, TrainingError)
}
_OWN = ("device", "threads")
"""Facts in which the processes may differ."""

_meetings = itertools.count(1)

T = TypeVar("T")
FloatT = TypeVar("FloatT", np.float32, np.float64)


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, and which of them this one is."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def seed(self, seed: int, name: str, step: int) -> int:
        """Return the seed of a step in this process; in the first it is that of a single one."""
        own = (step, self.rank) if self.rank else (step,)
        return named_seed(seed, name, *own)

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.greatest(0)

    def greatest(self, number: int) -> int:
        """Return the greatest of the numbers that the processes give."""
        if self.count == 1:
            return number
        tensor = torch.tensor([number], dtype=torch.int64)
        self.maximum(tensor)
        return int(tensor.item())

    def totals(self, *numbers: float) -> tuple[float, ...]:
        """Return the sum of each number over the processes."""
        if self.count == 1:
            return numbers
        tensor = torch.tensor(numbers, dtype=torch.float64)
        with self._together():
            dist.all_reduce(tensor)
        return tuple(tensor.tolist())

    def maximum(self, tensor: Tensor) -> None:
        """Replace each element by the greatest that a process has; the tensor is on the CPU."""
        if self.count > 1:
            with self._together():
                dist.all_reduce(tensor, dist.ReduceOp.MAX)

    def summed(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sum of each tensor over the processes: the same bits in all of them.

        What is sent are a few long rows, and the sums are parts of these: gloo takes two and a half times as
        long for the same numbers in as many tensors as a network has.
        """
        if self.count == 1:
            return list(tensors)
        parts = list(_parts(tensors))
        with self._together():
            rows = [torch.cat([each.flatten() for each in part]) for part in parts]
            for work in [dist.all_reduce(row, async_op=True) for row in rows]:
                work.wait()
        return [
            piece.view(each.shape)
            for row, part in zip(rows, parts, strict=True)
            for piece, each in zip(
                torch.split(row, [each.numel() for each in part]), part, strict=True
            )
        ]

    def sum_array(self, array: npt.NDArray[FloatT]) -> npt.NDArray[FloatT]:
        """Return the sum of an array over the processes; the given one is overwritten."""
        if self.count > 1:
            with self._together():
                dist.all_reduce(torch.from_numpy(array))
        return array

    def gathered(self, value: Any) -> list[Any]:
        """Return what every process gives, by rank; it must be plain JSON."""
        if self.count == 1:
            return [value]
        sent = np.frombuffer(json.dumps(value).encode(), dtype=np.uint8).copy()
        with self._together():
            sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
            dist.all_gather(sizes, torch.tensor([len(sent)]))
            most = max(int(size) for size in sizes)
            parts = [torch.zeros(most, dtype=torch.uint8) for _ in range(self.count)]
            dist.all_gather(parts, torch.from_numpy(np.pad(sent, (0, most - len(sent)))))
        return [
            json.loads(part[: int(size)].numpy().tobytes())
            for part, size in zip(parts, sizes, strict=True)
        ]

    def from_first(self, value: Callable[[], T]) -> T:
        """Return what `value` returns in the first process, which alone calls it; plain JSON.

        An error of it is raised in every process.
        """
        if self.count == 1:
            return value()
        outcome: Any = None
        error: MultihotError | None = None
        if self.is_first:
            try:
                outcome = value()
            except MultihotError as caught:
                error = caught
        self.raise_together(error)
        found: T = self.gathered(outcome)[0]
        return found

    def raise_together(self, error: MultihotError | None) -> None:
        """Raise in every process the error that one of them, or several, gives."""
        if self.count == 1:
            if error is not None:
                raise error
            return
        if not self.greatest(0 if error is None else 1):
            return
        own = None if error is None else [type(error).__name__, str(error)]
        said = [each for each in self.gathered(own) if each is not None]
        kind, message = said[0]
        if error is None or str(error) != message:
            error = _KINDS.get(kind, TrainingError)(message)
        error.is_shared = True
        raise error

    def require_same(self, facts: Mapping[str, Any], advice: str) -> None:
        """Raise `OptionError` in every process when one was given other facts than the first."""
        if self.count == 1:
            return
        given = {key: value for key, value in facts.items() if key not in _OWN}
        first, *others = self.gathered(given)
        for rank, other in enumerate(others, start=1):
            keys = sorted(k for k in {*first, *other} if first.get(k) != other.get(k))
            if keys:
                differing = "; ".join(
                    f"{key} is {cut_digest(other.get(key))}, not {cut_digest(first.get(key))}"
                    for key in keys
                )
                error = OptionError(
                    f"Process {rank} of {self.count} differs from process 0: {differing}. {advice}"
                )
                error.is_shared = True
                raise error

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """Say in one sentence that another process is gone."""
        try:
            yield
        except RuntimeError as error:
            raise TrainingError(
                f"Process {self.rank} of {self.count} lost another process of this run: it was killed, "
                "failed (then it says why itself), or gave no answer for "
                f"{_SILENCE.total_seconds() / 60:.0f} minutes. What was written is complete: start all "
                "processes again with --resume to go on after the newest checkpoint."
            ) from error


ALONE = Ranks()
"""The one process of a run."""


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Meet the other processes of a launch by torchrun, and leave them at the end.

    Raises `OptionError` when the environment is wrong or a process does not come.
    """
    launch = launched()
    if launch.count == 1:
        yield ALONE
        return
    if dist.is_initialized():
        raise OptionError(
            "This process has a process group already; multihot makes and ends one of its own. Call it "
            "before init_process_group, or after destroy_process_group."
        )
    _meet(launch, _backend(device, launch))
    try:
        yield Ranks(launch.rank, launch.count)
    finally:
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def _parts(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the tensors in turn, so many together that they hold enough numbers."""
    part: list[Tensor] = []
    count = 0
    for each in tensors:
        part.append(each)
        count += each.numel()
        if count >= _ROW:
            yield part
            part, count = [], 0
    if part:
        yield part


def _backend(device: str, launch: Launch) -> str:
    """Return what sends tensors: gloo from memory, NCCL from GPUs."""
    kind = device.partition(":")[0]
    if kind == "mps" or (kind == "auto" and torch.backends.mps.is_available()):
        raise OptionError("device=mps trains in one process only; add --device cpu.")
    if kind not in ("auto", "cuda") or not torch.cuda.is_available():
        return "gloo"
    if ":" in device:
        raise OptionError(
            f"device={device!r} would put {counted(launch.count, 'process', 'processes')} on one GPU; "
            "with device=cuda each process takes that of its LOCAL_RANK."
        )
    if launch.local_rank >= torch.cuda.device_count():
        raise OptionError(
            f"LOCAL_RANK={launch.local_rank}, but torch sees {torch.cuda.device_count()} CUDA GPUs. Start "
            "as many processes as there are GPUs, or add --device cpu."
        )
    torch.cuda.set_device(launch.local_rank)
    return "cpu:gloo,cuda:nccl"


def _meet(launch: Launch, backend: str) -> None:
    """Wait until all processes have come, so that who never comes is named, then connect them.

    Nothing here waits inside a library but for moments: signals get through.
    """
    until, missing = time.monotonic() + _ARRIVAL_SECONDS, list(range(launch.count))
    try:
        store = _store(launch, until)
        store.set(str(launch.rank), "here")
        while missing := [n for n in missing if not store.check([str(n)])]:
            if time.monotonic() > until:
                break
            time.sleep(_LOOK_SECONDS)
        else:
            dist.init_process_group(
                backend,
                store=store,
                rank=launch.rank,
                world_size=launch.count,
                timeout=_CONNECTING,
            )
            _set_pg_timeout(_SILENCE)
            return
    except (RuntimeError, OSError) as error:
        raise OptionError(
            f"Process {launch.rank} of {launch.count} could not meet the others at MASTER_ADDR and "
            f"MASTER_PORT: {cut(str(error).partition(chr(10))[0])}. Start all processes with torchrun."
        ) from error
    numbers = ", ".join(map(str, missing[:8]))
    raise OptionError(
        f"{counted(len(missing), 'process', 'processes')} of {launch.count} did not come within "
        f"{_ARRIVAL_SECONDS / 60:.0f} minutes: {numbers}. Start all with torchrun, or check what they said."
    )


def _store(launch: Launch, until: float) -> Store:
    """Return the store at `MASTER_ADDR`, which torchrun holds, else the first process."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    is_host = launch.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    while not is_host:
        try:
            socket.create_connection((address, port), _CONNECTING.total_seconds()).close()
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK_SECONDS)
    store = TCPStore(
        address,
        port,
        launch.count,
        is_host,
        timeout=_CONNECTING,
        wait_for_workers=False,
        multi_tenant=True,
    )
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    # A launch may train often, and be started again.
    return PrefixStore(f"multihot/{attempt}/{next(_meetings)}", store)
