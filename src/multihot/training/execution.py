"""Whether a run computes padding: decided once, checked, and said aloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from multihot.devices import Precision
from multihot.errors import OptionError
from multihot.listener import Listener
from multihot.models.packed_check import enable_packed

__all__ = ["choose_execution"]


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
