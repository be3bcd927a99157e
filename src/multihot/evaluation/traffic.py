"""Unlabelled texts compared with the rows that fitted a decision: what changed, and whether to decide again.

A change counts when it is neither chance nor small. Chance: the p-values of all tests together are corrected
by Holm's method, so the probability that texts like the rows raise any alarm is at most `LEVEL`. Small: a
fraction must have changed by the factor `MATERIAL` at least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import fisher_exact, holm
from multihot.core.report_views import as_frame, as_html
from multihot.core.text_facts import TextFacts
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    counted,
    cut,
    format_number,
    listed,
    shown_labels,
)
from multihot.decision.decision import Decision
from multihot.decision.fitting_facts import FittingFacts
from multihot.evaluation.prevalence import PrevalenceEstimate, estimate_prevalence

__all__ = ["LEVEL", "MATERIAL", "Measure", "TrafficReport", "TrafficTally"]

LEVEL = 0.01
"""The largest probability of an alarm on texts that are like the rows."""
MATERIAL = 1.2
"""The factor by which a fraction must have grown or shrunk."""
_FEWEST = 5  # texts and rows together that have what is counted; with fewer nothing is tested
_FEWEST_TEXTS = 50  # with fewer, a mean of texts is not near enough to normal for the tests
_MOST_SENTENCES = 20  # about changed labels
_FEWEST_EXPECTED = 10  # in a cell of a two-by-two table; with fewer its test is the exact one
_RANK_SHIFT = 0.05  # of the probability that one text is longer than one row

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Measure:
    """One measure of texts."""

    fitted: float | None
    now: float | None
    p_value: float | None
    """Corrected for all tests of the report; `None` where nothing could be tested."""
    changed: bool = False


@dataclass(frozen=True)
class TrafficReport:
    """The result of `watch`; `print` it or take `to_json()`."""

    rows: int
    """Texts."""
    fitted_rows: int
    source: str
    """Where the rows came from that fitted the decision."""
    labels: Mapping[str, PrevalenceEstimate]
    p_values: Mapping[str, float]
    """Of each label, corrected for all tests of the report."""
    measures: Mapping[str, Measure]
    """`without_label`, `with_unknown_tokens`, `truncated`: fractions of texts; `median_length` in tokens;
    `pieces_per_word`."""
    too_rare: tuple[str, ...] = ()
    """Labels with too few rows to be compared."""

    @property
    def changed_labels(self) -> list[str]:
        """Labels whose prevalence changed."""
        return [
            name
            for name, found in self.labels.items()
            if self.p_values[name] < LEVEL and _is_material(found.fitted, found.counted)
        ]

    @property
    def decide_again(self) -> bool:
        """Whether the decision should be fitted again on labelled rows of now."""
        return bool(self.changed_labels or [m for m in self.measures.values() if m.changed])

    def to_json(self) -> dict[str, Any]:
        """Return the document that `watch --json` prints."""
        changed = set(self.changed_labels)
        return {
            "rows": self.rows,
            "fitted_rows": self.fitted_rows,
            "source": self.source,
            "level": LEVEL,
            "decide_again": self.decide_again,
            "measures": {name: asdict(measure) for name, measure in self.measures.items()},
            "labels": {
                name: {
                    **asdict(found),
                    "p_value": self.p_values[name],
                    "changed": name in changed,
                }
                for name, found in self.labels.items()
            },
            "too_rare": list(self.too_rare),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label as a pandas data frame."""
        return as_frame({name: asdict(found) for name, found in self.labels.items()}, "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the tables and the advice for so many columns; of many labels, some, or all."""
        head = (
            f"{counted(self.rows, 'text')}, compared with the {counted(self.fitted_rows, 'row')} of "
            f"{self.source} that fitted the decision."
        )
        measures = [
            [name.replace("_", " "), format_number(each.fitted), format_number(each.now)]
            for name, each in self.measures.items()
        ]
        lines = [head, "", *aligned(["texts", "fitted", "now"], measures, width=width)]
        changes = {name: abs(each.counted - each.fitted) for name, each in self.labels.items()}
        names, left_out = shown_labels(changes, every=all_labels)
        rows = [
            [
                name,
                format_number((found := self.labels[name]).fitted),
                f"{found.counted:.3f} ({found.counted_low:.3f} to {found.counted_high:.3f})",
                format_number(found.em),
                format_number(found.bbse),
            ]
            for name in names
        ]
        heads = ["prevalence of", "fitted", "now (95 % interval)", "em", "bbse"]
        lines += ["", *aligned(heads, rows, width=width), *left_out, ""]
        return "\n".join([*lines, *self.remarks()])

    def remarks(self) -> list[str]:
        """Return what follows from it, in sentences."""
        found = []
        changed = self.changed_labels
        if len(changed) > _MOST_SENTENCES:  # the greatest changes
            changed.sort(
                key=lambda name: -abs(self.labels[name].counted - self.labels[name].fitted)
            )
        for name in changed[:_MOST_SENTENCES]:
            each = self.labels[name]
            found.append(
                f"Changed: {cut(name)} from {each.fitted:.3f} to about {each.counted:.3f} of the texts (p = "
                f"{_p(self.p_values[name])})."
            )
        if (more := len(changed) - _MOST_SENTENCES) > 0:
            found.append(f"Changed, too: {counted(more, 'label')} more; --json names all.")
        for name, measure in self.measures.items():
            if measure.changed:
                found.append(
                    f"Changed: {name.replace('_', ' ')} from {format_number(measure.fitted)} to "
                    f"{format_number(measure.now)} (p = {_p(measure.p_value)})."
                )
        if self.rows < _FEWEST_TEXTS:
            found.append(
                f"{counted(self.rows, 'text')}: too few to tell a change from chance, so nothing was tested; give "
                f"{_FEWEST_TEXTS} or more."
            )
        elif self.decide_again:
            found.append(
                "Label some of these texts (a few hundred, drawn at random), look at them with 'multihot evaluate', "
                "and run 'multihot decide' on them."
            )
        else:
            found.append(
                "Nothing changed by more than chance and by a factor of "
                f"{MATERIAL:g}: the decision can stay. (Texts like the rows raise an alarm in at most "
                f"{100 * LEVEL:g} % of calls.)"
            )
        if self.too_rare:
            found.append(
                f"Too few rows with or without them to be compared: {listed(self.too_rare)}."
            )
        return found


class TrafficTally:
    """Counts what a report needs; texts are added chunk by chunk and not kept."""

    def __init__(self, decision: Decision, facts: FittingFacts) -> None:
        self._decision, self._facts = decision, facts
        self._columns = {name: decision.space.index(name) for name in facts.labels}
        self._edges = {name: np.array(each.edges) for name, each in facts.labels.items()}
        self._counts = {
            name: np.zeros(len(each.positives), np.int64) for name, each in facts.labels.items()
        }
        self._given = np.zeros(len(decision.space), np.int64)
        self._without = self._rows = 0
        self._texts = TextFacts()

    def update(self, logits: FloatArray, texts: TextFacts) -> None:
        """Add N texts: their logits, *shape* (N, L), and their facts."""
        decided = self._decision.decide(self._decision.scores(logits))
        self._given += decided.sum(axis=0)
        self._without += int((~decided.any(axis=1)).sum())
        self._rows += len(logits)
        self._texts += texts
        for name, edges in self._edges.items():
            bins = np.searchsorted(
                edges, logits[:, self._columns[name]].astype(np.float64), "right"
            )
            self._counts[name] += np.bincount(bins, minlength=len(edges) + 1)

    def report(self, *, seed: int = 0) -> TrafficReport:
        """Return the report of all texts; there is at least one."""
        facts, names = self._facts, list(self._facts.labels)
        labels = {
            name: estimate_prevalence(
                facts.labels[name],
                self._counts[name],
                int(self._given[self._columns[name]]),
                seed=seed,
            )
            for name in names
        }
        measures = self._measures()
        raw: list[float | None] = [each.p_value for each in labels.values()]
        raw += [each.p_value for each, _ in measures.values()]
        corrected = holm(raw if self._rows >= _FEWEST_TEXTS else [None] * len(raw))
        of_measures = zip(measures.items(), corrected[len(names) :], strict=True)
        return TrafficReport(
            rows=self._rows,
            fitted_rows=facts.rows,
            source="unknown rows"
            if self._decision.fitted_on is None
            else self._decision.fitted_on.source,
            labels=labels,
            p_values={
                name: 1.0 if p is None else p
                for name, p in zip(names, corrected[: len(names)], strict=True)
            },
            measures={
                name: Measure(each.fitted, each.now, p, is_material and p is not None and p < LEVEL)
                for (name, (each, is_material)), p in of_measures
            },
            too_rare=tuple(n for n in self._decision.space.names if n not in facts.labels),
        )

    def _measures(self) -> dict[str, tuple[Measure, bool]]:
        """Return each measure, its p-value not corrected, and whether its change is large enough."""
        facts, rows = self._facts, self._rows
        found = {"without_label": _fraction(facts.without_label, facts.rows, self._without, rows)}
        one, two = facts.texts, self._texts
        if one is None or not one.rows or not two.rows:
            return found
        found["with_unknown_tokens"] = _fraction(one.with_unknown, one.rows, two.with_unknown, rows)
        found["truncated"] = _fraction(one.truncated, one.rows, two.truncated, rows)
        found["median_length"] = _lengths(one, two)
        found["pieces_per_word"] = _pieces(one, two)
        return found


def _fraction(had: int, of: int, has: int, now_of: int) -> tuple[Measure, bool]:
    """Return fractions of rows and of texts, with the p-value of the test that they are equal."""
    fitted, now = had / of, has / now_of
    p_value = None
    joined = (had + has) / (of + now_of)
    if had + has >= _FEWEST and min(joined, 1 - joined) * min(of, now_of) < _FEWEST_EXPECTED:
        p_value = fisher_exact(had, of, has, now_of)
    elif had + has >= _FEWEST:
        error = math.sqrt(joined * (1 - joined) * (1 / of + 1 / now_of))
        p_value = _two_sided(now - fitted, error)
    return Measure(fitted, now, p_value), _is_material(fitted, now)


def _lengths(one: TextFacts, two: TextFacts) -> tuple[Measure, bool]:
    """Return median lengths, with the p-value of Mann and Whitney's test on the bins of lengths."""
    first, second = (np.array(each.lengths, np.float64) for each in (one, two))
    joined, total = first + second, one.rows + two.rows
    ranks = np.cumsum(joined) - joined / 2
    surplus = float(second @ ranks / two.rows - first @ ranks / one.rows) / total
    ties = float((joined**3 - joined).sum()) / (total**3 - total) if total > 1 else 1.0
    error = math.sqrt(max(0.0, 1 - ties) / 12 * (1 / one.rows + 1 / two.rows))
    # Of the probability that a text is longer than a row, from one half.
    is_material = abs(surplus) >= _RANK_SHIFT
    return Measure(one.median_length, two.median_length, _two_sided(surplus, error)), is_material


def _pieces(one: TextFacts, two: TextFacts) -> tuple[Measure, bool]:
    """Return tokens per word, with the p-value of a test of the fraction of tokens that continue words."""
    pair = one.pieces_per_word, two.pieces_per_word
    means = one.continuing_mean, two.continuing_mean
    if None in means or None in (one.continuing_variance, two.continuing_variance):
        return Measure(*pair, None), False
    fitted, now = (mean or 0.0 for mean in means)
    # Both together: texts that are all alike have no variance of their own.
    variance = (one + two).continuing_variance or 0.0
    error = math.sqrt(variance * (1 / one.rows + 1 / two.rows))
    return Measure(*pair, _two_sided(now - fitted, error)), _is_material(fitted, now)


def _two_sided(difference: float, error: float) -> float:
    return 2 * NormalDist().cdf(-abs(difference) / error) if error else 1.0


def _is_material(fitted: float, now: float) -> bool:
    low, high = sorted((fitted, now))
    return high > 0 and high >= MATERIAL * low


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
