"""A contender's side of the harness: work a slice when told to, sleep on standard input otherwise.

One JSON line each way: `{"texts": 192, ...}` in, `{"seconds": ..., "cpu_seconds": ..., "texts": ...,
"tokens": ...}` out. Whatever a library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Gate", "note_finished", "read_rows"]


class Gate:
    """Holds a contender between slices and measures each of them.

    A training loop calls `open` before its first step, `saw` for every batch that it makes and
    `tick` after every step. A predictor calls `serve`.
    """

    def __init__(self) -> None:
        self.setting: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        self.synchronize: Callable[[], None] = lambda: None
        """Waits until the device has done all it was given."""
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._batches: deque[tuple[int, int]] = deque()
        self._wanted = self._texts = self._tokens = 0
        self._began = self._cpu_began = 0.0
        self._idle_since = 0.0

    def open(self, **facts: object) -> None:
        """Report that everything is loaded, and wait for the first slice."""
        self._send({"ready": True, **facts})
        self._idle_since = time.process_time()
        self._begin(self._receive())

    def saw(self, texts: int, tokens: int) -> None:
        """Note a batch when it is made, which may be some steps before it is used."""
        self._batches.append((texts, tokens))

    def tick(self) -> None:
        """Count one step; when the slice is done, answer and wait for the next."""
        texts, tokens = self._batches.popleft()
        self._texts += texts
        self._tokens += tokens
        if self._texts >= self._wanted:
            self._end(self._texts, self._tokens)
            self._begin(self._receive())

    def serve(self, work: Callable[[dict[str, Any]], tuple[int, int]], **facts: object) -> None:
        """Do what each request asks for; `work` returns the texts and tokens of it."""
        self.open(**facts)
        while True:
            texts, tokens = work(self.request)
            self._end(texts, tokens)
            self._begin(self._receive())

    def _begin(self, request: dict[str, Any]) -> None:
        self.request = request
        self._wanted, self._texts, self._tokens = int(request.get("texts", 0)), 0, 0
        self._idle_cpu = time.process_time() - self._idle_since
        self._cpu_began, self._began = time.process_time(), time.perf_counter()

    def _end(self, texts: int, tokens: int) -> None:
        self.synchronize()
        seconds = time.perf_counter() - self._began
        cpu_seconds = time.process_time() - self._cpu_began
        self._idle_since = time.process_time()
        self._send(
            {
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "idle_cpu_seconds": self._idle_cpu,
                "texts": texts,
                "tokens": tokens,
            }
        )

    def _send(self, message: dict[str, Any]) -> None:
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()

    def _receive(self) -> dict[str, Any]:
        line = sys.stdin.readline()
        if not line:
            # From inside a library's training loop, so past everything that it does at its end.
            self._answers.close()
            os._exit(0)
        request: dict[str, Any] = json.loads(line)
        return request


def read_rows(setting: dict[str, Any]) -> tuple[list[str], list[list[float]]]:
    """Return the texts and the 0/1 rows of the setting's file, in its order."""
    places = {name: place for place, name in enumerate(setting["labels"])}
    texts, rows = [], []
    with Path(setting["rows"]).open(encoding="utf-8") as handle:
        for line in handle:
            row = json.loads(line)
            values = [0.0] * len(places)
            for name in row["labels"]:
                values[places[name]] = 1.0
            texts.append(row["text"])
            rows.append(values)
    return texts, rows


def note_finished(setting: dict[str, Any]) -> None:
    """Note in the output folder what the process has cost so far; what follows only scores texts.

    The clock is one that all processes of a machine share.
    """
    used = os.times()
    cpu_seconds = used.user + used.system + used.children_user + used.children_system
    noted = {"clock": time.monotonic(), "cpu_seconds": cpu_seconds}
    (Path(setting["output"]) / "finished.json").write_text(json.dumps(noted), "utf-8")
