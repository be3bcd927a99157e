"""What pays: every loss, head and way of learning against plain cross-entropy, on validation rows.

    python benchmarks/ablation.py TRAIN VALIDATION --work DIR [--epochs 2] [--seeds 0] [--only NAME ...]

One model for each variant and seed; a finished one is not trained again, an interrupted one is gone
on with, so the command can be repeated until it is through. Decisions are cross-fitted: those of a
fifth of the validation rows come from thresholds fitted on the other four. Each row of
`results/ablation_202611.csv` has the figures of one variant and its difference from the `plain` one
of the same seed and epochs, with the 95 % interval of the paired bootstrap. Losers stay in the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import row_hashes
from multihot.core.options import TrainOptions
from multihot.core.recipes import build_options, updated
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.decision.fitting import NUM_FOLDS, DecisionOptions, FittingRows, fit, hashed_folds
from multihot.evaluation.paired_tests import Differences
from multihot.inference.predictor import Predictor
from multihot.workflows.train import train
from provenance import append_row, provenance, stored_rows

FILE = "ablation_202611.csv"
METRICS = ("jaccard", "micro_f1", "macro_f1")
GOAL = "jaccard"
PLAIN = "plain"

HEAD: dict[str, Any] = {"head_learning_rate": 1e-3}
FIRST: dict[str, Any] = {**HEAD, "pooling": "cls"}
ASYMMETRIC: dict[str, Any] = {"objective": {"loss": "asymmetric", "negative_gamma": 2.0}}
ZLPR: dict[str, Any] = {**HEAD, "objective": {"loss": "zlpr"}}
VARIANTS: dict[str, dict[str, Any]] = {
    # One learning rate for all, mean pooling, binary cross-entropy.
    PLAIN: {"head_learning_rate": 1e-4},
    # From here on the head learns at a rate of its own, the first choice that was made.
    "head rate": HEAD,
    "positive weight sqrt": {**HEAD, "objective": {"positive_weight": "sqrt"}},
    "focal": {**HEAD, "objective": {"loss": "focal"}},
    "asymmetric": {**HEAD, **ASYMMETRIC},
    "zlpr": ZLPR,
    "distribution balanced": {**HEAD, "objective": {"loss": "distribution_balanced"}},
    "label smoothing": {**HEAD, "objective": {"label_smoothing": 0.1}},
    "sqrt and smoothing": {
        **HEAD,
        "objective": {"positive_weight": "sqrt", "label_smoothing": 0.1},
    },
    "label correlation": {**HEAD, "objective": {"correlation_weight": 0.2}},
    "r-drop": {**HEAD, "objective": {"r_drop_weight": 1.0}},
    "first token": FIRST,
    "first token and focal": {**FIRST, "objective": {"loss": "focal"}},
    "first token and asymmetric": {**FIRST, **ASYMMETRIC},
    "first token and zlpr": {**FIRST, "objective": {"loss": "zlpr"}},
    "first token, zlpr, averages": {
        **FIRST,
        "objective": {"loss": "zlpr"},
        "weight_averaging": 0.99,
    },
    "first token, zlpr, averages, prior": {
        **FIRST,
        "objective": {"loss": "zlpr", "prior_adjustment": 0.3},
        "weight_averaging": 0.99,
    },
    "first token, zlpr, correlation": {
        **FIRST,
        "objective": {"loss": "zlpr", "correlation_weight": 0.2},
    },
    "first token and smoothing": {**FIRST, "objective": {"label_smoothing": 0.1}},
    "first token and sqrt": {**FIRST, "objective": {"positive_weight": "sqrt"}},
    "attention pooling": {**HEAD, "pooling": "attention"},
    "labels in the text": {**HEAD, "pooling": "labels"},
    "labels and correlation": {
        **HEAD,
        "pooling": "labels",
        "objective": {"correlation_weight": 0.2},
    },
    "labels and zlpr": {**ZLPR, "pooling": "labels"},
    "weight averaging": {**HEAD, "weight_averaging": 0.99},
    "layer decay": {**HEAD, "layer_decay": 0.9},
}

Decisions = npt.NDArray[np.bool_]


def main() -> None:
    """Train what is missing, then write the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("validation")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS], default=[*VARIANTS])
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    training = read_examples(given.train)
    assert training.labels is not None
    validation = read_examples(given.validation, training.data, space=training.labels.space)
    for seed in given.seeds:
        plain: Decisions | None = None
        for name in sorted(given.only, key=lambda one: one != PLAIN):
            folder = given.work / f"{name.replace(' ', '-')}-e{given.epochs}-s{seed}"
            common = {"goal": GOAL, "epochs": given.epochs, "seed": seed, "threads": given.threads}
            seconds = _train(folder, updated(VARIANTS[name], common), training, validation)
            decided = _decided(np.load(folder / "validation_logits.npy"), validation)
            plain = decided if name == PLAIN else plain
            if not _is_written(name, given.epochs, seed):
                row = {"variant": name, "epochs": given.epochs, "seed": seed}
                row["seconds"] = round(seconds)
                row |= _figures(decided, None if name == PLAIN else plain, validation)
                append_row(FILE, {**row, **provenance()})
                print(row, flush=True)


def _train(
    folder: Path, values: Mapping[str, Any], training: Examples, validation: Examples
) -> float:
    """Train unless it was done; keep the validation logits; return the seconds of training."""
    logits, stopwatch = folder / "validation_logits.npy", folder / "seconds.json"
    if logits.exists():
        return float(json.loads(stopwatch.read_text("utf-8")))
    began = time.perf_counter()
    options = build_options(TrainOptions, values)
    if not (folder / "thresholds.json").exists():
        train(training, validation, options, folder, resume=folder.exists())
    seconds = time.perf_counter() - began
    stopwatch.write_text(json.dumps(round(seconds)), "utf-8")
    np.save(logits, Predictor.load(folder).logits(validation.texts)[0])
    print(f"{folder.name}: {seconds:.0f} s", flush=True)
    return seconds


def _decided(logits: npt.NDArray[np.float32], validation: Examples) -> Decisions:
    """Return decisions on rows by thresholds that were fitted on other rows. *Shape:* (N, L)."""
    assert validation.labels is not None
    labels = validation.labels
    rows = FittingRows(logits, labels.values, row_hashes(validation.texts, labels))
    folds = hashed_folds(rows.hashes, labels.values == 1, NUM_FOLDS)
    decided = np.zeros(labels.values.shape, dtype=np.bool_)
    for fold in range(NUM_FOLDS):
        kept, left = folds != fold, folds == fold
        decision = fit(labels.space, rows.take(kept), DecisionOptions(GOAL)).decision
        decided[left] = decision.decide(decision.scores(logits[left]))
    return decided


def _is_written(name: str, epochs: int, seed: int) -> bool:
    wanted = (name, str(epochs), str(seed))
    return any(wanted == (r["variant"], r["epochs"], r["seed"]) for r in stored_rows(FILE))


def _figures(
    decided: Decisions, plain: Decisions | None, validation: Examples
) -> dict[str, object]:
    """Return each metric, and its difference from the plain decisions where there are some."""
    assert validation.labels is not None
    truth = validation.labels.values
    pair = decided, decided if plain is None else plain
    differences = Differences(len(truth), truth.shape[1])
    differences.update(truth, pair, [one.astype(np.float32) for one in pair])
    found, _ = differences.result()
    row: dict[str, object] = {}
    for metric in METRICS:
        first = found[metric].first
        assert first is not None
        row[metric] = round(first, 4)
        for part in ("difference", "low", "high") if plain is not None else ():
            value = getattr(found[metric], part)
            row[f"{metric}_{part}"] = "" if value is None else round(value, 4)
    return row


if __name__ == "__main__":
    main()
