"""What tests of whole runs share: rows whose labels are words, listeners that record, files to compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import sha256_of
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.core.progress import Listener, StepProgress
from multihot.data.examples import Examples

SPACE = LabelSpace(("joy", "sadness", "fear"))
CUES = ("happy", "sad", "afraid")
FILLERS = ("the", "day", "people", "know", "this", "today", "believe", "year")


def rows(num_rows: int, seed: int, space: LabelSpace = SPACE) -> Examples:
    """Return texts whose labels are the cue words in them."""
    generator = np.random.default_rng(seed)
    truth = generator.random((num_rows, 3)) < 0.4
    texts = [
        " ".join(
            generator.permutation(
                [cue for cue, given in zip(CUES, row, strict=True) if given]
                + list(generator.choice(FILLERS, size=generator.integers(2, 9)))
            )
        )
        for row in truth
    ]
    columns = [SPACE.index(name) for name in space.names]
    return Examples(
        texts=texts,
        labels=LabelMatrix(space, truth[:, columns].astype(np.float32)),
        ids=[f"row-{number}" for number in range(num_rows)],
        source=f"rows{seed}.csv",
        data=DataOptions(text_column="text", encoding="utf-8"),
        notes=(),
        lines=list(range(2, num_rows + 2)),
    )


def with_unknown(
    examples: Examples, unknown: Callable[[npt.NDArray[np.float32]], None]
) -> Examples:
    """Return the examples with the cells unknown that the function sets to NaN."""
    assert examples.labels is not None
    values = examples.labels.values.copy()
    unknown(values)
    return replace(examples, labels=LabelMatrix(examples.labels.space, values))


def write_csv(path: Path, examples: Examples) -> Path:
    """Write examples as a user's file, ids and unknown cells included."""
    assert examples.labels is not None
    lines = [",".join(["id", "text", *examples.labels.space.names])]
    for number, text, values in zip(
        examples.ids, examples.texts, examples.labels.values, strict=True
    ):
        cells = ["" if np.isnan(value) else str(int(value)) for value in values]
        lines.append(",".join([number, text, *cells]))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


class Recorder(Listener):
    """Keeps every message and step."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.steps: list[int] = []

    def say(self, message: str) -> None:
        self.sentences.append(message)

    def progress(self, update: StepProgress) -> None:
        self.steps.append(update.step)


class Stop(Recorder):
    """Ends the run when a step was computed, before anything of it is saved."""

    def __init__(self, step: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self.step = step
        self.error = error

    def progress(self, update: StepProgress) -> None:
        super().progress(update)
        if update.step == self.step:
            raise self.error("stopped by the test")


def hashes(model: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a model that another run must repeat."""
    files = {
        str(path.relative_to(model)): sha256_of(path)
        for path in model.rglob("*")
        if path.is_file() and "run" not in path.relative_to(model).parts[:-1]
    }
    del files["README.md"]
    return files


def log_of(model: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's metrics log without what a clock says."""
    lines = (model / "run" / "metrics.jsonl").read_text().splitlines()
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
    for entry in entries:
        entry.pop("tokens_per_second", None)
    return entries
