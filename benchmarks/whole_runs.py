"""Whole runs from the files to the finished model: the tutorial and the command line of multihot.

Both are processes of their own, timed from start to end with everything in between: imports,
tokenising, training, evaluation and saving after each epoch. Then both are judged on the same
validation rows by the same code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import environment, rival_versions
from memory import kilobytes
from multihot.core.labels import LabelSpace
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.evaluation.evaluator import report
from multihot.inference.predictor import Predictor
from multihot.models.encoder import locate_encoder
from provenance import RESULTS, append_row, provenance, stored_rows
from show import print_rows
from texts import read_rows, token_lengths
from tiny_model import command

__all__ = ["TUTORIAL", "Cost", "compare_equal", "run_contender", "run_whole", "timed"]

_FOLDER = Path(__file__).parent
_LOOK_SECONDS = 0.1
TUTORIAL = {
    "batch_size": 8,
    "learning_rate": 2e-5,
    "padding": "max_length",
    "precision": "fp32",
}
"""The tutorial's settings of `contenders.whole_trainer`."""


@dataclass(frozen=True)
class _Run:
    """What both sides of a comparison share."""

    train: Path
    validation: Path
    labels: tuple[str, ...]
    encoder: Path
    rivals: str
    epochs: int
    max_length: int
    threads: int
    goal: str
    ours: Sequence[str]


def run_whole(given: argparse.Namespace) -> None:
    """Run both sides once per seed, one after the other, and add their rows."""
    training = read_rows(given.train)
    validation = read_rows(given.validation, training.space)
    folder = locate_encoder(given.encoder).folder
    if given.rows:
        training = training.take(range(min(given.rows, len(training))))
    mean_tokens = float(token_lengths(training.texts, folder, given.max_length or 128).mean())
    with tempfile.TemporaryDirectory() as scratch:
        run = _Run(
            train=training.write(Path(scratch) / "train.jsonl"),
            validation=validation.write(Path(scratch) / "validation.jsonl"),
            labels=training.space,
            encoder=folder,
            rivals=given.rivals,
            epochs=given.epochs or 5,
            max_length=given.max_length or 128,
            threads=given.threads,
            goal=given.goal,
            ours=[*([f"epochs={given.epochs}"] if given.epochs else []), *given.ours],
        )
        for seed in given.seeds:
            found = []
            for side in (_tutorial, _ours):
                born = {**provenance(), **rival_versions(given.rivals)}
                output = Path(scratch) / f"{side.__name__.strip('_')}-{seed}"
                output.mkdir()
                found.append(
                    {
                        "data": training.name,
                        "training_rows": len(training),
                        "validation_rows": len(validation),
                        "mean_tokens": f"{mean_tokens:.1f}",
                        "seed": seed,
                        **side(run, output, seed),
                        "threads": run.threads,
                        **born,
                    }
                )
            found[1]["times_tutorial"] = (
                f"{float(str(found[0]['seconds'])) / float(str(found[1]['seconds'])):.3g}"
            )
            results = given.results or "finetune_whole_202611.csv"
            print_rows(results, found)
            if not given.no_row:
                for row in found:
                    append_row(results, row)


def _tutorial(run: _Run, output: Path, seed: int) -> dict[str, object]:
    setting = {
        "train": str(run.train),
        "validation": str(run.validation),
        "labels": run.labels,
        "encoder": str(run.encoder),
        "epochs": run.epochs,
        **TUTORIAL,
        "max_length": run.max_length,
        "threads": run.threads,
        "device": "cpu",
        "seed": seed,
        "score": {"logits": str(run.validation)},
        "output": str(output),
    }
    cost = run_contender(run.rivals, "whole_trainer", setting)
    examples = _validation(run)
    logits = np.load(output / "logits.npy").astype(np.float32)
    half = _half(run)
    return {
        "contender": "tutorial",
        "setting": f"epochs={run.epochs} batch 8, rate 2e-5, pad {run.max_length}, fp32",
        **cost.row(),
        **_quality(run, half, logits, examples),
    }


def _ours(run: _Run, output: Path, seed: int) -> dict[str, object]:
    names = output / "labels.txt"
    names.write_text("\n".join(run.labels) + "\n", "utf-8")
    words = [
        *("train", str(run.train)),
        *("--validation", str(run.validation), "--encoder", str(run.encoder)),
        *("--goal", run.goal, "--output", str(output / "model")),
        f"data.label_names={names}",  # a few rows may lack a label
        *(f"seed={seed}", f"threads={run.threads}", *run.ours),
    ]
    cost = timed(command(words), output, run.threads)
    examples = _validation(run)
    predictor = Predictor.load(output / "model", device="cpu")
    logits, _ = predictor.logits(examples.texts)
    return {
        "contender": "ours",
        "setting": " ".join(run.ours) or "defaults",
        **cost.row(),
        **_quality(run, predictor.decision, logits, examples),
    }


@dataclass(frozen=True)
class Cost:
    """What a process cost; `peak_mb` is the most of its memory that was resident, in 10^6 bytes."""

    seconds: float
    cpu_seconds: float
    peak_mb: float

    def row(self) -> dict[str, str]:
        """Return the columns of a row."""
        return {
            "seconds": f"{self.seconds:.1f}",
            "cpu_seconds": f"{self.cpu_seconds:.1f}",
            "peak_mb": f"{self.peak_mb:.0f}",
        }


def run_contender(python: str, module: str, setting: Mapping[str, Any]) -> Cost:
    """Run a module of `contenders` with its setting, which names the folder and the threads, too.

    The cost is that of the finished model, without the scoring of texts behind it; the memory is that of both.
    """
    path = Path(setting["output"]) / "setting.json"
    path.write_text(json.dumps(setting), "utf-8")
    words, began = [python, "-m", f"contenders.{module}", str(path)], time.monotonic()
    whole = timed(words, path.parent, setting["threads"])
    noted = json.loads((path.parent / "finished.json").read_text("utf-8"))
    return Cost(noted["clock"] - began, noted["cpu_seconds"], whole.peak_mb)


def timed(
    words: Sequence[str], output: Path, threads: int, settings: Mapping[str, str] | None = None
) -> Cost:
    """Run a process to its end, with `settings` in its environment; return what it cost."""
    began, peak = time.perf_counter(), 0
    with (output / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            words,
            cwd=_FOLDER,
            env=environment(threads) | dict(settings or {}),
            stdout=log,
            stderr=log,
        )
        ended = 0
        while not ended:
            time.sleep(_LOOK_SECONDS)
            # What wait4 knows of memory counts the parent's, too.
            peak = max(peak, kilobytes(Path(f"/proc/{process.pid}/status"), "VmHWM:"))
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
    seconds = time.perf_counter() - began
    if status != 0:
        tail = (output / "log.txt").read_text("utf-8", "replace")[-3000:]
        raise SystemExit(f"{words[0]} failed:\n{tail}")
    print(f"{output.name}: {seconds:.0f} s", flush=True)
    return Cost(seconds, used.ru_utime + used.ru_stime, peak * 1024 / 1e6)


def _validation(run: _Run) -> Examples:
    return read_examples(run.validation, space=LabelSpace(run.labels))


def _half(run: _Run) -> Decision:
    return Decision(LabelSpace(run.labels), (0.5,) * len(run.labels), run.goal, "fixed")


def _quality(
    run: _Run, decision: Decision, logits: npt.NDArray[np.float32], examples: Examples
) -> dict[str, str]:
    """Judge as the side itself decides, at 0.5, and with one threshold fitted on these rows."""
    assert examples.labels is not None
    assert decision.space.names == run.labels
    rows = FittingRows.of_labels(decision.space, logits, examples.labels, examples.texts)
    options = DecisionOptions(run.goal)
    fitted = fit(decision.space, rows, options, source=run.validation.name).decision
    return {
        **_columns(report(decision, logits, examples).metrics, "validation"),
        **_columns(report(_half(run), logits, examples).metrics, "at_half"),
        **_columns(report(fitted, logits, examples).metrics, "fitted"),
    }


def _columns(metrics: object, part: str) -> dict[str, str]:
    assert isinstance(metrics, dict)
    return {f"{part}_{name}": f"{metrics[name] or 0:.4f}" for name in ("jaccard", "micro_f1")}


def compare_equal(file_name: str) -> None:
    """Print the time to finish of every setting of ours that is as good as the tutorial."""
    path = RESULTS / file_name
    if not path.exists():
        raise SystemExit(f"{path} does not exist: run 'finetune.py whole' first.")
    for text in equal_quality(stored_rows(file_name)):
        print(text)


def equal_quality(rows: Sequence[dict[str, str]]) -> list[str]:
    """Say for each data set how fast each setting of ours is as good as the tutorial, or not."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(
            tuple(row[key] for key in ("data", "training_rows", "threads")), []
        ).append(row)
    said = []
    for (data, num_rows, threads), group in groups.items():
        said.append(f"{data}, {num_rows} training rows, {threads} threads")
        settings = dict.fromkeys((row["contender"], row["setting"]) for row in group)
        for rival in [key for key in settings if key[0] == "tutorial"]:
            base = [row for row in group if (row["contender"], row["setting"]) == rival]
            said.append(f"  tutorial, {rival[1]}: {_summary(base)}")
            for key in [key for key in settings if key[0] == "ours"]:
                own = [row for row in group if (row["contender"], row["setting"]) == key]
                times = _mean(base, "seconds") / _mean(own, "seconds")
                good = _mean(own, "fitted_jaccard") >= _mean(base, "fitted_jaccard")
                verdict = "equal or better" if good else "WORSE, so not a comparison"
                said.append(f"  ours, {key[1]}: {_summary(own)}: {times:.1f} x, {verdict}")
    return said


def _summary(rows: Sequence[dict[str, str]]) -> str:
    spread = [float(row["fitted_jaccard"]) for row in rows]
    return (
        f"{_mean(rows, 'seconds'):.0f} s, Jaccard with a fitted threshold {mean(spread):.4f} "
        f"({min(spread):.4f} to {max(spread):.4f} over {len(rows)} seeds), "
        f"as decided {_mean(rows, 'validation_jaccard'):.4f}"
    )


def _mean(rows: Sequence[dict[str, str]], column: str) -> float:
    return mean(float(row[column]) for row in rows)
