"""Label a file with and without Ray, in turn, and once more while its workers are killed; compare the files.

    python benchmarks/ray_predict.py MODEL TWEETS --texts 100000 --actors 2 --kills 10

Texts of a labelled file are repeated under ids of their own. Every run is one command in a process of
its own, starting included; plain `predict` has as many threads as Ray has actors of one thread. The
rounds alternate plain and Ray; `overhead` is the median of their ratios, `cpu_overhead` that of processor
seconds of all processes, which other work on the machine disturbs less. In the last run a process that
has the model gets a SIGKILL each time another part of the file is done. Exit code 0 if no id is lost or
doubled, the file with kills equals that without to the last byte, and no label differs from those of plain
`predict`, else 1. (Scores of several threads may differ in the last digit.) One row goes into `results/`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from multihot.core.block_output import record_path
from provenance import append_row, provenance
from texts import read_rows

_LOOK_SECONDS = 0.02
_SAMPLE_SECONDS = 0.5


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", help="a model folder or an export")
    parser.add_argument("tweets", help="a labelled file whose texts are repeated")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="decides who is killed")
    parser.add_argument("--results", default="ray_predict_202611.csv")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def _write_texts(given: argparse.Namespace, path: Path) -> Path:
    texts = read_rows(given.tweets).texts
    with path.open("w", encoding="utf-8") as handle:
        for number in range(given.texts):
            row = {"id": f"row-{number}", "text": texts[number % len(texts)]}
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    seconds: float
    cpu_seconds: float


def _run(given: argparse.Namespace, source: Path, output: Path, *, kills: int = 0) -> Cost:
    """Run the command; return what it took."""
    command = [sys.executable, "-m", "multihot", "predict", given.model, "--input", str(source)]
    command += ["--output", str(output), "--quiet", "data.text_column=text", "data.id_column=id"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.actors)}
    if output.name.startswith("ray"):
        command += ["--engine", "ray", "--actors", str(given.actors)]
        del environment["OMP_NUM_THREADS"]  # Ray gives each of its actors one thread
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment)
    used: dict[int, float] = {}
    sampler = threading.Thread(target=_sample, args=(process, used))
    sampler.start()
    if kills:
        _kill(process, given, record_path(output))
    failed = process.wait()
    seconds = time.monotonic() - began
    sampler.join()
    if failed:
        raise SystemExit(f"{' '.join(command)} failed.")
    return Cost(seconds, sum(used.values()))


def _sample(process: subprocess.Popen[bytes], used: dict[int, float]) -> None:
    """Note the processor seconds of a process and of all below it, while it runs."""
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            for each in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    times = each.cpu_times()
                    used[each.pid] = times.user + times.system
        time.sleep(_SAMPLE_SECONDS)


def _kill(process: subprocess.Popen[bytes], given: argparse.Namespace, record: Path) -> None:
    """Kill workers while the command runs, spread over the file."""
    chosen = random.Random(given.seed)
    for number in range(1, given.kills + 1):
        while process.poll() is None and _done(record) < given.texts * number // (given.kills + 1):
            time.sleep(_LOOK_SECONDS)
        while process.poll() is None and not (workers := _workers(process.pid)):
            time.sleep(_LOOK_SECONDS)
        if process.poll() is not None:
            raise SystemExit(f"The command ended before {given.kills} workers could be killed.")
        os.kill(chosen.choice(workers), signal.SIGKILL)
        time.sleep(1.0)  # until the system has ended it


def _done(record: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(json.loads(record.read_text("utf-8"))["done_rows"])
    return 0


def _workers(parent: int) -> list[int]:
    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(parent).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "MapWorker" in " ".join(process.cmdline()):
                    found.append(process.pid)
    return found


def _ids(path: Path) -> Counter[str]:
    with path.open(encoding="utf-8") as lines:
        return Counter(json.loads(line)["id"] for line in lines)


def _other_labels(one: Path, other: Path) -> int:
    """Return how many lines of two files have other labels."""
    with one.open(encoding="utf-8") as these, other.open(encoding="utf-8") as those:
        pairs = zip(map(json.loads, these), map(json.loads, those), strict=True)
        return sum(a["labels"] != b["labels"] or a["id"] != b["id"] for a, b in pairs)


def main() -> int:
    """Run the benchmark."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _write_texts(given, folder / "texts.jsonl")
        plain, ray, killed = (folder / f"{each}.jsonl" for each in ("plain", "ray", "ray-killed"))
        costs: dict[str, list[Cost]] = {"plain": [], "ray": []}
        for _ in range(given.rounds):
            for output in (plain, ray):
                for path in (output, record_path(output)):
                    path.unlink(missing_ok=True)
                costs[output.stem].append(_run(given, source, output))
                print(output.stem, costs[output.stem][-1], flush=True)
        with_kills = _run(given, source, killed, kills=given.kills)
        print(f"with {given.kills} kills", with_kills, flush=True)
        ids = _ids(killed)
        lost = given.texts - len(ids)
        doubled = sum(count - 1 for count in ids.values())
        equal = ray.read_bytes() == killed.read_bytes()
        other_labels = _other_labels(plain, ray) if equal else given.texts
        equal_to_plain = plain.read_bytes() == ray.read_bytes()
    pairs = list(zip(costs["plain"], costs["ray"], strict=True))
    plain_costs = costs["plain"]
    row = {
        "model": Path(given.model).name,
        "texts": given.texts,
        "actors": given.actors,
        "kills": given.kills,
        "lost": lost,
        "doubled": doubled,
        "killed_equal_bytes": equal,
        "other_labels_than_plain": other_labels,
        "plain_equal_bytes": equal_to_plain,
        "plain_seconds": round(statistics.median(each.seconds for each in plain_costs), 1),
        "ray_seconds": round(statistics.median(each.seconds for each in costs["ray"]), 1),
        "ray_killed_seconds": round(with_kills.seconds, 1),
        "overhead": round(statistics.median(b.seconds / a.seconds for a, b in pairs) - 1, 3),
        "overhead_killed": round(
            with_kills.seconds / statistics.median(each.seconds for each in plain_costs) - 1, 3
        ),
        "cpu_overhead": round(
            statistics.median(b.cpu_seconds / a.cpu_seconds for a, b in pairs) - 1, 3
        ),
        "cpu_overhead_killed": round(
            with_kills.cpu_seconds / statistics.median(each.cpu_seconds for each in plain_costs)
            - 1,
            3,
        ),
    }
    print(json.dumps(row, indent=2))
    if not given.no_row:
        append_row(given.results, {**row, **provenance()})
    return 0 if equal and not (lost or doubled or other_labels) else 1


if __name__ == "__main__":
    raise SystemExit(main())
