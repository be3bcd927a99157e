"""The linear baseline beside a trained model: the same rows, and thresholds fitted in the same way.

Letters: `N` validation rows, `L` labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Goal
from multihot.data.dataset import Subset
from multihot.data.examples import Examples
from multihot.errors import DataError
from multihot.workflows.baseline import train_baseline

if TYPE_CHECKING:
    from multihot.training.validation import ValidationSet

__all__ = ["against_baseline", "baseline_logits", "subset_examples"]


def against_baseline(
    goal: Goal,
    model: float | None,
    train_set: Subset,
    validation: ValidationSet,
    model_logits: npt.NDArray[np.float32] | None,
) -> str:
    """Return what TF-IDF with logistic regression reaches of the goal, and a warning where it is better.

    Parameters
    ----------
    goal
        Of the run.
    model
        What the model reaches on the validation rows.
    train_set, validation
        The rows of the run; with folds, the validation rows are scored out of fold.
    model_logits
        Of the validation rows, *shape* (N, L), for the mean of both; `None` with folds.
    """
    own = baseline_logits(train_set, validation)
    value = validation.metrics(own)[validation.options.goal]
    if value is None or model is None:
        return f"Linear baseline: {goal} is undefined on these rows."
    parts = [
        f"Linear baseline (TF-IDF and logistic regression, on the same rows): {goal.with_value(value)}; "
        f"the model: {goal.shown(model)}"
    ]
    if model_logits is not None:
        mixed = validation.metrics((own + model_logits) * np.float32(0.5))[validation.options.goal]
        if mixed is not None:
            parts.append(f"; the mean of both logits: {goal.shown(mixed)}")
    parts.append(".")
    if value > model:
        parts.append(
            " Warning: the linear baseline is better than the model. Try more epochs or a higher "
            "learning_rate, an encoder for these texts, or more rows."
        )
    return "".join(parts)


def baseline_logits(train_set: Subset, validation: ValidationSet) -> npt.NDArray[np.float32]:
    """Return the baseline's logits of the validation rows, none of them by a model that was fitted on it.

    *Shape:* (N, L). Raises `DataError` and `MissingExtraError` as `train_baseline` does.
    """
    seed, rows = validation.options.seed, validation.data
    if validation.fold_of is None:
        scored = subset_examples(rows).texts
        return train_baseline(subset_examples(train_set), seed).logits(scored)
    result = np.zeros((len(rows), len(rows.space)), dtype=np.float32)
    for fold in range(int(validation.fold_of.max()) + 1):
        outside = np.flatnonzero(validation.fold_of == fold)
        others = rows.take(np.flatnonzero(validation.fold_of != fold))
        scored = subset_examples(rows.take(outside)).texts
        result[outside] = train_baseline(subset_examples(others), seed).logits(scored)
    return result


def subset_examples(rows: Subset) -> Examples:
    """Return the rows with their texts, which are read again from where they came from."""
    origin = rows.origin
    chunks = [origin] if isinstance(origin, Examples) else origin.chunks()
    places = {int(index): place for place, index in enumerate(rows.indices)}
    texts, ids, lines = [""] * len(rows), [""] * len(rows), [0] * len(rows)
    first, data = 0, origin.data
    for chunk in chunks:
        for number in range(len(chunk)):
            place = places.get(first + number)
            if place is not None:
                texts[place] = chunk.texts[number]
                ids[place], lines[place] = chunk.ids[number], chunk.lines[number]
        first += len(chunk)
    if first != len(rows.dataset):
        raise DataError("The file changed while it was read. Start again.", path=origin.source)
    return Examples(texts, rows.labels(), ids, origin.source, data, (), lines)
