"""Where the workers of a server sum their counters, as prometheus-client does it: files in one folder."""

from __future__ import annotations

import os
import tempfile

__all__ = ["FOLDER_VARIABLE", "forget_process", "shared_metrics_folder"]

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def shared_metrics_folder() -> tempfile.TemporaryDirectory[str]:
    """Make the folder for the workers that are started from now on; it is empty at first."""
    folder = tempfile.TemporaryDirectory(prefix="multihot-metrics-")
    os.environ[FOLDER_VARIABLE] = folder.name
    return folder


def forget_process(number: int | None) -> None:
    """Forget what a worker that died counted of its present; what it counted in all stays."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(number)
