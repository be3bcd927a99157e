"""Minutes from the files to a given quality: ours, `Trainer` at its best, the tutorial, SetFit and TF-IDF.

    python benchmarks/time_to_quality.py tune TRAIN VALIDATION --side trainer --settings learning_rate=2e-4 epochs=3
    python benchmarks/time_to_quality.py tune TRAIN VALIDATION --side ours --settings epochs=1
    python benchmarks/time_to_quality.py run TRAIN VALIDATION TEST --target .58 --seeds 0 1 2
    python benchmarks/time_to_quality.py figures

Every run is a process of its own, from the files to the finished model: imports, tokenising, training,
evaluation and saving after each epoch. `tune` looks at validation rows only. `run` takes of each side the
fastest setting whose validation score passes the target by `--margin`, or the best one where none does
(or `--settings` that were chosen otherwise, such as those of a paper),
and scores the test rows once for each seed. Scores are those of one threshold fitted on the validation
rows, for every side; `as_decided` is how the side itself decides (`Trainer` at 0.5); `peak_mb` is the most
memory that a run had resident. Rows go into
`results/time_to_quality_202611.csv`; `figures` draws those of the test set of runs with one thread, by
CPU time, since other programs may keep the other processors busy.

SetFit needs `pip install --no-deps setfit==1.2.0` in the interpreter that `--rivals` names.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import RIVALS, interpreter, rival_versions
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
from texts import Rows, read_rows
from time_figure import Point, drawn
from tiny_model import command
from whole_runs import TUTORIAL, Cost, run_contender, timed

FILE = "time_to_quality_202611.csv"
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Figure:
    """What is drawn of the runs on a data set with one thread, by their CPU time.

    Attributes
    ----------
    points
        Of each point's name: the side and its setting.
    """

    path: Path
    goal: str
    target: float
    points: Mapping[str, tuple[str, str]]


_PICTURES = RESULTS.parent / "docs" / "pictures"
_TF_IDF = {"TF-IDF + logistic regression": ("tf-idf", "")}
FIGURES = {
    "2018-E-c-En-train.txt": Figure(
        _PICTURES / "time-to-quality.svg",
        "jaccard",
        0.58,
        {
            "multihot, two of six layers": (
                "ours",
                "recipe=semeval-ec.toml epochs=1 initial_head=prevalence learning_rate=3e-4 "
                "frozen_layers=4",
            ),
            "multihot, two epochs": ("ours", "recipe=semeval-ec.toml epochs=2"),
            "Trainer, started at the frequencies": (
                "trainer",
                "learning_rate=2e-4 epochs=2 batch_size=16 warmup=0.1 prevalence=1",
            ),
            "the same, two of six layers": (
                "trainer",
                "learning_rate=3e-4 epochs=2 batch_size=16 warmup=0.1 prevalence=1 frozen=4",
            ),
            "the tutorial": ("tutorial", ""),
            "SetFit": ("setfit", ""),
            **_TF_IDF,
        },
    ),
    "goemotions-train.jsonl": Figure(
        _PICTURES / "time-to-quality-goemotions.svg",
        "macro_f1",
        0.48,
        {
            "multihot": ("ours", "epochs=1 learning_rate=2e-4"),
            "Trainer, started at the frequencies": (
                "trainer",
                "learning_rate=2e-4 epochs=3 warmup=0.1 prevalence=1",
            ),
            **_TF_IDF,
        },
    ),
}
"""By the name of the training file."""

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """What all sides are given.

    Attributes
    ----------
    files
        JSON lines of each part that there is, by its name.
    goal
        The metric of the target; one threshold is fitted for it.
    """

    name: str
    files: Mapping[str, Path]
    labels: tuple[str, ...]
    goal: str
    threads: int
    precision: str
    rivals: str

    @property
    def scored(self) -> dict[str, str]:
        """Return the files to score."""
        return {part: str(path) for part, path in self.files.items() if part != "train"}


@dataclass(frozen=True)
class Outcome:
    """A finished run: what it cost, the logits of each scored part, and how the side itself decides."""

    cost: Cost
    logits: Mapping[str, Logits]
    decision: Decision


Side = Callable[[Task, Path, Mapping[str, str], int], Outcome]


def main() -> None:
    """Read the command line and tune, run or draw."""
    given = _parser().parse_args()
    if given.what == "figures":
        for data, wanted in FIGURES.items():
            wanted.path.write_text(figure(data, wanted), "utf-8")
        return
    with tempfile.TemporaryDirectory() as scratch:
        task = _task(given, Path(scratch))
        if given.what == "tune":
            values = _settings(given.settings)
            _measure(task, given.side, values, given.seed, Path(scratch) / "run")
            return
        for seed in given.seeds:
            for side in given.sides:
                values = _settings(given.settings) or chosen(
                    stored_rows(FILE), task.name, task.goal, side, given.target + given.margin
                )
                _measure(task, side, values, seed, Path(scratch) / f"{side}-{seed}")


def _settings(words: Sequence[str]) -> dict[str, str]:
    return dict(each.split("=", 1) for each in words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parsers = parser.add_subparsers(dest="what", required=True)
    tune, run, _ = (parsers.add_parser(name) for name in ("tune", "run", "figures"))
    for each in (tune, run):
        for part in _PARTS[: 2 if each is tune else 3]:
            each.add_argument(part)
        each.add_argument("--rivals", type=interpreter, default=RIVALS, metavar="PYTHON")
        each.add_argument("--threads", type=int, default=2)
        each.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="Trainer's")
        each.add_argument("--settings", nargs="*", default=[], metavar="key=value")
    tune.add_argument("--side", choices=SIDES, required=True)
    tune.add_argument("--seed", type=int, default=0)
    run.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    run.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    run.add_argument("--margin", type=float, default=0.01, help="validation above test")
    run.add_argument("--target", type=float, required=True)
    for each in (tune, run):
        each.add_argument("--goal", default="jaccard")
    return parser


def _task(given: argparse.Namespace, scratch: Path) -> Task:
    parts = [part for part in _PARTS if hasattr(given, part)]
    space: tuple[str, ...] | None = None
    files: dict[str, Path] = {}
    for part in parts:
        rows: Rows = read_rows(getattr(given, part), space)
        space = space or rows.space
        files[part] = rows.write(scratch / f"{part}.jsonl")
    assert space is not None
    return Task(
        name=Path(given.train).name,
        files=files,
        labels=space,
        goal=given.goal,
        threads=given.threads,
        precision=given.precision,
        rivals=given.rivals,
    )


def _measure(task: Task, side: str, values: Mapping[str, str], seed: int, output: Path) -> None:
    """Run one side once; print and keep its row."""
    output.mkdir()
    born = {**provenance(), **rival_versions(task.rivals)}
    outcome = SIDES[side](task, output, values, seed)
    parts = {part: _examples(task, part) for part in task.scored}
    part = "test" if "test" in parts else "validation"
    found = {
        "data": task.name,
        "goal": task.goal,
        "side": side,
        "setting": " ".join(f"{key}={value}" for key, value in values.items()),
        "seed": seed,
        "part": part,
        **outcome.cost.row(),
        **_scores(task, outcome, parts, part),
        "threads": task.threads,
    }
    print_rows(FILE, [found])
    append_row(FILE, {**found, **born})


def _scores(
    task: Task, outcome: Outcome, parts: Mapping[str, Examples], part: str
) -> dict[str, str]:
    """Return the goal on a part, with one threshold fitted on validation, and as the side decides."""
    space, validation = LabelSpace(task.labels), parts["validation"]
    assert validation.labels is not None
    rows = FittingRows.of_labels(
        space, outcome.logits["validation"], validation.labels, validation.texts
    )
    options = DecisionOptions(task.goal, "global")
    fitted = fit(space, rows, options, source="validation").decision
    found = report(fitted, outcome.logits[part], parts[part])
    own = report(outcome.decision, outcome.logits[part], parts[part])
    low, high = found.intervals[task.goal]
    figures = {
        "score": found.metrics[task.goal],
        "low": low,
        "high": high,
        "as_decided": own.metrics[task.goal],
    }
    return {name: f"{value or 0:.4f}" for name, value in figures.items()}


def _examples(task: Task, part: str) -> Examples:
    return read_examples(task.files[part], space=LabelSpace(task.labels))


def _ours(task: Task, output: Path, values: Mapping[str, str], seed: int) -> Outcome:
    names = output / "labels.txt"
    names.write_text("\n".join(task.labels) + "\n", "utf-8")
    options = [f"{key}={value}" for key, value in values.items() if key != "recipe"]
    recipes = RESULTS.parent / "recipes"
    recipe = ["--recipe", str(recipes / values["recipe"])] if "recipe" in values else []
    words = [
        *("train", str(task.files["train"])),
        *("--validation", str(task.files["validation"]), "--goal", task.goal),
        *("--output", str(output / "model"), *recipe),
        *(f"data.label_names={names}", f"seed={seed}", f"threads={task.threads}", *options),
    ]
    cost = timed(command(words), output, task.threads)
    predictor = Predictor.load(output / "model", device="cpu")
    logits = {part: predictor.logits(_examples(task, part).texts)[0] for part in task.scored}
    return Outcome(cost, logits, predictor.decision)


def _trainer(task: Task, output: Path, values: Mapping[str, str], seed: int) -> Outcome:
    best = {"batch_size": 32, "padding": "longest", "precision": task.precision}
    return _rival("whole_trainer", task, output, {**best, **values, "seed": seed})


def _tutorial(task: Task, output: Path, values: Mapping[str, str], seed: int) -> Outcome:
    return _rival("whole_trainer", task, output, {**TUTORIAL, "epochs": 5, **values, "seed": seed})


def _setfit(task: Task, output: Path, values: Mapping[str, str], seed: int) -> Outcome:
    return _rival("whole_setfit", task, output, {"num_iterations": 1, **values, "seed": seed})


def _tf_idf(task: Task, output: Path, values: Mapping[str, str], seed: int) -> Outcome:
    return _rival("whole_baseline", task, output, {**values, "seed": seed}, sys.executable)


SIDES: dict[str, Side] = {
    "ours": _ours,
    "trainer": _trainer,
    "tutorial": _tutorial,
    "setfit": _setfit,
    "tf-idf": _tf_idf,
}


def _rival(
    module: str,
    task: Task,
    output: Path,
    values: Mapping[str, Any],
    python: str | None = None,
) -> Outcome:
    """Run a module of `contenders` that writes the logits of what it is told to score."""
    setting = {
        **{part: str(path) for part, path in task.files.items()},
        "labels": task.labels,
        "encoder": str(locate_encoder("starter").folder),
        "max_length": 128,
        "threads": task.threads,
        "device": "cpu",
        "score": task.scored,
        "output": str(output),
        **{key: _number(value) for key, value in values.items()},
    }
    cost = run_contender(python or task.rivals, module, setting)
    logits = {part: np.load(output / f"{part}.npy").astype(np.float32) for part in task.scored}
    half = Decision(LabelSpace(task.labels), (0.5,) * len(task.labels), task.goal, "fixed")
    return Outcome(cost, logits, half)


def _number(value: Any) -> Any:
    """Return a setting of the command line as a number where it is one."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def chosen(
    rows: Sequence[Mapping[str, str]], data: str, goal: str, side: str, target: float
) -> dict[str, str]:
    """Return the fastest setting of a side that passes the target on validation, or its best one."""
    tuned = [
        row
        for row in rows
        if (row["data"], row["goal"], row["side"]) == (data, goal, side)
        and row["part"] == "validation"
    ]
    if not tuned:
        return {}
    passing = [row for row in tuned if float(row["score"]) >= target]
    best = (
        min(passing, key=lambda row: float(row["cpu_seconds"]))
        if passing
        else max(tuned, key=lambda row: float(row["score"]))
    )
    return dict(each.split("=", 1) for each in best["setting"].split())


def figure(data: str, wanted: Figure) -> str:
    """Return the figure of the test rows of a data set."""
    rows = [
        row
        for row in stored_rows(FILE)
        if (row["data"], row["goal"], row["part"], row["threads"])
        == (data, wanted.goal, "test", "1")
    ]
    points = []
    for name, (side, setting) in wanted.points.items():
        runs = [row for row in rows if (row["side"], row["setting"]) == (side, setting)]
        points.append(
            Point(
                name,
                statistics.mean(float(row["cpu_seconds"]) for row in runs) / 60,
                statistics.mean(float(row["score"]) for row in runs),
                min(float(row["low"]) for row in runs),
                max(float(row["high"]) for row in runs),
                is_ours=side == "ours",
            )
        )
    return drawn(points, wanted.goal, wanted.target)


if __name__ == "__main__":
    main()
