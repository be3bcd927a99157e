"""How good: train settings over seeds, choose on the validation file, and, when told to, score test.

    python benchmarks/quality.py screen.csv TRAIN VALIDATION batch_size=16 --seeds 0 1 2
    python benchmarks/quality.py quality.csv TRAIN VALIDATION --test TEST --seeds 0 --recipe R.toml
    python benchmarks/quality.py quality.csv TRAIN VALIDATION goal=jaccard --test TEST --baseline

Each run adds one row to the named file in `results/`. Runs whose name and seed are already there
are skipped, so the command can be repeated after an interruption. Without `--test` no test set is
ever opened.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import build_options, parse_assignments, read_recipe, updated
from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, open_labelled, read_examples
from multihot.data.union import with_unlabelled
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.evaluation.evaluator import report
from multihot.evaluation.report import Report
from multihot.inference.predictor import Predictor
from multihot.workflows.evaluate import evaluate
from multihot.workflows.train import train
from provenance import append_row, provenance, stored_rows

SHOWN = ("jaccard", "micro_f1", "macro_f1", "subset_accuracy", "macro_roc_auc")


def main() -> None:
    """Read the command line and run every seed that has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results")
    parser.add_argument("train")
    parser.add_argument("validation")
    parser.add_argument("--test")
    parser.add_argument("--recipe")
    parser.add_argument("--unlabelled", nargs="+", default=[], metavar="FILE", help="texts alone")
    parser.add_argument("--baseline", action="store_true", help="TF-IDF + logistic regression")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--keep",
        type=Path,
        help="folder for the models; those that are there are not trained again, begun ones go on",
    )
    parser.add_argument("--also", nargs="+", default=[], metavar="GOAL", help="score test for them")
    parser.add_argument("--calibrations", nargs="+", default=[], metavar="NAME")
    parser.add_argument("options", nargs="*", metavar="key=value")
    given = parser.parse_intermixed_args()
    recipe = read_recipe(given.recipe) if given.recipe else {}
    values = updated(recipe, parse_assignments(given.options))
    setting = " ".join(given.options)
    if given.recipe:
        # A recipe with other values is another setting; its comments are free.
        digest = sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:8]
        setting = f"{Path(given.recipe).name} ({digest}) {setting}".strip()
    if given.unlabelled:
        setting = f"{setting} unlabelled={','.join(Path(one).name for one in given.unlabelled)}"
    if given.baseline:
        setting = f"TF-IDF + logistic regression {setting}"
    for seed in given.seeds:
        if not _done(given.results, given.train, setting, seed, given.test is not None):
            _run(given, setting, updated(values, {"seed": seed}))


def _done(results: str, train_path: str, setting: str, seed: int, with_test: bool) -> bool:
    return any(
        row["data"] == Path(train_path).name
        and row["setting"] == setting
        and row["seed"] == str(seed)
        and (not with_test or row.get("test_micro_f1"))
        for row in stored_rows(results)
    )


def _run(given: argparse.Namespace, setting: str, values: dict[str, object]) -> None:
    options = build_options(TrainOptions, values)
    training = read_examples(given.train, options.data)
    assert training.labels is not None
    space = training.labels.space
    validation = read_examples(given.validation, training.data, space=space)
    test = read_examples(given.test, training.data, space=space) if given.test else None
    born = provenance()  # the commit that the run starts with
    started = time.perf_counter()
    others: dict[str, str] = {}
    minutes = ""  # not known here of a model that was kept
    if given.baseline:
        on_validation, on_test = _baseline(training, validation, test, options)
        minutes = _minutes_since(started)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            output = given.keep / f"seed-{options.seed}" if given.keep else Path(scratch) / "model"
            if (output / "thresholds.json").exists():
                on_validation = evaluate(Predictor.load(output), validation)
            else:
                on_validation = train(
                    _with_texts(given, options, training),
                    validation,
                    options,
                    output,
                    resume=output.exists(),
                    listener=_Printer(),
                )
                minutes = _minutes_since(started)
            predictor = Predictor.load(output)
            on_test = evaluate(predictor, test) if test else None
            if test is not None:
                others = _other_decisions(given, predictor, options, validation, test)
    row = {
        "data": Path(given.train).name,
        "setting": setting,
        "seed": options.seed,
        "train_minutes": minutes,
        **_columns("validation", on_validation),
        **_columns("test", on_test),
        **others,
        **born,
    }
    print(append_row(given.results, row), {k: v for k, v in row.items() if k != "command"})


def _with_texts(
    given: argparse.Namespace, options: TrainOptions, training: Examples
) -> Examples | LabelledFile:
    """Return the rows to train on, with texts alone where some are named."""
    if not given.unlabelled:
        return training
    return with_unlabelled(open_labelled(given.train, options.data), given.unlabelled, options.data)


def _other_decisions(
    given: argparse.Namespace,
    predictor: Predictor,
    options: TrainOptions,
    validation: Examples,
    test: Examples,
) -> dict[str, str]:
    """Score test with decisions for other goals and with calibrations, all fitted on validation."""
    assert validation.labels is not None
    (fitting, _), (scored, _) = (predictor.logits(part.texts) for part in (validation, test))
    rows = FittingRows.of_labels(predictor.space, fitting, validation.labels, validation.texts)

    def on_test(goal: str, calibration: str) -> Report:
        chosen = DecisionOptions(goal, options.thresholds, calibration)
        source = Path(given.validation).name
        decision = fit(predictor.space, rows, chosen, source=source).decision
        return report(decision, scored, test)

    found = {}
    for goal in given.also:
        value = on_test(goal, options.calibration).metrics[goal]
        found[f"test_{goal}_under_its_goal"] = f"{value:.4f}"
    for calibration in given.calibrations:
        metrics = on_test(options.goal, calibration).metrics
        for name in ("mean_label_ece", "mean_label_ece_if_calibrated"):
            found[f"test_{name}_{calibration}"] = f"{metrics[name]:.4f}"
    return found


def _baseline(
    training: Examples, validation: Examples, test: Examples | None, options: TrainOptions
) -> tuple[Report, Report | None]:
    from multihot.workflows.baseline import baseline_report

    def score(examples: Examples) -> Report:
        return baseline_report(
            training, validation, examples, goal=options.goal, thresholds=options.thresholds
        )

    return score(validation), score(test) if test else None


def _columns(part: str, report: Report | None) -> dict[str, str]:
    if report is None:
        return {}
    return {f"{part}_{name}": f"{report.metrics[name] or 0:.4f}" for name in SHOWN}


def _minutes_since(started: float) -> str:
    return f"{(time.perf_counter() - started) / 60:.1f}"


class _Printer(Listener):
    def say(self, message: str) -> None:
        print(message, flush=True)


if __name__ == "__main__":
    main()
