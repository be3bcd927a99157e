"""A million short requests from wrk, to see whether a server grows or becomes slower."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from serving_clients import Server, resident_bytes, running_server

__all__ = ["Soak", "soak"]

_SLICE_SECONDS = 15
_CONNECTIONS = 8
_OF_SLOPE = 100_000  # requests
_SCRIPT = """
local bodies = {}
for line in io.lines("BODIES") do bodies[#bodies + 1] = line end
local headers = {["Content-Type"] = "application/json", ["Connection"] = "CONNECTION"}
local number = 0
function setup(thread) thread:set("offset", math.random(#bodies)) end
function request()
  number = number + 1
  return wrk.format("POST", "/v1/predict", headers, bodies[(number * 7 + offset) % #bodies + 1])
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\n{"requests": %d, "p50": %d, "p99": %d, "failed": %d, "refused": %d}\\n',
    summary.requests, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
"""


@dataclass
class Soak:
    """What became of it; one entry for each slice of time."""

    requests: list[int] = field(default_factory=list)
    """All that were answered until then."""
    megabytes: list[float] = field(default_factory=list)
    """Of memory without mapped files, at the end of the slice."""
    p99_milliseconds: list[float] = field(default_factory=list)
    p50_milliseconds: list[float] = field(default_factory=list)
    failed: int = 0
    refused: int = 0
    seconds: float = 0.0
    exit_code: int = 0

    @property
    def slope(self) -> float:
        """Megabytes for 100,000 requests more, by least squares after the first 100,000."""
        rows = [row for row, count in enumerate(self.requests) if count >= _OF_SLOPE]
        if len(rows) < 3:
            return float("nan")
        counts = np.array([self.requests[row] for row in rows]) / _OF_SLOPE
        return float(np.polyfit(counts, [self.megabytes[row] for row in rows], 1)[0])

    def drift(self, values: Sequence[float]) -> float:
        """Return by what fraction the last tenth of the requests is slower than the second one."""
        total = self.requests[-1]
        early = [v for v, n in zip(values, self.requests, strict=True) if 0.1 <= n / total <= 0.2]
        late = [v for v, n in zip(values, self.requests, strict=True) if n / total >= 0.9]
        return float(np.median(late) / np.median(early) - 1) if early and late else float("nan")


def soak(model: Path, texts: Sequence[str], *, requests: int, say: Callable[[str], None]) -> Soak:
    """Send so many requests; every second slice opens a connection for each of them."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed.")
    result = Soak()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, running_server(model) as server:
        scripts = _scripts(Path(scratch), texts)
        while not result.requests or result.requests[-1] < requests:
            _slice(wrk, scripts[len(result.requests) % 2], server, result)
            say(
                f"{result.requests[-1]} requests, {result.megabytes[-1]:.1f} MB, "
                f"p99 {result.p99_milliseconds[-1]:.1f} ms, failed {result.failed}, refused {result.refused}"
            )
        result.exit_code = server.stop()
    result.seconds = time.monotonic() - began
    return result


def _scripts(folder: Path, texts: Sequence[str]) -> list[Path]:
    bodies = folder / "bodies.txt"
    lines = [json.dumps({"texts": [text[:200]]}) for text in texts if text.strip()]
    bodies.write_text("\n".join(lines), "ascii")
    paths = []
    for connection in ("keep-alive", "close"):
        path = folder / f"{connection}.lua"
        content = _SCRIPT.replace("BODIES", str(bodies)).replace("CONNECTION", connection)
        path.write_text(content, "ascii")
        paths.append(path)
    return paths


def _slice(wrk: str, script: Path, server: Server, result: Soak) -> None:
    words = [wrk, "-t1", f"-c{_CONNECTIONS}", f"-d{_SLICE_SECONDS}s", "--timeout", "20s", "-s"]
    done = subprocess.run(
        [*words, str(script), f"http://127.0.0.1:{server.port}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    before = result.requests[-1] if result.requests else 0
    result.requests.append(before + found["requests"])
    result.megabytes.append(resident_bytes(server.workers()) / 1e6)
    result.p50_milliseconds.append(found["p50"] / 1000)
    result.p99_milliseconds.append(found["p99"] / 1000)
    result.failed += found["failed"]
    result.refused += found["refused"]
