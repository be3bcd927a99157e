"""The rows that choose the epoch and fit the decision.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.goals import parse_goal, read_costs
from multihot.core.labels import LabelMatrix
from multihot.core.options import TrainOptions
from multihot.data.dataset import EncodedExamples
from multihot.data.labelled_file import WINDOW_ROWS
from multihot.decision.cross_fit import with_report
from multihot.decision.decision import Decision
from multihot.decision.fitting import Choices, fit_choices
from multihot.evaluation.evaluator import Evaluation
from multihot.evaluation.report import Report
from multihot.inference.torch_backend import TorchBackend, saved_backend

__all__ = ["ValidationSet"]


@dataclass(frozen=True)
class ValidationSet:
    """Validation rows and what scores them.

    While a decision is fitted, logits and labels of all N rows are in memory, some 20 bytes for each
    of the N x L cells; tokens may lie in mapped files, and texts are not kept.

    Raises `OptionError` when the options of the decision do not fit together or the labels.
    """

    data: EncodedExamples
    backend: TorchBackend
    options: TrainOptions

    fold_of: npt.NDArray[np.int64] | None = None
    """With `options.folds`: the part of each row, which a network scores that has not seen it. (N,)."""

    def __post_init__(self) -> None:
        # Now, and not after the first epoch.
        names = self.data.labels.space.names
        goal = parse_goal(self._choices.goal).with_costs(self._choices.costs, names)
        goal.require_labels(len(names))

    @cached_property
    def _choices(self) -> Choices:
        options = self.options
        costs = (
            None
            if options.costs is None
            else read_costs(options.costs, self.data.labels.space.names)
        )
        return Choices(
            options.goal, options.thresholds, options.calibration, options.empty_set_rule, costs
        )

    @property
    def source(self) -> str:
        """Where the rows came from, as the decision remembers it."""
        name = Path(self.data.origin.source).name
        folds = self.options.folds
        return name if folds is None else f"{name}, out of {folds} folds"

    def metrics(self, logits: npt.NDArray[np.float32] | None = None) -> Mapping[str, float | None]:
        """Return the metrics of the network as it is, and what it reaches of the fitted goal.

        Or those of given logits, (N, L).
        """
        return self._decide(self._logits() if logits is None else logits)[2]

    def decide(
        self, logits: npt.NDArray[np.float32] | None = None, *, final: bool = False
    ) -> tuple[Decision, Report]:
        """Fit the decision of the network as it is, or of given logits, and report it on the same rows.

        With `final` also intervals and what fitting was worth, which takes a hundred times as long.
        *Shape* of the logits: (N, L).
        """
        return self._decide(self._logits() if logits is None else logits, final=final)[:2]

    def saved_logits(self, scratch: Path) -> npt.NDArray[np.float32]:
        """Return the logits of the network as a saved model computes them. *Shape:* (N, L).

        The weights are written to `scratch`, loaded as `Predictor` loads them, and run over the same
        windows of texts as in `evaluate`. A network in training takes other kernels and other batches,
        whose last bits differ, and so would the figures of the run and those of its saved model.
        """
        backend, tokens = self.backend, self.data.tokens
        with saved_backend(
            backend.network, self.data.labels.space, scratch, backend.device
        ) as saved:
            parts = [
                saved.logits(tokens.take(np.arange(len(tokens))[start : start + WINDOW_ROWS]))
                for start in range(0, len(tokens), WINDOW_ROWS)
            ]
        return np.concatenate(parts)

    def _logits(self) -> npt.NDArray[np.float32]:
        return self.backend.logits(self.data.tokens)

    def _decide(
        self, logits: npt.NDArray[np.float32], *, final: bool = False
    ) -> tuple[Decision, Report, Mapping[str, float | None]]:
        labels, hashes = self.data.labels.matrix().hard(), self.data.hashes()
        truth = labels.values
        options, choices = self.options, self._choices
        decision = fit_choices(labels.space, logits, labels, hashes, choices, source=self.source)
        if final:
            decision = with_report(decision, logits, truth, hashes, choices, seed=options.seed)
        # Texts would only be asked for to see which rows were fitted; the hashes tell that below.
        evaluation = Evaluation(replace(decision, fitted_on=None), len(labels), intervals=final)
        for start in range(0, len(labels), WINDOW_ROWS):
            part = slice(start, start + WINDOW_ROWS)
            evaluation.update([], LabelMatrix(labels.space, truth[part]), logits[part])
        fitted_on = decision.fitted_on
        report = replace(
            evaluation.report(),
            rows_truncated=int(self.data.tokens.truncated.sum()),
            rows_fitted=int(fitted_on.holds(hashes).sum()) if fitted_on else 0,
        )
        if options.goal in report.metrics:
            return decision, report, report.metrics
        value = decision.goal_value(decision.scores(logits), truth)
        return decision, report, {**report.metrics, options.goal: value}
