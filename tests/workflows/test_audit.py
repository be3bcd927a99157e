"""An audit trains on the other folds, and goes on after an interruption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from factories import SPACE, Recorder, rows, write_csv
from multihot.core.labels import LabelMatrix
from multihot.core.options import TrainOptions
from multihot.core.progress import StepProgress
from multihot.workflows.audit import audit

pytestmark = pytest.mark.slow


class StopAtCall(Recorder):
    """Ends a run at the n-th step of all its folds together."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def progress(self, update: StepProgress) -> None:
        super().progress(update)
        if len(self.steps) == self.number:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts whose labels are words in them; two rows are unlabelled and six cells wrong."""
    examples = rows(90, 0)
    assert examples.labels is not None
    values = examples.labels.values.copy()
    values[:6, 0] = 1 - values[:6, 0]
    values[10:12] = np.nan
    examples = replace(examples, labels=LabelMatrix(SPACE, values))
    return write_csv(tmp_path_factory.mktemp("audit") / "train.csv", examples)


@pytest.fixture(scope="module")
def options(tiny_encoder: Path) -> TrainOptions:
    return TrainOptions(
        encoder=str(tiny_encoder),
        epochs=6,
        folds=3,
        batch_size=8,
        learning_rate=1e-2,
        precision="fp32",
        device="cpu",
        threads=1,
        checkpoint_steps=4,
    )


@pytest.fixture(scope="module")
def finished(path: Path, options: TrainOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("finished") / "audit"
    audit(path, output, options=options)
    return output


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("corrections.csv", "out-of-fold.safetensors")]


def test_an_audit_leaves_a_table_scores_and_a_report_and_no_folds(finished: Path) -> None:
    lines = (finished / "corrections.csv").read_text("utf-8").splitlines()
    suspected = [line for line in lines[1:] if "unlabelled" not in line]

    assert {path.name for path in finished.iterdir()} == {
        "audit.json",
        "corrections.csv",
        "out-of-fold.safetensors",
        "run",
    }
    assert not (finished / "run" / "folds").exists()
    assert {line.split(",")[0] for line in suspected}.isdisjoint({'"11"', '"12"'})


@pytest.mark.parametrize("number", [20, 110])
def test_an_audit_interrupted_anywhere_ends_with_the_same_bytes(
    number: int, path: Path, options: TrainOptions, finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        audit(path, tmp_path / "a", options=options, listener=StopAtCall(number))
    ears = Recorder()
    audit(path, tmp_path / "a", options=options, resume=True, listener=ears)

    assert len(ears.steps) < 144  # three folds of 6 epochs of 8 steps
    assert contents(tmp_path / "a") == contents(finished)


def test_scores_that_are_there_are_not_computed_again(
    path: Path, options: TrainOptions, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    name = "out-of-fold.safetensors"
    (folder / name).write_bytes((finished / name).read_bytes())
    ears = Recorder()

    audit(path, folder, options=options, resume=True, listener=ears)

    assert ears.steps == []
    assert contents(folder) == contents(finished)
