"""Where a run computes: device, precision, threads, packed or padded; chosen once and logged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from multihot.core.progress import Listener
from multihot.errors import OptionError
from multihot.models.devices import Precision, choose_device, choose_precision, set_threads
from multihot.models.packed.self_test import enable_packed
from multihot.training.run_directory import saved_threads

__all__ = ["choose_execution", "choose_hardware"]


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
    listener.say(
        f"Computing on {chosen} with {num_threads} threads in {found.name} ({found.reason})."
    )
    return chosen, found


def choose_execution(
    wanted: str,
    network: Any,
    device: torch.device,
    precision: Precision,
    listener: Listener,
    *,
    enable: Callable[..., str | None] = enable_packed,
) -> bool:
    """Return whether the network, already on `device`, runs packed; make it ready to.

    `enable` is the check that suits the network; see `models.packed_check.enable_packed`.

    Raises `OptionError` when packed execution was asked for and the check refuses it.
    """
    if wanted == "padded":
        listener.say("Padding every batch to its longest text (asked for).")
        return False
    # In half precision a card has another attention kernel, which must be checked as well.
    half = precision.name != "fp32" and device.type == "cuda"
    reason = enable(network, autocast=(lambda: precision.autocast(device)) if half else None)
    if reason is None:
        listener.say("Packing texts without padding; checked to equal each text alone.")
        return True
    if wanted == "packed":
        raise OptionError(f"execution='packed' is not possible: {reason} Use execution=auto.")
    listener.say(f"Padding every batch to its longest text: {reason}")
    return False
