"""Which process of a launch this one is, as torchrun says it: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from multihot.errors import OptionError

__all__ = ["Launch", "launched", "require_alone", "speaker"]

_ADVICE = "Start all processes with torchrun --nproc-per-node N -m multihot ..., or unset {name}."


@dataclass(frozen=True)
class Launch:
    """One of several equal processes."""

    rank: int = 0
    """0-based number of this process among all."""
    count: int = 1
    """Processes on all machines."""
    local_rank: int = 0
    """0-based number of this process on its machine."""


def launched(environment: Mapping[str, str] | None = None) -> Launch:
    """Return which process of a launch this one is; without one the only process.

    Raises `OptionError` when the environment names a process that cannot be, or nowhere to meet.
    """
    given = os.environ if environment is None else environment
    count = _number(given, "WORLD_SIZE", default=1, least=1)
    rank = _number(given, "RANK", default=0 if count == 1 else None)
    if rank >= count:
        sized = f"WORLD_SIZE={count}" if "WORLD_SIZE" in given else "no WORLD_SIZE"
        raise OptionError(
            f"RANK={rank} with {sized}; expected 0 to {count - 1}. {_ADVICE.format(name='RANK')}"
        )
    if count == 1:
        return Launch()
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not given.get(name):
            raise OptionError(
                f"WORLD_SIZE={count}, but {name} is not set, so the processes cannot meet. "
                f"{_ADVICE.format(name='WORLD_SIZE')}"
            )
    _number(given, "MASTER_PORT", default=None, least=1, most=65535)
    return Launch(rank, count, _number(given, "LOCAL_RANK", default=rank))


def require_alone(count: int, given: Mapping[str, object]) -> None:
    """Raise `OptionError` when one of `count` processes was given what only a single one does."""
    names = [name for name, value in given.items() if value]
    if count > 1 and names:
        error = OptionError(
            f"{', '.join(names)}: only one process does this, and this is one of {count}. Leave it out, or "
            "start without torchrun."
        )
        error.is_shared = True
        raise error


def speaker() -> Launch | None:
    """Return which of several processes this one is; `None` when it is alone or that is unclear."""
    try:
        launch = launched()
    except OptionError:
        return None
    return launch if launch.count > 1 else None


def _number(
    given: Mapping[str, str], name: str, *, default: int | None, least: int = 0, most: int = 10**6
) -> int:
    text = given.get(name, "")
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9 and least <= int(text) <= most):
        shown = f"{name}={text!r}" if text else f"{name} is not set"
        raise OptionError(
            f"{shown}; expected a whole number from {least} to {most}. {_ADVICE.format(name=name)}"
        )
    return int(text)
