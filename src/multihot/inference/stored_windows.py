"""Read how a model treats longer texts: key `windows` of `thresholds.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multihot.core.labels import LabelSpace
from multihot.core.text_tables import cut
from multihot.core.windows import WINDOW_POOLINGS, WindowSettings
from multihot.errors import ArtifactError
from multihot.gate.stored_records import record_of

__all__ = ["stored_windows"]

_MOST_WINDOWS = 1 << 20


def stored_windows(
    content: Mapping[str, Any], space: LabelSpace, max_length: int
) -> WindowSettings | None:
    """Return how longer texts are read, `None` where they are cut.

    Raises `ArtifactError` for what no training writes.
    """
    if "windows" not in content:
        return None
    found = record_of(WindowSettings, content["windows"], "the key 'windows'", ArtifactError)
    known = None if found.sharpness is None else set(found.sharpness)
    if found.pooling not in WINDOW_POOLINGS:
        wrong = f"its pooling is {cut(found.pooling)}; expected one of {', '.join(WINDOW_POOLINGS)}"
    elif found.overlap >= max_length:
        wrong = f"its overlap is {found.overlap}; expected fewer than the {max_length} tokens of a window"
    elif not 1 <= found.max_windows <= _MOST_WINDOWS:
        wrong = f"its max_windows is {found.max_windows}; expected 1 to {_MOST_WINDOWS}"
    elif known != (set(space.names) if found.pooling == "attention" else None):
        wrong = "its sharpness does not fit its pooling and the labels"
    else:
        return found
    raise ArtifactError(f"the key 'windows': {wrong}. Restore the file or train again.")
