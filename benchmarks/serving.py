"""Measure a server: throughput, latency, overload, start and memory; needs wrk.

    python benchmarks/serving.py TEXTS --pipeline CLS_MODEL onnx=EXPORT int8=EXPORT ...

Each NAME=FOLDER is served by `multihot serve`; `tutorial` is FastAPI with a pipeline of transformers, as
tutorials write it. All contenders work in turn, on the same texts, one text per request, with every
processor; `offline` is the library's throughput on these texts. One row for each contender goes into
`results/`.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multihot.core.instruction_set import instruction_set
from open_loop import Outcome, ask_at_rate
from provenance import provenance
from show import show_and_keep

_CLIENTS = 64
_TUTORIAL = """
import sys
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline
import uvicorn

app = FastAPI()
classifier = pipeline("text-classification", model=sys.argv[1], top_k=None, device="cpu")

class Request(BaseModel):
    texts: list[str]

@app.post("/v1/predict")
def predict(request: Request):
    return classifier(request.texts)

@app.get("/readyz")
def ready():
    return {}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""
_OFFLINE = """
import json, sys, time
from multihot.inference.predictor import Predictor
predictor = Predictor.load(sys.argv[1])
texts = json.load(open(sys.argv[2]))
predictor.predict(texts[:64])
seconds = []
for text in texts[:200]:
    began = time.perf_counter()
    predictor.predict([text])
    seconds.append(time.perf_counter() - began)
began = time.perf_counter()
predictor.predict(texts)
print(json.dumps({"texts_per_second": len(texts) / (time.perf_counter() - began),
                  "one_text_ms": 1000 * sorted(seconds)[len(seconds) // 2]}))
"""
_LUA = """
local bodies, n = {}, 0
for line in io.lines("BODIES") do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function() n = n % #bodies + 1; return wrk.format(nil, nil, nil, bodies[n]) end
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("texts", type=Path, help="labelled or unlabelled file of texts")
    parser.add_argument("contenders", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--pipeline", required=True, metavar="FOLDER")
    parser.add_argument("--most", type=int, default=1600, help="texts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1, help="of each server")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def main() -> None:
    """Measure, print and add the rows."""
    given, born = _arguments(), provenance()
    folders = dict(each.split("=", 1) for each in given.contenders)
    from multihot.data.labelled_file import read_examples

    texts = list(read_examples(given.texts).texts)[: given.most]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "texts.json").write_text(json.dumps(texts), "utf-8")
        (work / "bodies").write_text("\n".join(json.dumps({"texts": [t]}) for t in texts), "utf-8")
        (work / "load.lua").write_text(_LUA.replace("BODIES", str(work / "bodies")), "utf-8")
        rows = _measure(given, folders, texts, work)
    show_and_keep("serving_202611.csv", rows, born, keep=not given.no_row)


def _measure(
    given: argparse.Namespace, folders: dict[str, str], texts: list[str], work: Path
) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in [*folders, "tutorial"]}
    for number in range(given.rounds):
        for name, folder in folders.items():
            offline = _offline(folder, work)
            with _server(folder, "--workers", str(given.workers)) as (port, process):
                pids = [process.pid, *_children(process.pid)]
                started = sum(map(_cpu_seconds, pids)) / given.workers
                latency = _one_by_one(port, texts[:200])
                rate = _wrk(port, work, given.seconds)
            found[name].append(
                {**offline, "rate": rate, "latency_ms": latency, "start_cpu_seconds": started}
            )
            print(number, name, found[name][-1], file=sys.stderr)
        with _tutorial(given.pipeline) as (port, process):
            latency = _one_by_one(port, texts[:50])
            found["tutorial"].append(
                {"rate": _wrk(port, work, given.seconds), "latency_ms": latency}
            )
        print(number, "tutorial", found["tutorial"][-1], file=sys.stderr)
    rows = [
        {
            **_row(name, found[name], found["tutorial"]),
            "workers": given.workers,
            **_overload(folder, texts, _median(found[name], "rate"), given),
            **_memory(folder),
        }
        for name, folder in folders.items()
    ]
    rate, latency = _median(found["tutorial"], "rate"), _median(found["tutorial"], "latency_ms")
    own = {"requests_per_second": f"{rate:.0f}", "idle_latency_ms": f"{latency:.1f}"}
    return [*rows, {**dict.fromkeys(rows[0], ""), "contender": "tutorial", **own}]


def _row(
    name: str, runs: list[dict[str, float]], tutorial: list[dict[str, float]]
) -> dict[str, Any]:
    share = statistics.median(run["rate"] / run["texts_per_second"] for run in runs)
    pairs = zip(runs, tutorial, strict=True)
    times = statistics.median(run["rate"] / other["rate"] for run, other in pairs)
    above = statistics.median(run["latency_ms"] - run["one_text_ms"] for run in runs)
    return {
        "contender": name,
        "requests_per_second": f"{_median(runs, 'rate'):.0f}",
        "share_of_offline": f"{share:.2f}",
        "times_tutorial": f"{times:.1f}",
        "idle_latency_ms": f"{_median(runs, 'latency_ms'):.1f}",
        "above_model_ms": f"{above:.1f}",
        "start_cpu_seconds": f"{_median(runs, 'start_cpu_seconds'):.2f}",
        "instruction_set": instruction_set(),
    }


def _median(runs: list[dict[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def _offline(folder: str, work: Path) -> dict[str, float]:
    words = [sys.executable, "-c", _OFFLINE, folder, str(work / "texts.json")]
    content = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return {key: float(value) for key, value in content.items()}


@contextmanager
def _server(folder: str, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = _free_port()
    words = [sys.executable, "-m", "multihot", "serve", folder, "--port", str(port)]
    with _running([*words, *options], port) as process:
        yield port, process


@contextmanager
def _tutorial(folder: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = _free_port()
    with _running([sys.executable, "-c", _TUTORIAL, folder, str(port)], port) as process:
        yield port, process


@contextmanager
def _running(words: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(port)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _wait_until_ready(port: int) -> None:
    for _ in range(1200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("a server does not start")


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _one_by_one(port: int, texts: list[str]) -> float:
    """Return the median milliseconds of one text on an idle server, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    seconds = []
    for text in texts:
        body = json.dumps({"texts": [text]})
        began = time.perf_counter()
        connection.request("POST", "/v1/predict", body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        seconds.append(time.perf_counter() - began)
        assert response.status == 200
    connection.close()
    return 1000 * statistics.median(seconds)


def _wrk(port: int, work: Path, seconds: float) -> float:
    """Return the requests that were answered in a second, with 64 clients."""
    words = ["wrk", "-t1", f"-c{_CLIENTS}", f"-d{seconds:.0f}s", "--timeout", "30s"]
    words += ["-s", str(work / "load.lua"), f"http://127.0.0.1:{port}/v1/predict"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said:
        raise SystemExit(said)
    match = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert match is not None
    return float(match[1])


def _overload(
    folder: str, texts: list[str], capacity: float, given: argparse.Namespace
) -> dict[str, str]:
    """Ask at ten times the capacity, and see how long it takes until all is as before."""
    seconds = given.overload_seconds
    with _server(folder, "--workers", str(given.workers)) as (port, _):
        before = _one_by_one(port, texts[:30])
        spent = time.process_time()
        outcomes = asyncio.run(ask_at_rate(port, texts, rate=10 * capacity, seconds=seconds))
        spent = (time.process_time() - spent) / seconds
        ended = time.monotonic()
        while _one_by_one(port, texts[:5]) > 2 * before and time.monotonic() - ended < 30:
            pass
        recovered = time.monotonic() - ended
    good = [each for each in outcomes if each.status == 200 and each.answered <= seconds]
    refused = sorted(each.answered - each.due for each in outcomes if each.status == 429)
    late = _share(refused, 0.99)
    return {
        "overload_goodput": f"{len(good) / seconds / capacity:.2f}",
        "refused_p50_ms": f"{1000 * _share(refused, 0.5):.0f}",
        "refused_p99_ms": f"{1000 * late:.0f}",
        "other_statuses": _others(outcomes),
        "client_processors": f"{spent:.2f}",
        "normal_after_seconds": f"{recovered:.1f}",
    }


def _share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def _others(outcomes: list[Outcome]) -> str:
    others = [each.status for each in outcomes if each.status not in (200, 429)]
    return " ".join(f"{status}:{others.count(status)}" for status in sorted(set(others)))


def _memory(folder: str) -> dict[str, str]:
    """Return the memory of a server, shared pages counted once, and what a second worker adds."""
    found = []
    for workers in ("1", "2"):
        with _server(folder, "--workers", workers) as (port, process):
            time.sleep(2)
            _one_by_one(port, ["a"] * 20)
            found.append(sum(map(_proportional_megabytes, [process.pid, *_children(process.pid)])))
    return {"memory_mb": f"{found[0]:.0f}", "second_worker_mb": f"{found[1] - found[0]:.0f}"}


def _children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(each) for each in path.read_text("ascii").split()]


def _proportional_megabytes(process: int) -> float:
    content = Path(f"/proc/{process}/smaps_rollup").read_text("ascii")
    match = re.search(r"^Pss:\s+(\d+) kB", content, re.MULTILINE)
    assert match is not None
    return int(match[1]) / 1024


if __name__ == "__main__":
    main()
