"""A model and labelled rows, or rows alone, to the document of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from multihot.core.options import DataOptions
from multihot.data.labelled_file import LabelledFile
from multihot.inference.predictor import Predictor
from multihot.reporting.document import (
    Reasons,
    data_document,
    errors_of_a_label,
    model_document,
)
from multihot.reporting.tallies import Tallies
from multihot.workflows.evaluate import evaluate
from multihot.workflows.inspect import inspect_files

__all__ = ["report_on_files", "report_on_model"]


def report_on_model(
    predictor: Predictor,
    examples: LabelledFile,
    *,
    train: Sequence[str | Path] = (),
    data: DataOptions | None = None,
    labels: Sequence[str] = (),
    explain: Callable[[Tallies], Reasons] | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a model and return what a report shows of it.

    Parameters
    ----------
    predictor
        The model.
    examples
        The rows to evaluate on; they are scored once.
    train
        Files that the model was trained and validated on: the rows are compared with them.
    data
        How these are read, and the evaluated file, as it was opened with.
    labels
        Labels that are shown in full however many there are.
    explain
        Returns what in the texts of the errors shown spoke for their labels, and what against.
    seed, progress
        As for `evaluate`.

    Raises
    ------
    LabelError
        One of `labels` is none of the model's.
    """
    decision, artifact = predictor.decision, predictor.artifact
    asked = [decision.space.names[decision.space.index(name)] for name in labels]
    tallies = Tallies(decision, errors_of_a_label=errors_of_a_label(len(decision.space)))
    report = evaluate(predictor, examples, seed=seed, progress=progress, observe=tallies.update)
    inspection = inspect_files(
        [*train, examples.source],
        data or artifact.data,
        encoder=str(artifact.folder),
        max_length=artifact.max_length,
        space=decision.space,
    )
    return model_document(
        artifact,
        report,
        tallies,
        replace(inspection, encoder=artifact.folder.resolve().name),
        source=examples.source,
        asked=asked,
        reasons=None if explain is None else explain(tallies),
    )


def report_on_files(
    paths: Sequence[str | Path], data: DataOptions | None = None, *, encoder: str | None = None
) -> dict[str, Any]:
    """Return what a report shows of data files, the training file first; see `inspect_files`."""
    return data_document(inspect_files(paths, data, encoder=encoder))
