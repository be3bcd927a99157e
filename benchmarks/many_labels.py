"""What many labels cost: training memory, time of a step, evaluate and decide.

    python benchmarks/many_labels.py --rows 100000 --labels 10000 --dev-rows 10000
    python benchmarks/many_labels.py --zipf --rows 20000 --labels 100000 --dev-rows 1000

A BERT of one layer (384 wide) is trained on beginnings of 16 tokens for one epoch in a process of its own, first with 100 labels
and then with all, on the same texts. Training memory is the peak that the second has beyond the first,
less what its larger head needs itself (weights, gradients and two moments, fp32). The time of a step is
compared with the product of the head alone: its forward and backward pass on as many rows. Both are
CPU seconds, since other programs may keep the machine busy.

With `--zipf` the k-th label is drawn in proportion to 1 / k, batches have 32 rows, the validation rows are
the dev rows, and what is measured is the whole of `train`, `predict --top 5`, `evaluate` and `decide`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from provenance import append_row, provenance
from tiny_model import command, environment, write_encoder, write_rows, write_zipf_rows

FEW, HIDDEN, BATCH_SIZE, MAX_LENGTH = 100, 384, 64, 16
_CPU_CLOCK = "import time; time.monotonic = time.process_time; "  # what tokens per second are of
_STATES = 4  # weights, gradients, and two moments of Adam


@dataclass(frozen=True)
class Cost:
    """What a process cost."""

    cpu_seconds: float
    peak_bytes: int


def main() -> None:
    """Read the command line, measure, print, and add a row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=10_000)
    parser.add_argument("--dev-rows", type=int, default=10_000)
    parser.add_argument(
        "--zipf", action="store_true", help="frequencies after Zipf; whole commands"
    )
    given = parser.parse_args()
    if given.zipf:
        _measure_zipf(given.rows, given.labels, given.dev_rows)
        return
    born = provenance()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        encoder = write_encoder(scratch / "encoder", HIDDEN)
        costs, steps = {}, {}
        for labels in (FEW, given.labels):
            folder = scratch / str(labels)
            folder.mkdir()
            costs[labels] = _train(folder, encoder, given.rows, labels)
            steps[labels] = _seconds_of_step(folder, given.rows)
            print(
                f"{labels} labels: {costs[labels]}, {steps[labels] * 1e3:.1f} ms a step", flush=True
            )
        folder = scratch / str(given.labels)
        dev = str(write_rows(folder / "more.jsonl", given.dev_rows, given.labels))
        others = {}
        for verb in ("evaluate", "decide"):
            others[verb] = _run([verb, str(folder / "model"), dev])
            print(f"{verb}: {others[verb]}", flush=True)
    head = (given.labels - FEW) * (HIDDEN + 1) * 4 * _STATES
    extra = costs[given.labels].peak_bytes - costs[FEW].peak_bytes - head
    product = _seconds_of_product(given.labels) - _seconds_of_product(FEW)
    row = {
        "rows": given.rows,
        "labels": given.labels,
        "training_memory_mb": f"{extra / 1e6:.0f}",
        "step_ms": f"{steps[given.labels] * 1e3:.1f}",
        "step_ms_of_100_labels": f"{steps[FEW] * 1e3:.1f}",
        "head_product_ms": f"{product * 1e3:.1f}",
        "step_over_head_product": f"{(steps[given.labels] - steps[FEW]) / product:.2f}",
        "dev_rows": given.dev_rows,
        **{f"{verb}_cpu_seconds": f"{cost.cpu_seconds:.0f}" for verb, cost in others.items()},
        **{f"{verb}_peak_mb": f"{cost.peak_bytes / 1e6:.0f}" for verb, cost in others.items()},
    }
    print(json.dumps(row, indent=2))
    append_row("many_labels_202611.csv", {**row, **born})


def _measure_zipf(rows: int, labels: int, dev_rows: int) -> None:
    born = provenance()
    row: dict[str, object] = {"rows": rows, "labels": labels, "dev_rows": dev_rows}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        encoder = write_encoder(scratch / "encoder", HIDDEN)
        train = str(write_zipf_rows(scratch / "train.jsonl", rows, labels, covers=True))
        dev = str(write_zipf_rows(scratch / "dev.jsonl", dev_rows, labels, covers=False))
        model = str(scratch / "model")
        options = ["batch_size=32", "epochs=1", "device=cpu", "threads=1"]
        options += [f"max_length={MAX_LENGTH}", "precision=fp32", "--output", model]
        verbs = {
            "train": [train, "--validation", dev, "--encoder", str(encoder), *options],
            "predict": [model, "--input", dev, "--json", "--top", "5"],
            "evaluate": [model, dev],
            "decide": [model, dev],
        }
        for verb, words in verbs.items():
            cost = _run([verb, *words])
            row |= {
                f"{verb}_cpu_seconds": f"{cost.cpu_seconds:.0f}",
                f"{verb}_peak_mb": f"{cost.peak_bytes / 1e6:.0f}",
            }
            print(f"{verb}: {cost}", flush=True)
        row["thresholds_json_mb"] = (
            f"{(scratch / 'model' / 'thresholds.json').stat().st_size / 1e6:.1f}"
        )
    print(json.dumps(row, indent=2))
    append_row("zipf_labels_202611.csv", {**row, **born})


def _train(folder: Path, encoder: Path, rows: int, labels: int) -> Cost:
    train = write_rows(folder / "train.jsonl", rows, labels)
    # Few validation rows: these are about training. Their labels are those of the training file.
    dev = write_rows(folder / "dev.jsonl", 500, labels)
    words = ["train", str(train), "--validation", str(dev), "--encoder", str(encoder)]
    options = [f"batch_size={BATCH_SIZE}", "epochs=1", "device=cpu", "threads=1"]
    options += [f"max_length={MAX_LENGTH}", "precision=fp32"]
    return _run([*words, "--output", str(folder / "model"), *options], before=_CPU_CLOCK)


def _run(words: list[str], before: str = "") -> Cost:
    process = subprocess.Popen(
        command(words, before),
        env=environment() | {"MULTIHOT_CACHE": "off"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(said.decode()[-2000:])
    scale = 1 if sys.platform == "darwin" else 1024
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * scale)


def _seconds_of_step(folder: Path, rows: int) -> float:
    """Return the median time of a step."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    with (folder / "train.jsonl").open(encoding="utf-8") as handle:
        texts = [json.loads(line)["text"] for line in handle]
    tokens = sum(len(each) for each in tokenizer.encode_batch(texts))
    with (folder / "model" / "run" / "metrics.jsonl").open(encoding="utf-8") as handle:
        found = [json.loads(line) for line in handle]
    speeds = [each["tokens_per_second"] for each in found if "tokens_per_second" in each]
    return tokens / (rows / BATCH_SIZE) / statistics.median(speeds)


def _seconds_of_product(labels: int) -> float:
    """Return the fastest forward and backward pass of a head."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs = torch.randn(BATCH_SIZE, HIDDEN, requires_grad=True)
    head = torch.nn.Linear(HIDDEN, labels)
    gradient = torch.randn(BATCH_SIZE, labels)
    seconds = []
    for _ in range(50):
        head.zero_grad()
        started = time.process_time()
        head(inputs).backward(gradient)
        seconds.append(time.process_time() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
