"""How much memory a training run takes when its tokens are ten times larger than a limit.

    python benchmarks/training_memory.py
    python benchmarks/training_memory.py --limit-mb 64 --steps 0

Two runs of `multihot train` in processes of their own, with the same tiny random encoder: one on a
file whose tokens take a tenth of the limit, one on a file whose tokens take ten times the limit.
Both read, tokenise (from 16 MB of text on into a new cache), set validation rows aside and train;
after `--steps` steps a signal stops them, which makes them write a checkpoint. With `--steps 0` they
train a whole epoch, evaluate and save. Anonymous memory (`/proc/PID/smaps_rollup`: what is not the
page cache) is sampled from the start to the end; the growth is the difference of the two peaks. One
row goes into `results/`.

The long texts are rows of the demo data joined together, written to a temporary folder (`TMPDIR`).
Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from kill_and_resume import write_tiny_encoder
from provenance import append_row, provenance

_START = "import sys; from multihot.cli.main import main; sys.exit(main())"
_MAX_LENGTH = 512
_ROWS_JOINED = 40  # demo rows in one text: more than 512 tokens
_BYTES_PER_TOKEN = 2
_NUM_DIFFERENT = 499  # texts that are made; the rows of a file are these with a number before them
_MB = 2**20
_INTERRUPTED = 130  # exit code of a run that a signal stopped
_SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class Run:
    """One training run."""

    text_mb: float
    token_mb: float
    cache_mb: float
    """Everything the cache holds of the file."""
    peak_mb: float
    """Highest anonymous memory of the process."""
    minutes: float
    steps: int


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--limit-mb", type=float, default=16, help="a tenth of the large token file"
    )
    parser.add_argument("--steps", type=int, default=100, help="stop then; 0: train an epoch")
    parser.add_argument("--results", default="training_memory_202611.csv")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    parser.add_argument("assignments", nargs="*", metavar="key=value", help="options of the runs")
    return parser.parse_args()


def _write_rows(path: Path, num_rows: int) -> None:
    """Write JSON lines of texts of more than 512 tokens, one at a time."""
    lines = (files("multihot") / "demo_data" / "train.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    generator = np.random.default_rng(0)
    made = []
    for _ in range(_NUM_DIFFERENT):
        chosen = [rows[place] for place in generator.integers(len(rows), size=_ROWS_JOINED)]
        text = " ".join(row["text"] for row in chosen)
        made.append((json.dumps(text)[1:], json.dumps(chosen[0]["labels"])))
    with path.open("w", encoding="utf-8") as handle:
        for number in range(num_rows):
            text, labels = made[number % _NUM_DIFFERENT]
            handle.write(f'{{"text": "{number} {text}, "labels": {labels}}}\n')


def _anonymous_mb(process: int) -> float:
    """Return the anonymous memory of a process, 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def _steps(output: Path) -> int:
    """Return the last step in the log of a run."""
    try:
        lines = (output / "run" / "metrics.jsonl").read_text("utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return 0
    return max((json.loads(line)["step"] for line in lines if line.endswith("\n")), default=0)


def _train(
    folder: Path, name: str, num_rows: int, encoder: Path, *, options: list[str], steps: int
) -> Run:
    """Train on so many rows and watch the process."""
    data, output, cache = (
        folder / f"{name}.jsonl",
        folder / f"{name}-model",
        folder / f"{name}-cache",
    )
    _write_rows(data, num_rows)
    words = ["train", str(data), "--encoder", str(encoder), "--output", str(output)]
    words += ["epochs=1", f"max_length={_MAX_LENGTH}", "threads=1", "learning_rate=0.001", *options]
    environment = {**os.environ, "MULTIHOT_CACHE": str(cache), "TOKENIZERS_PARALLELISM": "false"}
    began, peak, stopped = time.monotonic(), 0.0, False
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *words], stdout=log, stderr=log, env=environment
        )
        while process.poll() is None:
            peak = max(peak, _anonymous_mb(process.pid))
            time.sleep(_SAMPLE_SECONDS)
            if steps and not stopped and _steps(output) >= steps:
                process.send_signal(signal.SIGTERM)
                stopped = True
    if process.returncode != (_INTERRUPTED if stopped else 0):
        raise SystemExit(f"The run failed:\n{(folder / f'{name}.log').read_text('utf-8')[-3000:]}")
    # A text file below 16 MB has no entry in the cache.
    sizes = {path.name: path.stat().st_size / _MB for path in cache.glob("tokens/*/*")}
    return Run(
        data.stat().st_size / _MB,
        sizes.get("ids.bin", 0.0),
        sum(sizes.values()),
        peak,
        (time.monotonic() - began) / 60,
        _steps(output),
    )


def main() -> None:
    """Run the benchmark."""
    given = _arguments()
    born = provenance()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        encoder = folder / "encoder"
        write_tiny_encoder(encoder, width=16, num_layers=1, max_length=_MAX_LENGTH, num_words=1500)
        options = ["batch_tokens=16384", *given.assignments]
        rows_per_limit = given.limit_mb * _MB / _BYTES_PER_TOKEN / _MAX_LENGTH
        runs = []
        for name, share in (("small", 0.1), ("large", 10)):
            # A few rows more, as some texts may be shorter than the longest allowed.
            num_rows = round(rows_per_limit * share * 1.01)
            run = _train(folder, name, num_rows, encoder, options=options, steps=given.steps)
            print(name, run, flush=True)
            runs.append(run)
    small, large = runs
    growth = large.peak_mb - small.peak_mb
    print(f"anonymous memory grew by {growth:.0f} MB")
    row = {
        "limit_mb": given.limit_mb,
        "token_file_mb": round(large.token_mb),
        "text_file_mb": round(large.text_mb),
        "steps": large.steps,
        "peak_small_mb": round(small.peak_mb),
        "peak_large_mb": round(large.peak_mb),
        "growth_mb": round(growth),
        "minutes": round(large.minutes, 1),
        **born,
    }
    if not given.no_row:
        print(f"added a row to {append_row(given.results, row)}")


if __name__ == "__main__":
    main()
