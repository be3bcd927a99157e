"""A model and labelled rows to a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, labelled_chunks
from multihot.evaluation.evaluator import EvaluatedRows, Evaluation
from multihot.evaluation.report import Report
from multihot.inference.predictor import Predictor

__all__ = ["Observer", "evaluate"]


class Observer(Protocol):
    """What sees the rows while they are scored."""

    def __call__(
        self,
        rows: Examples,
        evaluated: EvaluatedRows,
        truncated: npt.NDArray[np.bool_],
        /,
    ) -> None:
        """Take N rows, their truth, scores and decisions, and which texts were truncated (N,)."""


def evaluate(
    predictor: Predictor,
    examples: Examples | LabelledFile,
    *,
    threshold: float | None = None,
    intervals: bool = True,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    observe: Observer | None = None,
) -> Report:
    """Score a model on labelled examples.

    Parameters
    ----------
    predictor
        The model.
    examples
        N labelled examples; labels are matched by name. A `LabelledFile` is read while it is scored,
        so that memory does not grow with N.
    threshold
        Overrides the stored thresholds for this call.
    intervals
        Whether to compute 95 % intervals, and what perfectly calibrated scores would show.
    seed
        Of the bootstrap; the same seed and texts give the same intervals.
    progress
        Receives the number of texts scored so far, now and then.
    observe
        Sees all rows, some at a time, so that nobody has to score, decide or count them a second time.
    """
    decision = predictor.decision
    if threshold is not None:
        decision = decision.with_threshold(threshold)
    evaluation = Evaluation(decision, len(examples), intervals=intervals, seed=seed)
    num_scored = 0
    for chunk, labels in labelled_chunks(examples):
        logits, truncated = predictor.logits(chunk.texts)
        evaluated = evaluation.update(chunk.texts, labels, logits, int(truncated.sum()))
        if observe is not None:
            observe(chunk, evaluated, truncated)
        num_scored += len(chunk)
        if progress is not None:
            progress(num_scored)
    return evaluation.report()
