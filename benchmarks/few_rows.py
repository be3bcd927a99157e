"""Few rows, and few rows with many labels: ours against TF-IDF with logistic regression, and SetFit.

    python benchmarks/few_rows.py DATA_FOLDER goemotions-1000 books300-3000 --seeds 0 1
    python benchmarks/few_rows.py DATA_FOLDER books300-3000 --options epochs=4 learning_rate=2e-4
    python benchmarks/few_rows.py DATA_FOLDER goemotions-1000 --settings linear
    python benchmarks/few_rows.py DATA_FOLDER goemotions-1000 --write cuts

A name is a set and a number of rows, a tenth of which is for validation; `benchmarks/few_rows_data.py`
says which sets there are. Every setting fits one threshold on the validation rows, for micro-F1 and for
macro-F1 alike; the figures are of 2,000 test rows, with 95 % intervals, in `results/few_rows_202611.csv`.
`--write` only writes the parts of each set as JSON lines. `setfit` needs SetFit 1.2 (`pip install --no-deps
setfit==1.2.0`): contrastive pairs as often as `--pairs` says (SetFit's `num_iterations`), then one
logistic regression per label.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from few_rows_data import Cut, load_cut, write_table
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import build_options, parse_assignments
from multihot.data.examples import Examples
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.evaluation.evaluator import report
from multihot.inference.predictor import Predictor
from multihot.workflows.baseline import train_baseline
from multihot.workflows.train import train
from provenance import append_row, provenance

SETTINGS = ("linear", "ours", "random head", "setfit")
RESULTS = "few_rows_202611.csv"
PARTS = ("train", "validation", "test")

Logits = npt.NDArray[np.float32]


def main() -> None:
    """Read the command line and measure every setting on every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", metavar="SET-ROWS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS[:3]))
    parser.add_argument("--options", nargs="*", default=[], metavar="key=value")
    parser.add_argument("--pairs", type=int, default=5, metavar="N")
    parser.add_argument("--write", type=Path, metavar="DIR")
    given = parser.parse_args()
    for name in given.names:
        for seed in given.seeds:
            cut = load_cut(name, given.folder, seed)
            if given.write:
                _write(cut, given.write / f"{name}-{seed}")
                continue
            for setting in given.settings:
                row = _measured(cut, setting, given.options, seed, given.pairs)
                append_row(RESULTS, {**row, **_birth(given.folder)})


def _write(cut: Cut, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [write_table(getattr(cut, part), folder / f"{part}.jsonl") for part in PARTS]


def _measured(
    cut: Cut, setting: str, options: list[str], seed: int, pairs: int
) -> dict[str, object]:
    """Train one setting, print its figures and return them."""
    parts = [_examples(cut, part) for part in PARTS]
    start = time.process_time()
    if setting == "linear":
        baseline = train_baseline(parts[0], seed)
        logits = [baseline.logits(part.texts) for part in parts[1:]]
        options = []
    elif setting == "setfit":
        logits = _setfit(parts, seed, pairs)
        options = [f"num_iterations={pairs}"]
    else:
        chosen = [*options, f"seed={seed}"]
        if setting == "random head":
            chosen.append("initial_head=random")
        values = parse_assignments(chosen)
        logits = _ours(parts, build_options(TrainOptions, values))
    seconds = time.process_time() - start
    row: dict[str, object] = {
        "data": cut.name,
        "rows": len(cut.train),
        "labels": len(cut.labels),
        "setting": " ".join([setting, *options]),
        "seed": seed,
        "cpu_seconds": f"{seconds:.0f}",
    }
    for goal in ("micro_f1", "macro_f1"):
        row |= _scored(parts, logits, goal)
    shown = " ".join(f"{key}={value}" for key, value in row.items() if key not in ("data",))
    print(f"{cut.name}: {shown}", flush=True)
    return row


def _birth(folder: Path) -> dict[str, str]:
    """Return the provenance of a row, without the folder that the data happen to lie in."""
    found = provenance()
    return {**found, "command": found["command"].replace(str(folder), "DATA_FOLDER")}


def _ours(parts: list[Examples], options: TrainOptions) -> list[Logits]:
    with tempfile.TemporaryDirectory() as folder:
        train(parts[0], parts[1], options, Path(folder) / "model", listener=Listener())
        predictor = Predictor.load(Path(folder) / "model")
        return [predictor.logits(part.texts)[0] for part in parts[1:]]


def _setfit(parts: list[Examples], seed: int, pairs: int) -> list[Logits]:
    """Train SetFit with the starter's weights, and return the logits of its probabilities."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    from multihot.models.encoder import locate_encoder

    training = parts[0]
    assert training.labels is not None
    folder = str(locate_encoder("starter").folder)
    model = SetFitModel.from_pretrained(folder, multi_target_strategy="one-vs-rest")
    rows = {"text": training.texts, "label": training.labels.values.astype(int).tolist()}
    arguments = TrainingArguments(
        batch_size=16, num_epochs=1, num_iterations=pairs, seed=seed, report_to="none"
    )
    Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict(rows)).train()
    found = []
    for part in parts[1:]:
        probability = np.asarray(model.predict_proba(part.texts, as_numpy=True), dtype=np.float64)
        probability = probability.clip(1e-7, 1 - 1e-7)
        found.append(np.log(probability / (1 - probability)).astype(np.float32))
    return found


def _scored(parts: list[Examples], logits: list[Logits], goal: str) -> dict[str, object]:
    """Fit one threshold for the goal on the validation rows, and return the goal on the test rows."""
    validation, test = parts[1:]
    assert validation.labels is not None
    space = validation.labels.space
    rows = FittingRows.of_labels(space, logits[0], validation.labels, validation.texts)
    decision = fit(space, rows, DecisionOptions(goal, "global"), source="validation").decision
    measured = report(decision, logits[1], test)
    value, (low, high) = measured.metrics[goal], measured.intervals[goal]
    assert value is not None
    return {goal: f"{value:.4f}", f"{goal}_low": f"{low:.4f}", f"{goal}_high": f"{high:.4f}"}


def _examples(cut: Cut, part: str) -> Examples:
    rows, space = getattr(cut, part), LabelSpace(tuple(cut.labels))
    columns = {name: column for column, name in enumerate(space.names)}
    values = np.zeros((len(rows), len(space)), dtype=np.float32)
    for row, (_, labels) in enumerate(rows):
        values[row, [columns[name] for name in labels if name in columns]] = 1
    numbers = list(range(1, len(rows) + 1))
    return Examples(
        texts=[text for text, _ in rows],
        labels=LabelMatrix(space, values),
        ids=[str(number) for number in numbers],
        source=f"{cut.name}-{part}",
        data=DataOptions(),
        notes=(),
        lines=numbers,
    )


if __name__ == "__main__":
    main()
