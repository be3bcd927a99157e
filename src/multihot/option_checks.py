"""The one sentence that every option says when its value makes no sense."""

from __future__ import annotations

from multihot.errors import OptionError

__all__ = ["require"]


def require(met: bool, name: str, value: object, expected: str) -> None:
    """Raise `OptionError` with the option's name, what was given and what was expected."""
    if not met:
        raise OptionError(f"Option '{name}' is {value!r}; expected {expected}.")
