"""Label a file with and without Ray, in turn, and once more while its workers are killed; compare the files.

    python benchmarks/ray_predict.py MODEL TWEETS --texts 100000 --actors 2 --kills 10

Texts of a labelled file are repeated under ids of their own. Every run is one command in a process of
its own, starting included; plain `predict` has as many threads as Ray has actors of one thread. The
rounds alternate plain and Ray; `overhead` is the median of their ratios. In the last run a process that
has the model gets a SIGKILL each time another part of the file is done. Exit code 0 if no id is lost or
doubled and the files are equal to the last byte, else 1. One row goes into `results/`.
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
import time
from collections import Counter
from pathlib import Path

import psutil

from multihot.core.block_output import record_path
from provenance import append_row, provenance
from texts import read_rows

_LOOK_SECONDS = 0.02


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


def _run(given: argparse.Namespace, source: Path, output: Path, *, kills: int = 0) -> float:
    """Run the command; return its seconds."""
    command = [sys.executable, "-m", "multihot", "predict", given.model, "--input", str(source)]
    command += ["--output", str(output), "--quiet", "data.text_column=text", "data.id_column=id"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.actors)}
    if output.name.startswith("ray"):
        command += ["--engine", "ray", "--actors", str(given.actors)]
        del environment["OMP_NUM_THREADS"]  # Ray gives each of its actors one thread
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment)
    if kills:
        _kill(process, given, record_path(output))
    if process.wait():
        raise SystemExit(f"{' '.join(command)} failed.")
    return time.monotonic() - began


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


def main() -> int:
    """Run the benchmark."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _write_texts(given, folder / "texts.jsonl")
        plain, ray, killed = (folder / f"{each}.jsonl" for each in ("plain", "ray", "ray-killed"))
        seconds: dict[str, list[float]] = {"plain": [], "ray": []}
        for _ in range(given.rounds):
            for output in (plain, ray):
                for path in (output, record_path(output)):
                    path.unlink(missing_ok=True)
                seconds[output.stem].append(_run(given, source, output))
                print(f"{output.stem}: {seconds[output.stem][-1]:.1f} s", flush=True)
        with_kills = _run(given, source, killed, kills=given.kills)
        print(f"with {given.kills} kills: {with_kills:.1f} s", flush=True)
        ids = _ids(killed)
        lost = given.texts - len(ids)
        doubled = sum(count - 1 for count in ids.values())
        equal = plain.read_bytes() == ray.read_bytes() == killed.read_bytes()
    ratios = [ray / plain for ray, plain in zip(seconds["ray"], seconds["plain"], strict=True)]
    row = {
        "model": Path(given.model).name,
        "texts": given.texts,
        "actors": given.actors,
        "kills": given.kills,
        "lost": lost,
        "doubled": doubled,
        "equal_bytes": equal,
        "plain_seconds": round(statistics.median(seconds["plain"]), 1),
        "ray_seconds": round(statistics.median(seconds["ray"]), 1),
        "ray_killed_seconds": round(with_kills, 1),
        "overhead": round(statistics.median(ratios) - 1, 3),
        "overhead_killed": round(with_kills / statistics.median(seconds["plain"]) - 1, 3),
    }
    print(json.dumps(row, indent=2))
    if not given.no_row:
        append_row(given.results, {**row, **provenance()})
    return 0 if equal and not lost and not doubled else 1


if __name__ == "__main__":
    raise SystemExit(main())
