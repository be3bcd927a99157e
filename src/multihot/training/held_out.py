"""The rows that choose the epoch and fit the decision.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from multihot.backends.torch import TorchBackend
from multihot.decision.decision import Decision, fit_decision
from multihot.evaluate import Evaluation, Report
from multihot.labels import LabelMatrix
from multihot.options import TrainOptions
from multihot.training.rows import EncodedExamples

__all__ = ["HeldOut"]

_WINDOW_ROWS = 1024  # rows compared together


@dataclass(frozen=True)
class HeldOut:
    """Validation rows and what scores them.

    While a decision is fitted, logits and labels of all N rows are in memory, some 20 bytes for each
    of the N x L cells; tokens may lie in mapped files, and texts are not kept.
    """

    data: EncodedExamples
    backend: TorchBackend
    options: TrainOptions

    def decide(self) -> tuple[Decision, Report]:
        """Fit the decision of the network as it is, and report it on the same rows."""
        logits = self.backend.logits(self.data.tokens)
        labels, hashes = self.data.labels.matrix(), self.data.hashes()
        decision = fit_decision(
            labels.space,
            logits,
            labels,
            goal=self.options.goal,
            thresholds=self.options.thresholds,
            source=Path(self.data.origin.source).name,
            hashes=hashes,
        )
        # Texts would only be asked for to see which rows were fitted; the hashes tell that below.
        evaluation = Evaluation(replace(decision, fitted_on=None), len(labels))
        for start in range(0, len(labels), _WINDOW_ROWS):
            part = slice(start, start + _WINDOW_ROWS)
            evaluation.update([], LabelMatrix(labels.space, labels.values[part]), logits[part])
        fitted_on = decision.fitted_on
        return decision, replace(
            evaluation.report(),
            rows_truncated=int(self.data.tokens.truncated.sum()),
            rows_fitted=int(fitted_on.holds(hashes).sum()) if fitted_on else 0,
        )
