"""The answer for one text, and how logits become the answers for several.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.decision.decision import Decision
from multihot.inference.window_logits import WindowsRead

__all__ = ["Prediction", "labelled"]


@dataclass(frozen=True)
class Prediction:
    """The answer for one text."""

    labels: list[str]
    """Names that pass their threshold, in class order."""
    scores: dict[str, float]
    """Probability of every label, in class order."""
    truncated: bool
    """Whether the text was longer than what the model reads of one."""
    abstained: bool = False
    """Whether it has no label and the model's rule for that is `abstain`."""
    windows: WindowsRead | None = None
    """The windows that were read, of a model that reads longer texts in several."""


def labelled(
    decision: Decision,
    logits: npt.NDArray[np.float32],
    truncated: npt.NDArray[np.bool_],
    *,
    threshold: float | None = None,
) -> Iterator[Prediction]:
    """Yield the predictions for N texts: those of very many labels take more memory than their logits.

    Parameters
    ----------
    logits
        *Shape:* (N, L), float32.
    truncated
        Which texts were cut. *Shape:* (N,), bool.
    threshold
        Instead of the stored ones.
    """
    if threshold is not None:
        decision = decision.with_threshold(threshold)
    scores = decision.scores(logits)
    abstains = decision.empty_set_rule == "abstain"
    for names, row, is_cut in zip(decision.names(scores), scores, truncated, strict=True):
        yield Prediction(
            names,
            dict(zip(decision.space.names, row.tolist(), strict=True)),
            bool(is_cut),
            abstained=abstains and not names,
        )
