"""The whole workflow on the bundled data set: inspect, train, evaluate, predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from multihot.core.bundled import demo_data
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.progress import Listener
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.evaluation.report import Report
from multihot.inference.predictor import Prediction, Predictor
from multihot.workflows.baseline import baseline_report
from multihot.workflows.evaluate import evaluate
from multihot.workflows.inspect import inspect_files

__all__ = ["DEMO_OPTIONS", "DEMO_TEXTS", "DemoResult", "demo_data", "run_demo"]

DEMO_OPTIONS = TrainOptions(
    encoder="starter",
    goal="micro_f1",
    epochs=8,
    batch_size=16,
    learning_rate=2e-4,
    seed=0,
)
"""Selected on the validation set: see `results/` and `benchmarks/quality.py`."""

DEMO_TEXTS = (
    "I'm happy, the bert model is so good",
    "They cancelled the train again and nobody told us, I am so done with this",
    "The parcel office opens at nine",
)
"""The sentence of the tutorial and two others."""


@dataclass(frozen=True)
class DemoResult:
    """Results of the demo; both reports are of the same test rows."""

    classifier: Report
    baseline: Report
    predictions: tuple[Prediction, ...]


def run_demo(output: Path, listener: Listener, options: TrainOptions = DEMO_OPTIONS) -> DemoResult:
    """Train on the bundled data set and write the model to `output`.

    Raises what `train` raises; `MissingExtraError` without the starter encoder.
    """
    from multihot.workflows.train import train

    paths = demo_data()
    listener.say(f"{inspect_files([str(path) for path in paths.values()], DataOptions())}\n")
    training = read_examples(paths["train"])
    validation, test = (_read_like(training, paths[part]) for part in ("validation", "test"))
    train(training, validation, options, output, listener=listener)
    predictor = Predictor.load(output)
    fitted = predictor.decision.fitted_on
    if fitted and fitted.goal_value is not None and fitted.goal_value_at_half is not None:
        listener.say(
            f"Threshold fitted on {fitted.rows} validation rows: "
            f"{predictor.decision.thresholds[0]:.3f} ({options.goal} {fitted.goal_value:.3f} on these "
            f"rows, {fitted.goal_value_at_half:.3f} at 0.5)."
        )
    baseline = baseline_report(
        training, validation, test, goal=options.goal, thresholds=options.thresholds
    )
    return DemoResult(evaluate(predictor, test), baseline, tuple(predictor.predict(DEMO_TEXTS)))


def _read_like(training: Examples, path: Path) -> Examples:
    assert training.labels is not None
    return read_examples(path, training.data, space=training.labels.space)
