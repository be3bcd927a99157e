"""ONNX Runtime and OpenVINO, imported so that they report to nobody."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

__all__ = ["import_onnxruntime", "import_openvino"]

_REPORTS = "openvino_telemetry"


def import_onnxruntime() -> Any:
    """Return the package.

    From 1.29 on its official builds write an identifier of the machine below the cache folder, and send
    what they observe of sessions to their maker, as soon as they are imported. `ORT_DISABLE_TELEMETRY`
    forbids both, unless the user has set it to something else.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def import_openvino() -> Any:
    """Return the package.

    Its first import writes an identifier below the home folder and sends an event, by a package that it
    does without where there is none. So there is none while it is imported.
    """
    hidden: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    before = hidden.get(_REPORTS)
    hidden[_REPORTS] = None
    try:
        import openvino
    finally:
        hidden.pop(_REPORTS, None)
        if before is not None:
            hidden[_REPORTS] = before
    return openvino
