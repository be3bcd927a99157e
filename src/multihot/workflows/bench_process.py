"""One fresh process that loads a model and measures it: `python -m multihot.workflows.bench_process`.

It reads one JSON object a line and answers each with one. The number of threads is settled when a process
loads its backend, so each number has a process of its own; its start is the cold start.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from multihot.core.processors import passes_at_once
from multihot.errors import ArtifactError, MultihotError

__all__ = ["BenchProcess", "bench_processes"]

_WARM_UP = 3  # calls
_FEWEST_CALLS = 2
_STATUS = Path("/proc/self/status")
_FOLDER = str(Path(__file__).parents[2])


class BenchProcess:
    """A process that measures with so many threads; `started` waits until it has its first label."""

    def __init__(
        self, model: str, texts: Sequence[str], backend: str, *, num_threads: int, workers: int = 1
    ) -> None:
        self.num_threads = num_threads
        paths = [_FOLDER, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {"OMP_NUM_THREADS": str(num_threads), "PYTHONPATH": os.pathsep.join(paths)}
        self._began = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - this Python, a module of ours
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="ascii",
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl+C is for the process that started it, which ends this one
        )
        loading = {"model": model, "texts": list(texts), "backend": backend, "workers": workers}
        self.send(loading)

    def started(self) -> tuple[float, int | None]:
        """Wait for the first label; return the seconds since the process began, and its memory then."""
        memory: int | None = self.receive()["memory_bytes"]
        return time.perf_counter() - self._began, memory

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        self.send(request)
        return self.receive()

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request; other processes may be asked before its answer is received."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for the answer of the oldest request that has none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line.endswith("\n") else {}
        if not answer or "error" in answer:
            raise ArtifactError(answer.get("error", "A measuring process ended; is memory short?"))
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def bench_processes(
    model: str, texts: Sequence[str], backend: str, *, num_threads: int, workers: int = 1
) -> Iterator[list[BenchProcess]]:
    """Run as many processes as there are workers for the block; they are still starting when it begins."""
    running: list[BenchProcess] = []
    try:
        for _ in range(workers):
            running.append(
                BenchProcess(model, texts, backend, num_threads=num_threads, workers=workers)
            )
        yield running
    finally:
        for process in running:
            process.close()


def _answer_requests() -> None:
    """Answer what stands on standard input until it ends; runs in the process itself."""
    loaded: _Loaded | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if loaded is None:
                loaded = _Loaded(**request)
                answer: dict[str, Any] = {"memory_bytes": _memory("VmRSS")}
            else:
                answer = getattr(loaded, request.pop("do"))(**request)
        except MultihotError as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


class _Loaded:
    """A model, and what can be measured of it; `do` of a request names a method."""

    def __init__(self, model: str, texts: list[str], backend: str, workers: int) -> None:
        from multihot.inference.predictor import Predictor

        self._predictor = Predictor.load(model, backend=backend)
        self._predictor.predict(texts[:1])
        self._texts = texts
        self._num_passes = passes_at_once(workers)

    def batches(self, size: int, seconds: float) -> dict[str, Any]:
        """Time calls of so many texts each, one after the other."""
        lengths = self._lengths()
        for first in range(_WARM_UP if size == 1 else 0):
            self._predictor.predict(self._some(first, size))
        times: list[float] = []
        num_tokens = 0
        began = time.perf_counter()
        while len(times) < _FEWEST_CALLS or time.perf_counter() < began + seconds:
            start = len(times) * size
            some = self._some(start, size)
            before = time.perf_counter()
            self._predictor.predict(some)
            times.append(time.perf_counter() - before)
            num_tokens += sum(lengths[(start + n) % len(lengths)] for n in range(size))
        return {"seconds": times, "num_tokens": num_tokens, "peak_bytes": _memory("VmHWM")}

    def closed(self, seconds: float, clients: int, pass_tokens: int) -> dict[str, Any]:
        """Ask the server's engine by so many clients that do not pause."""
        from multihot.serving.engine import Engine
        from multihot.serving.load import closed_load
        from multihot.serving.served_model import Serving

        engine = Engine(
            num_passes=self._num_passes, pass_tokens=pass_tokens, max_queue_tokens=1 << 30
        )
        serving = Serving.of(self._predictor)
        found = closed_load(serving, self._texts, engine, num_clients=clients, seconds=seconds)
        engine.close()
        return {**asdict(found), "per_second": found.per_second}

    def open(
        self, arrivals: list[float], deadline: float, pass_tokens: int, queue_tokens: int
    ) -> dict[str, Any]:
        """Ask the server's engine at the given times."""
        from multihot.serving.engine import Engine
        from multihot.serving.load import closed_load, open_load
        from multihot.serving.served_model import Serving

        engine = Engine(
            num_passes=self._num_passes, pass_tokens=pass_tokens, max_queue_tokens=queue_tokens
        )
        serving = Serving.of(self._predictor)
        closed_load(serving, self._texts, engine, num_clients=4, seconds=0)  # it learns its speed
        times = np.asarray(arrivals)
        found = open_load(serving, self._texts, engine, times, deadline_seconds=deadline)
        engine.close()
        return asdict(found)

    def _some(self, start: int, size: int) -> list[str]:
        return [self._texts[(start + n) % len(self._texts)] for n in range(size)]

    def _lengths(self) -> list[int]:
        lengths: list[int] = self._predictor.tokenized(self._texts).lengths.tolist()
        return lengths


def _memory(name: str) -> int | None:
    """Return a line of `/proc/self/status` in bytes; `None` where the system has none."""
    try:
        lines = _STATUS.read_text("ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration, ValueError):
        return None


if __name__ == "__main__":
    _answer_requests()
