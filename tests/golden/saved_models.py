"""Small models as earlier code has saved them, and how such a folder is written.

    PYTHONPATH=tests python -m golden.saved_models NAME

writes `models/NAME` with the installed multihot: the folder that users keep, without its run/, and
what the model says of the sentences of `emotions` in expected.json. The folders that are here are
never written again: later code must load them and decide the same.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from emotions import QUICK, TEXTS, write_jsonl

FOLDER = Path(__file__).with_name("models")
KINDS = {
    "cls": ["calibration=temperature", "learning_rate=0.005", "thresholds=0.4"],
    "mean": ["goal=macro_f1", "thresholds=per_label", "calibration=platt"],
    "attention": ["thresholds=shrunk", "empty_set_rule=at_least_one", "epochs=60"],
    "labels": ["objective.loss=zlpr", "learning_rate=0.003", "epochs=60"],
}
TOLERANCE = 1e-4
"""How far a score may be from the stored one; no score is as near to its threshold as that."""


def answers(folder: Path) -> dict[str, Any]:
    """Return the labels, the scores and the number of rows seen before of the sentences."""
    from multihot import Predictor, read_examples
    from multihot.workflows.evaluate import evaluate

    predictor = Predictor.load(folder, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        rows = read_examples(write_jsonl(Path(scratch) / "rows.jsonl"), predictor.artifact.data)
        report = evaluate(predictor, rows)
    return {
        "labels": [each.labels for each in predictor.predict(TEXTS)],
        "scores": [[round(float(s), 6) for s in row] for row in predictor.scores(TEXTS)],
        "rows_fitted": report.rows_fitted,
    }


def _write(kind: str) -> None:
    import conftest
    from multihot.cli.main import main

    os.chdir(tempfile.mkdtemp())
    write_jsonl(Path("train.jsonl"))
    write_jsonl(Path("validation.jsonl"), slice(0, 24))
    conftest.write_tiny_encoder(Path("encoder"))
    given = ["train.jsonl", "--validation", "validation.jsonl", "--encoder", "encoder"]
    recipe = [f"{name}={value}" for name, value in {**QUICK, "pooling": kind}.items()]
    assert main(["train", *given, "--output", "model", *recipe, *KINDS[kind]]) == 0
    shutil.rmtree("model/run")
    Path("model/README.md").unlink()
    shutil.copytree("model", FOLDER / kind)
    content = json.dumps(answers(FOLDER / kind))
    (FOLDER / kind / "expected.json").write_text(content + "\n", "utf-8")


if __name__ == "__main__":
    _write(sys.argv[1])
