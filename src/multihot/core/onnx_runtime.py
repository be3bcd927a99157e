"""ONNX Runtime, imported so that it reports to nobody."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["import_onnxruntime"]


def import_onnxruntime() -> Any:
    """Return the package.

    From 1.29 on its official builds write an identifier of the machine below the cache folder, and send
    what they observe of sessions to their maker, as soon as they are imported. `ORT_DISABLE_TELEMETRY`
    forbids both, unless the user has set it to something else.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
