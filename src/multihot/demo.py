"""The whole workflow on the bundled data set: inspect, train, evaluate, predict; and the set as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from multihot.core.bundled import demo_data
from multihot.core.files import write_text
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.progress import Listener
from multihot.core.staging import check_new_folder
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.evaluation.report import Report
from multihot.inference.prediction import Prediction
from multihot.inference.predictor import Predictor
from multihot.workflows.baseline import baseline_report
from multihot.workflows.evaluate import evaluate
from multihot.workflows.inspect import inspect_files

__all__ = [
    "DEMO_OPTIONS",
    "DEMO_TEXTS",
    "DemoResult",
    "demo_data",
    "run_demo",
    "write_demo_data",
]

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


def write_demo_data(folder: Path) -> list[Path]:
    """Write the bundled data set to a new or empty folder, and return the paths of its files.

    `train.tsv`, `dev.tsv` and `test.tsv` have the layout of SemEval-2018 E-c, so that what reads these
    reads those: tab-separated, without quotes, an id, a text and a 0/1 column for every label.
    """
    check_new_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, path in zip(("train", "dev", "test"), demo_data().values(), strict=True):
        rows = read_examples(path)
        assert rows.labels is not None
        lines = ["\t".join(("ID", "Tweet", *rows.labels.space.names))]
        for row, text, values in zip(rows.ids, rows.texts, rows.labels.values, strict=True):
            lines.append("\t".join((row, text, *(f"{value:.0f}" for value in values))))
        written.append(folder / f"{name}.tsv")
        write_text(written[-1], "\n".join(lines) + "\n")
    return written


def _read_like(training: Examples, path: Path) -> Examples:
    assert training.labels is not None
    return read_examples(path, training.data, space=training.labels.space)
