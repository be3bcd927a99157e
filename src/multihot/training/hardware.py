"""Where a run computes, in which precision and with how many threads; chosen once, said aloud."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from multihot.allocator import keep_freed_memory
from multihot.devices import Precision, choose_device, choose_precision, set_threads
from multihot.errors import OptionError
from multihot.listener import Listener
from multihot.training.run_folder import saved_threads

__all__ = ["choose_hardware"]


def choose_hardware(
    device: str,
    precision: str,
    threads: int | None,
    *,
    output: Path,
    resume: bool,
    listener: Listener,
) -> tuple[torch.device, Precision]:
    """Return device and precision as asked for, and set the process up for them.

    Raises `OptionError` when one of several processes asks: they would all do the same.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(
            "Training in several processes is not supported yet; start one process, without "
            "'accelerate launch' or torchrun."
        )
    chosen = choose_device(device)
    found = choose_precision(precision, chosen)
    # The number of threads decides the last bits, so a resumed run takes that of the run before.
    num_threads = set_threads((saved_threads(output) if resume else None) or threads)
    if chosen.type == "cpu":
        keep_freed_memory()
    listener.say(
        f"Computing on {chosen} with {num_threads} threads in {found.name} ({found.reason})."
    )
    return chosen, found
