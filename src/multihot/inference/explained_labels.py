"""Which labels of a text are explained where nobody names them. `L` labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import logit
from multihot.data.readers.table import nearest
from multihot.errors import LabelError
from multihot.inference.predictor import Predictor

__all__ = ["MOST_LABELS", "column_of", "columns_of"]

MOST_LABELS = 20
"""Labels of one text that are explained where none are named: each costs a backward pass a step."""


def column_of(predictor: Predictor, name: str) -> int:
    """Return the column of a label; raise `LabelError`, with the nearest name, for an unknown one."""
    try:
        return predictor.space.index(name)
    except LabelError as error:
        raise LabelError(f"{error}.{nearest(name, predictor.space.names)}") from None


def columns_of(
    predictor: Predictor,
    scores: npt.NDArray[np.float32],
    decided: npt.NDArray[np.bool_],
    *,
    most: int,
    with_nearest: bool,
) -> list[int]:
    """Return the labels that a text gets, the highest score first, or the one that it nearly gets.

    Parameters
    ----------
    scores, decided
        Of the text. *Shapes:* (L,), float32 and bool.
    most
        How many columns are returned at most.
    with_nearest
        Whether labels that it nearly gets make up so many.
    """
    given = np.flatnonzero(decided)
    found = [int(column) for column in given[np.argsort(-scores[given], kind="stable")]][:most]
    num_nearest = most - len(found) if with_nearest else int(not found)
    if num_nearest:
        margins = logit(scores) - logit(np.asarray(predictor.decision.thresholds))
        margins[given] = -np.inf
        nearest_first = np.argsort(-margins, kind="stable")[: min(num_nearest, (~decided).sum())]
        found += nearest_first.tolist()
    return found
