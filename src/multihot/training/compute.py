"""Where a run computes: device, precision, threads, packed or padded; chosen once and logged."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from multihot.core.launch import launched
from multihot.core.options import TrainOptions
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.processors import allowed_processors, busy_elsewhere
from multihot.core.progress import Listener
from multihot.core.turns import OneAtATime
from multihot.errors import OptionError
from multihot.models.devices import (
    Precision,
    choose_device,
    choose_precision,
    run_environment,
    set_threads,
)
from multihot.models.packed.self_test import enable_packed
from multihot.training.ranks import ALONE, Ranks
from multihot.training.run_directory import saved_threads

__all__ = ["Hardware", "choose_execution", "choose_hardware", "only_run"]

_runs = OneAtATime()


@contextlib.contextmanager
def only_run(listener: Listener) -> Iterator[None]:
    """Hold back other runs of this process, and leave its random state and threads as they were.

    Dropout draws from torch's one generator for CPUs: runs side by side would draw from each other.
    """

    def say() -> None:
        listener.say("Another run is training in this process; this one begins when it has ended.")

    with _runs.turn(say), torch.random.fork_rng(devices=[]):
        num_threads = torch.get_num_threads()
        try:
            yield
        finally:
            torch.set_num_threads(num_threads)


@dataclass(frozen=True)
class Hardware:
    """The device of a run and its precision in training."""

    device: torch.device
    precision: Precision

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        return self.precision.autocast(self.device)

    def facts(self, *, packed: bool) -> dict[str, str | int]:
        """Return what affects the last bits of a result besides code and data."""
        execution = "packed" if packed else "padded"
        return {**run_environment(self.device, self.precision), "execution": execution}


def choose_hardware(
    options: TrainOptions | PretrainOptions,
    output: Path,
    *,
    resume: bool,
    listener: Listener,
    ranks: Ranks = ALONE,
) -> Hardware:
    """Return the requested device and precision, and set the process up for them.

    A resumed run in `output` takes the number of threads of the interrupted one.

    Raises `OptionError` in a launch of several processes that does not train with all of them, where
    every process would train the same model.
    """
    if launched().count != ranks.count:
        raise OptionError("This trains in one process; start it without torchrun.")
    device = choose_device(options.device)
    if ranks.count > 1 and device.type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device())
    precision = choose_precision(options.precision, device)
    # The number of threads affects the last bits.
    stated = (saved_threads(output) if resume else None) or options.threads
    num_threads = set_threads(stated)
    remark = None
    if device.type == "cpu" and num_threads > 1:
        is_free = stated is None and ranks.count == 1 and "OMP_NUM_THREADS" not in os.environ
        chosen, remark = _beside_others(num_threads, is_free=is_free)
        num_threads = set_threads(chosen)
    processes = f"{ranks.count} processes, each on " if ranks.count > 1 else ""
    listener.say(
        f"Using {processes}{device} with {num_threads} threads in {precision.name} ({precision.reason})."
    )
    if remark is not None:
        listener.say(remark)
    return Hardware(device, precision)


def _beside_others(num_threads: int, *, is_free: bool) -> tuple[int, str | None]:
    """Return how many threads should compute, and what to say of other programs.

    Where the number is free, processors that others keep busy are left to them: threads wait for
    each other, so two on one free processor are slower than one (`benchmarks/waiting.py`).
    """
    allowed = allowed_processors()
    busy = min(busy_elsewhere(), allowed)
    if not busy or num_threads + busy <= allowed:
        return num_threads, None
    kept = f"Other programs keep about {busy} of {allowed} processors busy"
    if not is_free:
        waits = "threads=1 may well be faster, as threads wait for each other."
        return num_threads, f"{kept}; as long as they do, {waits}"
    left = f"{kept}, so they are left to them; threads={num_threads} uses all of them."
    return max(1, allowed - busy), left


def choose_execution(
    requested: str,
    network: Any,
    hardware: Hardware,
    listener: Listener,
    *,
    enable: Callable[..., str | None] = enable_packed,
) -> bool:
    """Return whether the network, already on its device, runs packed; enable that where it can.

    `enable` is the self-test that suits the network; see `models.packed.self_test.enable_packed`.

    Raises `OptionError` when packed execution was requested and the self-test refuses it.
    """
    if requested == "padded":
        listener.say("Padded execution (requested).")
        return False
    # In half precision a GPU uses another attention kernel, which must be tested as well.
    half = hardware.precision.name != "fp32" and hardware.device.type == "cuda"
    reason = enable(network, autocast=hardware.autocast if half else None)
    if reason is None:
        listener.say("Packed execution enabled (self-test passed).")
        return True
    if requested == "packed":
        raise OptionError(f"execution='packed' is not possible: {reason} Use execution=auto.")
    listener.say(f"Padded execution: {reason}")
    return False
