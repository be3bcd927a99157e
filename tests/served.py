"""A real `multihot serve` in a process of its own, for the time of a test module."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TOKEN = "0123456789abcdef0123456789abcdef"
SECONDS_TO_STOP = 30


@contextlib.contextmanager
def served(
    *folders: Path, options: tuple[str, ...] = (), token: str | None = None
) -> Iterator[str]:
    """Serve model folders on a free port; yield the address, such as http://127.0.0.1:40123."""
    command = [sys.executable, "-W", "error", "-m", "multihot", "serve", *map(str, folders)]
    environment = {key: value for key, value in os.environ.items() if key != "MULTIHOT_TOKEN"}
    if token is not None:
        environment["MULTIHOT_TOKEN"] = token
    process = subprocess.Popen(
        [*command, "--port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
    )
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if " answers; " in line:
                break
        else:
            raise AssertionError(f"The server did not start: {''.join(lines)}")
        yield lines[-1].partition(" ")[0]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
