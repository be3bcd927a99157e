"""The log of a run: `metrics.jsonl`, trackers, and throughput."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from multihot.core.files import storage_errors, write_text
from multihot.errors import MissingExtraError, OptionError, TrainingError
from multihot.gate.folder_files import read_folder_file

__all__ = ["MetricsLog", "Throughput", "open_trackers", "require_trackers"]

_MOST_BYTES = 1 << 30


class MetricsLog:
    """Append-only `metrics.jsonl`: one JSON object a line, flushed at once; without a path nothing.

    On resume, lines written after the checkpoint are removed, so that no step occurs twice; so are
    lines that are none of a log. Raises `TrainingError` for what is no regular file.
    """

    def __init__(self, path: Path | None, *, last_step: int, trackers: Any | None = None) -> None:
        self.path = path
        self.trackers = trackers
        if path is None:
            return
        kept = []
        if os.path.lexists(path):
            content = read_folder_file(
                path.parent, path.name, most_bytes=_MOST_BYTES, error=TrainingError
            )
            lines = str(content, "utf-8", "replace").splitlines()
            kept = [line for line in lines if _up_to(line, last_step)]
        write_text(path, "".join(line + "\n" for line in kept))

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one entry; it must have a `step`. Non-finite numbers become null."""
        if self.path is None:
            return
        clean = {key: _finite(value) for key, value in entry.items()}
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(clean, allow_nan=False) + "\n")
        if self.trackers is not None:
            numbers = {key: value for key, value in clean.items() if isinstance(value, int | float)}
            self.trackers.log(numbers, step=entry["step"])

    def close(self) -> None:
        """Let the trackers finish their files."""
        if self.trackers is not None:
            self.trackers.end_training()


def _up_to(line: str, last_step: int) -> bool:
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # truncated when the process was killed
    return type(step) is int and step <= last_step


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def require_trackers(names: tuple[str, ...]) -> None:
    """Raise `OptionError` for unknown trackers, `MissingExtraError` for those not installed."""
    if not names:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    available = {str(getattr(name, "value", name)) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            raise OptionError(f"trackers: '{name}' is unknown; accelerate knows {known}.")
        if name not in available:
            if name == "tensorboard":
                raise MissingExtraError(name, "tracking", f"The tracker '{name}'")
            raise OptionError(f"trackers: '{name}' is not installed; pip install {name}.")


def open_trackers(names: tuple[str, ...], folder: Path, run_name: str) -> Any | None:
    """Start accelerate's trackers (tensorboard, wandb, mlflow ...) that write below `folder`.

    Returns the accelerator that owns them, or `None` when no name is given.
    """
    if not names:
        return None
    from accelerate import Accelerator

    require_trackers(names)
    accelerator = Accelerator(log_with=list(names), project_dir=str(folder), cpu=True)
    accelerator.init_trackers(run_name)
    return accelerator


class Throughput:
    """Tokens per second and time left, from the steps since this process started."""

    def __init__(self, total_steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total_steps = total_steps
        self._clock = clock
        self._started = clock()
        self._steps = 0
        self._tokens = 0

    def add(self, num_tokens: int) -> None:
        """Count one step."""
        self._steps += 1
        self._tokens += num_tokens

    @property
    def tokens_per_second(self) -> float:
        """Real tokens (no padding) per second of wall time, evaluation included."""
        return self._tokens / max(1e-9, self._clock() - self._started)

    def seconds_left(self, step: int) -> float:
        """Seconds until the last step at the mean pace so far."""
        pace = (self._clock() - self._started) / max(1, self._steps)
        return pace * (self.total_steps - step)
