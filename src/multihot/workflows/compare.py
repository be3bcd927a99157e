"""Compare two models on the same labelled texts, with intervals and tests of the differences.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.files import as_path
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.numeric import holm
from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, labelled_chunks, open_labelled
from multihot.decision.decision import rows_fitted
from multihot.errors import LabelError, OptionError
from multihot.evaluation.comparison import Comparison, LabelDifference
from multihot.evaluation.paired_tests import Difference, Differences, area_difference
from multihot.evaluation.ranking import Ranking
from multihot.evaluation.ranking_intervals import INFLUENCED
from multihot.inference.predictor import Predictor

__all__ = ["compare", "open_for_both", "united_space"]


def compare(
    first: Predictor | str | os.PathLike[str],
    second: Predictor | str | os.PathLike[str],
    examples: Examples | LabelledFile | str | os.PathLike[str],
    *,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Score two models on the same texts, with intervals and tests of their differences.

    Parameters
    ----------
    first, second
        The models, or their folders. Labels are matched by name; those that only one of them knows
        are left out.
    examples
        N labelled examples, or a file, which is read as the training file of the first model was.
    seed
        Of bootstrap and permutation.
    progress
        Receives the number of texts scored so far, now and then.

    Returns
    -------
    comparison
        Each difference is first minus second, with a 95 % interval by
        paired bootstrap and a p-value by permutation; those of labels are corrected by Holm's procedure.

    Raises
    ------
    LabelError
        The models share no label.
    """
    models = tuple(
        one if isinstance(one, Predictor) else Predictor.load(as_path(one, "model"))
        for one in (first, second)
    )
    shared = _shared_space(models[0].space, models[1].space)
    if isinstance(examples, str | os.PathLike):
        spaces = models[0].space, models[1].space
        examples = open_for_both(Path(examples), models[0].artifact.data, *spaces)
    if not isinstance(examples, Examples | LabelledFile):
        raise OptionError(f"examples is {cut(examples)}; expected Examples or the path of a file.")
    differences = Differences(len(examples), len(shared), seed)
    rankings = [Ranking(len(examples), len(shared), intervals=True, seed=seed) for _ in models]
    support, fitted, num_rows, num_scored = np.zeros(len(shared), np.int64), [0, 0], 0, 0
    left_out = set(models[0].space.names) ^ set(models[1].space.names)
    for chunk, labels in labelled_chunks(examples):
        truth = _columns(labels, shared).hard().values
        decided, scores = zip(
            *(_answers(model, chunk.texts, shared) for model in models), strict=True
        )
        differences.update(truth, decided, scores)
        for number, model in enumerate(models):
            rankings[number].update(truth, scores[number])
            known = _columns(labels, model.space)
            fitted[number] += rows_fitted(model.decision, chunk.texts, known)
        support += (truth == 1).sum(axis=0)
        num_rows += int((~np.isnan(truth)).any(axis=1).sum())
        left_out |= set(labels.space.names) - set(shared.names)
        num_scored += len(chunk)
        if progress is not None:
            progress(num_scored)
    metrics, of_labels = differences.result()
    return Comparison(
        first=_name(models[0], first),
        second=_name(models[1], second),
        rows=num_rows,
        metrics=metrics | _area_differences(rankings, num_rows),
        labels=_label_differences(shared, of_labels, support.tolist()),
        labels_left_out=sorted(left_out),
        rows_fitted=(fitted[0], fitted[1]),
    )


def _answers(
    model: Predictor, texts: Sequence[str], shared: LabelSpace
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Return decisions and scores of the shared labels. *Shapes:* (N, shared labels)."""
    columns = [model.space.index(name) for name in shared.names]
    scores = model.scores(texts)
    return model.decision.decide(scores)[:, columns], scores[:, columns]


def _label_differences(
    shared: LabelSpace, differences: Sequence[Difference], support: Sequence[int]
) -> dict[str, LabelDifference]:
    """Return the differences in F1 by label, with their corrected p-values."""
    # A label that no text has tests nothing, so it must not make the others' tests stricter.
    pairs = zip(differences, support, strict=True)
    corrected = holm([each.p_value if count else None for each, count in pairs])
    rows = zip(support, differences, corrected, strict=True)
    return {name: LabelDifference(*row) for name, row in zip(shared.names, rows, strict=True)}


def united_space(first: LabelSpace, second: LabelSpace) -> LabelSpace:
    """Return the labels of the first model, then those that only the second knows."""
    return LabelSpace((*first.names, *(n for n in second.names if n not in first.columns)))


def open_for_both(
    path: str | Path, data: DataOptions, first: LabelSpace, second: LabelSpace
) -> LabelledFile:
    """Open the file that two models are compared on; it need not have labels that are left out.

    Labels that only one model knows are passed over, and so are others; a note counts them. Indices
    count in the labels of the first model, so then the file may have all.
    """
    shared = _shared_space(first, second)
    if data.label_names is not None or len(shared) == len(first) == len(second):
        return open_labelled(path, data, space=united_space(first, second))
    return open_labelled(path, replace(data, unknown_labels="ignore"), space=shared)


def _shared_space(first: LabelSpace, second: LabelSpace) -> LabelSpace:
    shared = tuple(name for name in first.names if name in second.columns)
    if not shared:
        raise LabelError(
            "The models have no label in common, so there is nothing to compare. The first knows "
            f"{listed(first.names)}; the second {listed(second.names)}."
        )
    return LabelSpace(shared)


def _columns(labels: LabelMatrix, space: LabelSpace) -> LabelMatrix:
    """Return the labels of `space` by name, others left out."""
    if labels.space == space:
        return labels
    wide = labels.aligned_to(united_space(space, labels.space))
    return LabelMatrix(space, wide.values[:, : len(space)], labels.lists_all)


def _area_differences(rankings: list[Ranking], num_rows: int) -> dict[str, Difference]:
    first, second = (ranking.influences() for ranking in rankings)
    blocks, ranked = [], np.zeros(len(INFLUENCED))
    if first is not None and second is not None:
        blocks = [one - other for one, other in zip(first.blocks, second.blocks, strict=True)]
        ranked = first.values - second.values
    found, other = (ranking.area_metrics() for ranking in rankings)
    return {
        name: area_difference(
            found[name],
            other[name],
            float(ranked[column]),
            (block[:, column] for block in blocks),
            num_rows,
        )
        for column, name in enumerate(INFLUENCED)
    }


def _name(model: Predictor, given: Predictor | str | os.PathLike[str]) -> str:
    return str(model.artifact.folder if isinstance(given, Predictor) else given)
