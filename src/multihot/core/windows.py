"""How a model reads texts beyond its `max_length`: in overlapping windows, whose logits are pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.text_tables import counted

__all__ = [
    "DEFAULT_MAX_WINDOWS",
    "DEFAULT_WINDOW_OVERLAP",
    "WINDOW_POOLINGS",
    "WindowSettings",
    "most_read",
    "reading_sentence",
]

WINDOW_POOLINGS = ("max", "mean", "log_sum_exp", "attention")
"""How the logits of the windows become those of the text; see `decision.window_pooling`."""

DEFAULT_WINDOW_OVERLAP = 32
"""Tokens that two neighbours share at most, when `window_overlap` is not set and windows are no shorter than 256."""

DEFAULT_MAX_WINDOWS = 32
"""Windows of one text, when `max_windows` is not set."""


@dataclass(frozen=True)
class WindowSettings:
    """Key `windows` of `thresholds.json`; a model without it cuts texts to their first `max_length` tokens."""

    pooling: str
    """One of `WINDOW_POOLINGS`."""
    overlap: int = DEFAULT_WINDOW_OVERLAP
    """Tokens that two neighbours share at most; special tokens do not count."""
    max_windows: int = DEFAULT_MAX_WINDOWS
    """Windows that are read of a text; what stands behind the last of them is cut."""
    sharpness: Mapping[str, float] | None = None
    """With `attention`: the learnt weight of each label, by its name."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        content = asdict(self)
        return {key: value for key, value in content.items() if value is not None}


def most_read(max_length: int, windows: WindowSettings | None) -> str:
    """Return what is read of one text, in words; longer ones are cut to it."""
    return f"{max_length} tokens" if windows is None else f"{windows.max_windows} windows"


def cut_sentence(
    num_truncated: int, num_texts: int, max_length: int, windows: WindowSettings | None
) -> str:
    """Return how many texts were longer than what is read of one."""
    read = most_read(max_length, windows)
    return f"Cut to the first {read}: {num_truncated} of {counted(num_texts, 'text')}."


def reading_sentence(max_length: int, windows: WindowSettings | None) -> str:
    """Return how longer texts are read."""
    if windows is None:
        return f"Texts are truncated to {max_length} tokens."
    return (
        f"Texts beyond {max_length} tokens are read in windows of so many, at most "
        f"{windows.max_windows}, whose logits are pooled per label ({windows.pooling})."
    )
