"""One classifier, many threads: whether all scores are right, and how many more texts are served.

    python benchmarks/threads.py                # 8 threads x 1000 calls: about ten minutes on two cores
    python benchmarks/threads.py --calls 100
    python benchmarks/threads.py --models onnx=EXPORT openvino=EXPORT onnx-by-openvino=EXPORT:openvino

Each call asks for one text that no other call has. The model is the demo's: starter encoder, trained
for one epoch, once with each pooling, or a given folder, such as an export; NAME=FOLDER:BACKEND takes a
backend. Cold: all threads begin at once on a classifier that has answered
nothing. Warm: it has answered a large call, so its weights are laid out. A score is wrong that differs by more than
1e-5 from what one large call of another classifier gives. Throughput: texts a second of all threads, over those
of one thread, in interleaved rounds; both may use every processor. One row for each goes into `results/`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.options import TrainOptions
from multihot.data.labelled_file import read_examples
from multihot.demo import demo_data
from multihot.inference.predictor import Predictor
from multihot.workflows.train import train
from provenance import append_row, provenance

_RESULTS = "threads_202611.csv"
_TOLERANCE = 1e-5


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--calls", type=int, default=1000, help="of each thread")
    parser.add_argument("--rounds", type=int, default=3, help="of throughput, a tenth of the calls")
    parser.add_argument("--poolings", nargs="+", default=["cls", "mean"])
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER[:BACKEND]",
        help="instead of the demo's",
    )
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def _texts(number: int) -> list[str]:
    """Return as many different texts of one or two sentences."""
    sentences = read_examples(demo_data()["train"], labels="ignore").texts
    random = np.random.default_rng(0)
    found: dict[str, None] = {}
    while len(found) < number:
        chosen = random.integers(len(sentences), size=random.integers(1, 3))
        found[" ".join(sentences[each] for each in chosen) + f" {len(found)}"] = None
    return list(found)


def _model(pooling: str, folder: Path) -> Path:
    training, validation = (read_examples(demo_data()[part]) for part in ("train", "validation"))
    train(training, validation, TrainOptions(epochs=1, pooling=pooling), folder)
    return folder


def _answers(
    predictor: Predictor, texts: Sequence[str], num_threads: int
) -> tuple[npt.NDArray[np.float32], int, float]:
    """Return scores in order, how many calls raised, and the seconds all took."""
    scores = np.full((len(texts), len(predictor.space)), np.nan, dtype=np.float32)
    errors = [0] * num_threads
    start = threading.Barrier(num_threads + 1)

    def work(thread: int) -> None:
        start.wait()
        for number in range(thread, len(texts), num_threads):
            try:
                scores[number] = predictor.scores([texts[number]])[0]
            except Exception:  # noqa: BLE001 - any error counts
                errors[thread] += 1

    with ThreadPoolExecutor(num_threads) as pool:
        running = [pool.submit(work, thread) for thread in range(num_threads)]
        start.wait()
        began = time.perf_counter()
        for each in running:
            each.result()
    return scores, sum(errors), time.perf_counter() - began


def _measure(
    folder: Path, given: argparse.Namespace, *, name: str = "", backend: str = "auto"
) -> list[dict[str, object]]:
    texts = _texts(given.threads * given.calls)
    one = Predictor.load(folder, device="cpu", backend=backend)
    expected, pooling = one.scores(texts), one.artifact.pooling
    rows: list[dict[str, object]] = []
    for start in ("cold", "warm"):
        predictor = Predictor.load(folder, device="cpu", backend=backend)
        if start == "warm":
            predictor.scores(texts[:200])
        scores, errors, _ = _answers(predictor, texts, given.threads)
        wrong = int((~(np.abs(scores - expected) <= _TOLERANCE)).any(axis=1).sum()) - errors
        some = texts[:: max(1, len(texts) // given.calls)]
        ratios = []
        for _ in range(given.rounds):
            alone, together = (_answers(predictor, some, each)[2] for each in (1, given.threads))
            ratios.append(alone / together)
        row = {
            "pooling": pooling,
            "start": start,
            "threads": given.threads,
            "calls": len(texts),
            "wrong": wrong,
            "errors": errors,
            "largest_difference": f"{np.nanmax(np.abs(scores - expected)):.1e}",
            **_summary(ratios),
            **({"model": name} if name else {}),
        }
        print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
        rows.append(row)
    return rows


def _summary(ratios: Sequence[float]) -> dict[str, str]:
    if not ratios:
        return {}
    return {
        "throughput_ratio": f"{statistics.median(ratios):.2f}",
        "throughput_ratio_range": f"{min(ratios):.2f} to {max(ratios):.2f}",
    }


def _measured(given: argparse.Namespace, scratch: Path) -> Iterator[dict[str, object]]:
    for each in given.models:
        name, _, place = each.partition("=")
        folder, _, backend = place.partition(":")
        yield from _measure(Path(folder), given, name=name, backend=backend or "auto")
    for pooling in () if given.models else given.poolings:
        yield from _measure(_model(pooling, scratch / pooling), given)


def main() -> int:
    """Measure, print, append."""
    given = _arguments()
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        for row in _measured(given, Path(scratch)):
            bad += int(str(row["wrong"])) + int(str(row["errors"]))
            if not given.no_row:
                append_row(_RESULTS, {**row, **provenance()})
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
