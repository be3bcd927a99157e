"""What a report says of each label beside the figures of the evaluation.

Letters: `L` labels, `T` thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import holm
from multihot.core.seeding import named_generator
from multihot.data.label_statistics import Shift, two_proportion_p_value
from multihot.decision.counts import Counts
from multihot.decision.decision import Decision
from multihot.evaluation.report import Report
from multihot.evaluation.row_statistics import label_intervals
from multihot.reporting.tallies import NUM_HISTOGRAM_BINS, Tallies

__all__ = [
    "MOST_SHOWN",
    "facts_of_label",
    "gain_of_doubling",
    "labels_that_matter",
    "shifts_from_fitting",
    "with_more_texts",
]

IntArray = npt.NDArray[np.int64]

MOST_SHOWN = 40
"""Labels with a card where there are more than `FEW_LABELS`."""

FEW_LABELS = 60
"""Up to so many labels each has a card."""

_MAX_POINTS = 96  # thresholds of a curve
_MAX_PAIRS = 5
_TIMES = (2, 4, 10)
_FEW_FOR_A_SLOPE = 8  # labels
_RESAMPLES = 1000


def labels_that_matter(report: Report, counts: Counts, asked: Sequence[str]) -> list[str]:
    """Return the labels that get a card, in label order.

    All of few labels. Of many those asked for, then in turns the label with the most errors, the one
    whose F1 is lowest for certain (upper end of its interval), and the most frequent one.
    """
    names = list(report.labels)
    if len(names) <= FEW_LABELS:
        return names
    errors = dict(zip(names, (counts.false_positive + counts.false_negative).tolist(), strict=True))
    highest = {
        name: one.f1_high if one.f1_high is not None else one.f1
        for name, one in report.labels.items()
        if one.support
    }
    orders = [
        sorted(names, key=lambda name: -errors[name]),
        sorted(
            highest, key=lambda name: 1.0 if highest[name] is None else float(highest[name] or 0)
        ),
        sorted(names, key=lambda name: -report.labels[name].support),
    ]
    chosen = dict.fromkeys(asked)
    for place in range(len(names)):
        for order in orders:
            if place < len(order) and len(chosen) < MOST_SHOWN:
                chosen[order[place]] = None
    return [name for name in names if name in chosen]


def facts_of_label(
    column: int, decision: Decision, tallies: Tallies, *, detailed: bool
) -> dict[str, Any]:
    """Return the counts of one label; `detailed` adds its curve, its histogram and its pairs."""
    counts = tallies.counts
    right, extra, missed, known = (
        int(each[column])
        for each in (
            counts.true_positive,
            counts.false_positive,
            counts.false_negative,
            counts.known,
        )
    )
    spread = None if decision.fit_report is None else decision.fit_report.threshold_spread
    name = decision.space.names[column]
    facts: dict[str, Any] = {
        "known": known,
        "prevalence": (right + missed) / known if known else None,
        "true_positives": right,
        "false_positives": extra,
        "false_negatives": missed,
        "threshold_spread": None if spread is None else spread.get(name),
    }
    if detailed:
        end, positive, negative = tallies.histogram(column)
        facts |= {
            "curve": None if decision.kind == "top_k" else _curve(column, decision, tallies),
            "histogram": {
                "edges": [
                    end * place / NUM_HISTOGRAM_BINS for place in range(NUM_HISTOGRAM_BINS + 1)
                ],
                "positives": positive.tolist(),
                "negatives": negative.tolist(),
            },
            **_pairs(column, decision.space.names, tallies),
        }
    return facts


def _curve(column: int, decision: Decision, tallies: Tallies) -> dict[str, Any]:
    """Return the counts at some thresholds: those between which most cells lie, and its own."""
    thresholds, positive, negative = tallies.curve(column)
    own = float(decision.thresholds[column])
    changes = np.asarray(np.diff(np.stack([positive, negative]), axis=1, prepend=0).any(axis=0))
    changes |= (thresholds == own) | np.append(changes[1:], False)
    kept = np.flatnonzero(changes)
    if len(kept) > _MAX_POINTS:
        # Equal steps through the cells of either truth, so that steep places have many points.
        passed = np.linspace(0, 1, len(kept))
        for each in (positive[kept], negative[kept]):
            passed += (each[0] - each) / max(1, each[0])
        places = np.searchsorted(passed, np.linspace(0, passed[-1], _MAX_POINTS - 1))
        own_place = int(np.searchsorted(thresholds[kept], own))
        kept = kept[np.unique(np.append(places, own_place)).clip(0, len(kept) - 1)]
    return {
        "thresholds": thresholds[kept].tolist(),
        "true_positives": positive[kept].tolist(),
        "false_positives": negative[kept].tolist(),
    }


def _pairs(column: int, names: Sequence[str], tallies: Tallies) -> dict[str, Any]:
    """Return the labels that go with one, and those that it is confused with."""
    true, given, wrong = tallies.both_true, tallies.both_given, tallies.missed_and_extra
    if true is None or given is None or wrong is None:
        return {"occurs_with": None, "given_instead": None, "missed_instead": None}
    own, own_given = int(true[column, column]), int(given[column, column])
    others = true[column].copy()
    others[column] = 0
    return {
        "occurs_with": [
            {
                "label": names[other],
                "texts": int(others[other]),
                "share": int(others[other]) / own,
                "share_in_predictions": int(given[column, other]) / own_given
                if own_given
                else None,
            }
            for other in _largest(others)
        ],
        "given_instead": _counted(wrong[column], names),
        "missed_instead": _counted(wrong[:, column], names),
    }


def _counted(texts: IntArray, names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"label": names[other], "texts": int(texts[other])} for other in _largest(texts)]


def _largest(values: IntArray) -> list[int]:
    order = np.argsort(-values, kind="stable")[:_MAX_PAIRS]
    return [int(place) for place in order if values[place]]


def shifts_from_fitting(decision: Decision, counts: Counts) -> dict[str, Shift] | None:
    """Compare how often labels occur with the rows that fitted the decision, as the model stores it.

    `None` where it stores nothing; a label that is known on one side only is left out.
    """
    facts = decision.fitting_facts
    if facts is None:
        return None
    positives = (counts.true_positive + counts.false_negative).tolist()
    cells = {}
    for name, here, known in zip(
        decision.space.names, positives, counts.known.tolist(), strict=True
    ):
        then = facts.labels.get(name)
        if then is not None and known:
            has, has_not = sum(then.positives), sum(then.negatives)
            cells[name] = has, has + has_not, here, known
    p_values = holm([two_proportion_p_value(*numbers) for numbers in cells.values()])
    shifts = {}
    for (name, (has, total, here, known)), p_value in zip(cells.items(), p_values, strict=True):
        shifts[name] = Shift(has / total, here / known, here / known - has / total, p_value)
    return shifts


def with_more_texts(counts: Counts) -> list[dict[str, Any]]:
    """Return for each label how wide the interval of F1 would be with 2, 4 and 10 times the texts.

    The errors are taken as staying in the same proportions, so this says how well F1 would be known,
    and not how much better the model would be.
    """
    rows: list[dict[str, Any]] = [{} for _ in counts.known]
    for times in _TIMES:
        more = Counts(len(counts.known))
        for name in ("true_positive", "false_positive", "false_negative", "known"):
            setattr(more, name, times * getattr(counts, name))
        ends = label_intervals(more)
        for row, low, high in zip(rows, ends["f1_low"], ends["f1_high"], strict=True):
            row[str(times)] = None if low is None or high is None else [low, high]
    return rows


def gain_of_doubling(
    report: Report, positives: Mapping[str, int], *, seed: int = 0
) -> dict[str, Any] | None:
    """Compare labels: how much higher F1 is for labels with twice as many training texts.

    The slope of F1 over the binary logarithm of the positives, by least squares over the labels, with
    the interval of a bootstrap over labels. `None` of too few labels, or of equal ones.
    """
    pairs = [
        (np.log2(positives[name]), one.f1)
        for name, one in report.labels.items()
        if one.f1 is not None and one.support and positives.get(name)
    ]
    if len(pairs) < _FEW_FOR_A_SLOPE:
        return None
    x, y = np.array(pairs, dtype=np.float64).T
    drawn = named_generator(seed, "labels", len(pairs)).integers(
        len(pairs), size=(_RESAMPLES, len(pairs))
    )
    slopes = _slopes(x[None], y[None])
    replicates = _slopes(x[drawn], y[drawn])
    replicates = replicates[~np.isnan(replicates)]
    if np.isnan(slopes[0]) or not len(replicates):
        return None
    low, high = np.quantile(replicates, [0.025, 0.975]).tolist()
    return {"labels": len(pairs), "f1_gain": float(slopes[0]), "low": low, "high": high}


def _slopes(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the slope of each row, NaN where x does not vary. *Shapes:* (R, L) -> (R,)."""
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    spread = (x * x).sum(axis=1)
    return np.where(spread > 0, (x * y).sum(axis=1) / np.where(spread > 0, spread, 1), np.nan)
