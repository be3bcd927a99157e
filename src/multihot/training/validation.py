"""The validation set: selects the epoch and fits the decision.

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
from multihot.core.text_facts import TextFacts
from multihot.data.dataset import Subset
from multihot.data.labelled_file import WINDOW_ROWS, window_rows
from multihot.data.text_facts import TextFactsCounter
from multihot.decision.cross_fit import with_report
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.evaluation.evaluator import Evaluation
from multihot.evaluation.report import Report
from multihot.inference.torch_backend import TorchBackend, saved_backend
from multihot.training.ranks import ALONE, Ranks
from multihot.training.shared_logits import shared_logits

__all__ = ["ScoredEpochs", "ValidationSet"]

_MOST_KEPT_CELLS = 2**24  # of logits: 64 MB


@dataclass(frozen=True)
class ValidationSet:
    """Validation rows and the network that is scored on them.

    While a decision is fitted, logits, scores and labels of all N rows are in memory, 12 bytes for
    each of the N x L cells; tokens may lie in mapped files, and texts are not kept.

    Raises `OptionError` when the options of the decision do not fit together or the labels.
    """

    data: Subset
    backend: TorchBackend
    options: TrainOptions

    fold_of: npt.NDArray[np.int64] | None = None
    """With `options.folds`: the test fold of each row. *Shape:* (N,)."""
    most_rows: int = WINDOW_ROWS
    """Rows that are scored and evaluated at a time, as in `evaluate`; with very many labels fewer."""
    counter: TextFactsCounter | None = None
    """Measures the texts, for the facts that are stored with the decision."""
    ranks: Ranks = ALONE
    """Several processes score these rows together, and the first one computes their metrics."""

    def __post_init__(self) -> None:
        # Fail now, not after the first epoch.
        names = self.data.space.names
        goal = parse_goal(self._decision_options.goal).with_costs(
            self._decision_options.costs, names
        )
        goal.require_labels(len(names))

    @cached_property
    def _decision_options(self) -> DecisionOptions:
        options = self.options
        costs = None if options.costs is None else read_costs(options.costs, self.data.space.names)
        return DecisionOptions(
            options.goal, options.thresholds, options.calibration, options.empty_set_rule, costs
        )

    @property
    def _window_rows(self) -> int:
        return min(self.most_rows, window_rows(len(self.data.space)))

    @property
    def source(self) -> str:
        """Where the rows came from, as recorded in the decision."""
        name = Path(self.data.origin.source).name
        folds = self.options.folds
        return name if folds is None else f"{name}, out of {folds} folds"

    def metrics(self, logits: npt.NDArray[np.float32]) -> Mapping[str, float | None]:
        """Return the metrics of logits, (N, L), with the value of the goal."""
        return self.ranks.from_first(lambda: self._decide(logits)[2])

    def decide(
        self, logits: npt.NDArray[np.float32], *, final: bool = False
    ) -> tuple[Decision, Report]:
        """Fit the decision of logits, (N, L), and report it on the same rows.

        With `final` also intervals and the cross-fitted report, which takes a hundred times as long.
        """
        return self._decide(logits, final=final)[:2]

    def saved_logits(self, scratch: Path) -> npt.NDArray[np.float32]:
        """Return the logits of the network as a saved model computes them. *Shape:* (N, L).

        The weights are written to `scratch`, loaded as `Predictor` loads them, and run over the same
        windows of texts as in `evaluate`. A network in training uses other kernels and other batches,
        which differ in the last bits, and so would the metrics of the run and of its saved model.
        """
        backend, data, ranks = self.backend, self.data, self.ranks
        with saved_backend(
            backend.network,
            data.space,
            scratch,
            backend.device,
            writes=ranks.is_first,
            wait=ranks.wait,
        ) as saved:
            parts = [
                shared_logits(
                    saved, data.tokens, data.indices[start : start + self._window_rows], ranks
                )
                for start in range(0, len(data), self._window_rows)
            ]
        return np.concatenate(parts)

    def _text_facts(self) -> TextFacts | None:
        if self.counter is None:
            return None
        facts, tokens = TextFacts(), self.data.tokens
        for start in range(0, len(self.data), self._window_rows):
            some = tokens.selected(self.data.indices[start : start + self._window_rows])
            facts += self.counter.count(some)
        return facts

    def _decide(
        self, logits: npt.NDArray[np.float32], *, final: bool = False
    ) -> tuple[Decision, Report, Mapping[str, float | None]]:
        labels, hashes = self.data.labels().hard(), self.data.hashes()
        truth, options = labels.values, self.options
        texts = self.data.text_hashes()
        rows, chosen = FittingRows(logits, truth, hashes, texts), self._decision_options
        decision = fit(labels.space, rows, chosen, source=self.source).decision
        if final:
            decision = with_report(decision, rows, chosen, seed=options.seed)
            decision = decision.with_facts(logits, truth, self._text_facts())
        # Texts would only be needed to count the fitted rows; the hashes do that below.
        evaluation = Evaluation(replace(decision, fitted_on=None), len(labels), intervals=final)
        for start in range(0, len(labels), self._window_rows):
            part = slice(start, start + self._window_rows)
            evaluation.update([], LabelMatrix(labels.space, truth[part]), logits[part])
        fitted_on = decision.fitted_on
        report = replace(
            evaluation.report(),
            rows_truncated=self.data.num_truncated(),
            rows_fitted=int(fitted_on.holds(hashes).sum()) if fitted_on else 0,
        )
        if options.goal in report.metrics:
            return decision, report, report.metrics
        value = decision.goal_value(decision.scores(logits), truth)
        return decision, report, {**report.metrics, options.goal: value}


class ScoredEpochs:
    """Scores the validation rows after each epoch, and keeps the logits of the best one.

    An epoch is scored as its saved model scores, so the decision is fitted on what chose the epoch, and
    the rows need not be run once more. Of very many cells nothing is kept, and they are.

    Parameters
    ----------
    scratch
        A folder for weights while they are scored.
    """

    def __init__(self, validation: ValidationSet, scratch: Path) -> None:
        self._validation, self._scratch = validation, scratch
        self._newest: npt.NDArray[np.float32] | None = None
        self._best: npt.NDArray[np.float32] | None = None

    def metrics(self) -> Mapping[str, float | None]:
        """Return the metrics of the network in its present state, with the value of the goal."""
        self._newest = None
        logits = self._validation.saved_logits(self._scratch)
        if logits.size <= _MOST_KEPT_CELLS:
            self._newest = logits
        return self._validation.metrics(logits)

    def keep(self) -> None:
        """Keep the logits of the epoch that was scored last: it is the best so far."""
        self._best = self._newest

    def best_logits(self) -> npt.NDArray[np.float32]:
        """Return the logits of the best epoch, whose weights must be in the network. *Shape:* (N, L).

        They are computed again where there are very many, or where the epoch ended before a resumed run.
        """
        self._newest = None
        if self._best is not None:
            return self._best
        return self._validation.saved_logits(self._scratch)
