"""Measure what an export saves: speed, cold start and memory, beside the pipeline of transformers.

    python benchmarks/shipping.py TEXTS --pipeline CLS_MODEL torch=MODEL onnx=EXPORT int8=EXPORT ...

Each NAME=FOLDER is a model folder; NAME=FOLDER:BACKEND takes a backend. The pipeline runs CLS_MODEL, a
folder that transformers loads, at its fastest batch size over texts that are sorted by length. Speed is
that of one thread, texts in and labels out, all contenders in turn; ratios are medians over rounds.
A cold start is a process of its own that labels one text and ends. One row for each contender goes into
`results/`.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from export_rivals import fastest_pipeline, interleaved
from multihot.core.instruction_set import instruction_set
from provenance import provenance
from show import show_and_keep

_TEXT = "I'm happy, the bert model is so good"
_PIPELINE = """
import sys, torch
from transformers import pipeline
torch.set_num_threads(1)
made = pipeline("text-classification", model=sys.argv[1], top_k=None, device="cpu")
print(made(sys.argv[2])[0])
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("texts", type=Path, help="labelled or unlabelled file of texts")
    parser.add_argument("contenders", nargs="+", metavar="NAME=FOLDER[:BACKEND]")
    parser.add_argument("--pipeline", required=True, metavar="FOLDER")
    parser.add_argument("--most", type=int, default=800, help="texts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def main() -> None:
    """Measure, print and add the rows."""
    given, born = _arguments(), provenance()
    folders = dict(each.split("=", 1) for each in given.contenders)
    # Before anything is loaded: the memory of a process counts from that of its parent.
    cold = {
        name: _cold_start(name, folder, given.rounds)
        for name, folder in {"pipeline": given.pipeline, **folders}.items()
    }
    texts = _texts(given.texts)[: given.most]
    calls = {name: _predict(folder, texts) for name, folder in folders.items()}
    pipeline = fastest_pipeline(given.pipeline, sorted(texts, key=len))
    seconds = interleaved({"pipeline": pipeline, **calls}, given.rounds)
    rows = []
    for name in seconds:
        own = seconds[name]
        cpu, wall, peak = cold[name]
        rows.append(
            {
                "contender": name,
                "texts_per_cpu_second": f"{len(texts) / min(own):.0f}",
                "cpu_times_pipeline": f"{_ratio(seconds['pipeline'], own):.2f}",
                "cold_cpu_seconds": f"{cpu:.2f}",
                "cold_wall_seconds": f"{wall:.2f}",
                "cold_peak_mb": f"{peak:.0f}",
                "instruction_set": instruction_set(),
            }
        )
    show_and_keep("shipping_202611.csv", rows, born, keep=not given.no_row)


def _texts(path: Path) -> list[str]:
    from multihot.data.labelled_file import read_examples

    return list(read_examples(path).texts)


def _predict(folder: str, texts: list[str]) -> Callable[[], object]:
    from multihot.inference.predictor import Predictor

    path, _, backend = folder.partition(":")
    predictor = Predictor.load(path, device="cpu", backend=backend or "auto")
    return lambda: predictor.predict(texts)


def _ratio(reference: list[float], own: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(reference, own, strict=True))


def _cold_start(name: str, folder: str, rounds: int) -> tuple[float, float, float]:
    """Return least CPU seconds, least wall seconds and peak memory in MB of a process for one text."""
    path, _, backend = folder.partition(":")
    words = [sys.executable, "-m", "multihot", "predict", path, _TEXT]
    if name == "pipeline":
        words = [sys.executable, "-c", _PIPELINE, path, _TEXT]
    elif backend:
        words += ["--backend", backend]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = []
    for _ in range(rounds):
        began = time.perf_counter()
        process = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{words} ended with status {status}")
        runs.append((used.ru_utime + used.ru_stime, time.perf_counter() - began, _megabytes(used)))
    return min(run[0] for run in runs), min(run[1] for run in runs), max(run[2] for run in runs)


def _megabytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / (1024 if sys.platform.startswith("linux") else 1024**2)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
