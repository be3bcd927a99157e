"""A model and labelled rows, or rows alone, to the document of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from multihot.core.options import DataOptions
from multihot.data.labelled_file import LabelledFile
from multihot.inference.explanation import explain
from multihot.inference.predictor import Predictor
from multihot.reporting.card_content import ERRORS_ON_A_CARD
from multihot.reporting.document import (
    Reasons,
    data_document,
    errors_of_a_label,
    model_document,
)
from multihot.reporting.label_facts import labels_that_matter
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
    with_reasons: bool = False,
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
    with_reasons
        Whether to find out which words of the worst errors spoke for their labels, and which against.
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
    shown = labels_that_matter(report, tallies.counts, asked)
    return model_document(
        artifact,
        report,
        tallies,
        replace(inspection, encoder=artifact.folder.resolve().name),
        source=examples.source,
        shown=shown,
        reasons=_reasons(predictor, tallies, shown) if with_reasons else None,
    )


def _reasons(predictor: Predictor, tallies: Tallies, shown: Sequence[str]) -> Reasons:
    """Explain the errors that are shown on cards, each text once for all of its labels."""
    names, wanted = predictor.space.names, set(shown)
    labels_of_rows: dict[int, list[str]] = {}
    counts: Counter[tuple[str, bool]] = Counter()
    for each in tallies.errors():
        name = names[each.column]
        counts[name, each.is_missed] += 1
        if name in wanted and counts[name, each.is_missed] <= ERRORS_ON_A_CARD:
            labels_of_rows.setdefault(each.row, []).append(name)
    found: dict[tuple[int, str], list[tuple[int, int, float]]] = {}
    for row, labels in labels_of_rows.items():
        (explanation,) = explain(predictor, [tallies.rows()[row].text], labels=labels)
        for label in explanation.labels:
            pairs = zip(explanation.words, label.values, strict=True)
            found[row, label.label] = [(word.start, word.end, value) for word, value in pairs]
    return found


def report_on_files(
    paths: Sequence[str | Path], data: DataOptions | None = None, *, encoder: str | None = None
) -> dict[str, Any]:
    """Return what a report shows of data files, the training file first; see `inspect_files`."""
    return data_document(inspect_files(paths, data, encoder=encoder))
