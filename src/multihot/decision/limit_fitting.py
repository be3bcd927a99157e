"""Thresholds that keep limits for texts like the rows that fit them: finite-sample guarantees.

Letters: `N` texts, `L` labels.

What is missed, and what abstains, only becomes less with lower thresholds. So for such a limit one border
is found, the highest logit of the network that the rows allow, and thresholds above it are lowered to it.
The rows that fitted the thresholds may be the same: what lies below the border keeps the limit all the
more, so no row is set aside. A precision has no such order: it is tested above some ranks of the label's
scores that are fixed beforehand, each with its part of the tolerated probability (Angelopoulos et al. 2021,
"Learn then test"), and of those that pass, the one that is best for the goal is taken. Given the score of
a rank, the rows above it are a sample of all texts above it, so the exact binomial bound applies. These are
scores as they are compared, because large logits share one: a border between two such logits is none.

Several limits hold together: each is given its part of what is tolerated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelSpace
from multihot.core.limits import Limit, require_labels
from multihot.core.numeric import logit
from multihot.core.text_tables import counted, cut
from multihot.decision.decision import Decision
from multihot.decision.fitting import FittingRows
from multihot.decision.promises import Promise, PromiseTally
from multihot.decision.risk_bounds import (
    binomial_cdf,
    fewest_rows,
    hoeffding_bentkus,
    most_losses,
    most_on_average,
)
from multihot.errors import DataError, OptionError

__all__ = ["Limited", "check_limits", "with_limits"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

_RATIO = 1.5  # of the ranks at which a precision is tested

_BELOW = 1 - 1e-6  # so that no rounding of a score lifts a text's score under its own border
_NOISE = 1e-5  # of logits, relative, between the same network in two runtimes


@dataclass(frozen=True)
class Limited:
    """A decision that keeps its limits, and what became of its thresholds, in sentences."""

    decision: Decision
    notes: tuple[str, ...] = ()


def check_limits(
    limits: Sequence[Limit], space: LabelSpace, *, kind: str, empty_set_rule: str
) -> None:
    """Raise `OptionError` for limits that a decision of this kind, with this rule, cannot promise."""
    if not limits:
        return
    require_labels(limits, space.names)
    if kind in ("top_k", "fixed"):
        what = "labels are taken by rank" if kind == "top_k" else "the threshold is given"
        raise OptionError(
            f"A limit is kept by thresholds that are fitted, and {what}; use another goal, or "
            "--thresholds global."
        )
    of = {limit.name for limit in limits}
    if "abstained" in of and empty_set_rule != "abstain":
        raise OptionError(
            f"A limit on texts that abstain needs the rule 'abstain' for texts without a label, and it is "
            f"'{empty_set_rule}': add --empty-set-rule abstain."
        )
    if "precision" in of and empty_set_rule == "at_least_one":
        raise OptionError(
            "The rule 'at_least_one' gives labels below their thresholds, so no threshold keeps a "
            "precision; use the rule 'allow' or 'abstain'."
        )
    _refuse_implied(space, limits)


def _refuse_implied(space: LabelSpace, limits: Sequence[Limit]) -> None:
    """Raise `OptionError` for a precision of a label that others imply: their thresholds give it, too."""
    if space.hierarchy is None:
        return
    for limit in limits:
        if limit.name != "precision" or limit.label is None:
            continue
        if space.hierarchy.has_children[space.index(limit.label)]:
            raise OptionError(
                f"The limit {limit} cannot be promised: other labels imply {cut(limit.label)}, so its own "
                "threshold does not decide alone when it is given. Promise the precision of labels below "
                "it, or its recall."
            )


def with_limits(
    decision: Decision, rows: FittingRows, limits: Sequence[Limit], *, path: str | None = None
) -> Limited:
    """Return the decision with thresholds that keep the limits, changed as little as possible.

    Parameters
    ----------
    decision
        Fitted for its goal; the rows may be the same.
    rows
        Drawn as the texts that the decision will meet; unknown cells are left out.
    limits
        What is promised.
    path
        Of the rows, for messages.

    Raises
    ------
    OptionError
        The decision is of a kind that cannot promise them.
    DataError
        There are fewer rows than a limit needs, or no threshold keeps it.
    """
    if not limits:
        return Limited(decision)
    check_limits(limits, decision.space, kind=decision.kind, empty_set_rule=decision.empty_set_rule)
    num_tested = sum(limit.confidence is not None for limit in limits)
    parts = [None if x.tolerated is None else x.tolerated / num_tested for x in limits]
    pairs = list(zip(limits, parts, strict=True))
    borders = np.full(len(decision.space), np.inf)
    for limit, tolerated in pairs:
        if limit.name != "precision":
            borders = np.minimum(borders, _borders(decision.space, rows, limit, tolerated, path))
    highest = _scores_below(decision, borders)
    kept = replace(decision, thresholds=tuple(np.minimum(decision.thresholds, highest).tolist()))
    for limit, tolerated in pairs:
        if limit.name == "precision":
            assert tolerated is not None
            kept = _precise(kept, rows, limit, tolerated, highest, path=path)
    return _described(decision, kept, rows, limits)


def _borders(
    space: LabelSpace, rows: FittingRows, limit: Limit, tolerated: float | None, path: str | None
) -> DoubleArray:
    """Return the logit of each label at which a limit still holds. *Shape:* (L,), infinite: any."""
    if limit.name == "samples_recall":
        used = ~np.isnan(rows.truth).all(axis=1)
        _require_rows(limit, tolerated, int(used.sum()), "rows with a known label", path)
        border = _border_of_samples(rows.logits[used], rows.truth[used], limit.risk, tolerated)
        return np.full(len(space), border)
    if limit.name == "abstained":
        _require_rows(limit, tolerated, len(rows), "rows", path)
        return np.full(len(space), _border(rows.logits.max(axis=1), limit.risk, tolerated))
    assert limit.label is not None
    column = space.index(limit.label)
    scored = rows.logits[rows.truth[:, column] == 1, column]
    _require_rows(limit, tolerated, len(scored), "rows that have the label", path)
    borders = np.full(len(space), np.inf)
    borders[column] = _border(scored, limit.risk, tolerated)
    return borders


def _require_rows(
    limit: Limit, tolerated: float | None, num_rows: int, what: str, path: str | None
) -> None:
    least = fewest_rows(limit.risk, tolerated)
    if num_rows < least:
        raise DataError(
            f"the limit {limit} needs at least {least} {what}, and there are {num_rows}. Give more rows, "
            "a smaller confidence or a looser limit.",
            path=path,
        )


def _border(logits: FloatArray, risk: float, tolerated: float | None) -> float:
    """Return the highest logit below which few enough of the given ones lie."""
    allowed = (
        most_on_average(len(logits), risk)
        if tolerated is None
        else most_losses(len(logits), risk, tolerated)
    )
    return float(np.sort(logits)[allowed]) if allowed < len(logits) else np.inf


def _border_of_samples(
    logits: FloatArray, truth: FloatArray, risk: float, tolerated: float | None
) -> float:
    """Return the same for the mean over texts of the fraction of their labels that lies below."""
    positive = truth == 1
    weights = np.broadcast_to(1 / np.maximum(positive.sum(axis=1), 1)[:, None], truth.shape)
    order = np.argsort(logits[positive], kind="stable")
    values = logits[positive][order]
    # `lost[k]` is the sum of losses when the k lowest positives lie below the border.
    lost = np.append(0.0, np.cumsum(weights[positive][order]))
    num_rows = len(truth)

    def allows(number: int) -> bool:
        if tolerated is None:
            return bool(lost[number] + 1 <= risk * (num_rows + 1) + 1e-9)
        return hoeffding_bentkus(lost[number] / num_rows, num_rows, risk) <= tolerated

    low, high = 0, len(values) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if allows(middle) else (low, middle)
    return float(values[low]) if low < len(values) else np.inf


def _scores_below(decision: Decision, borders: DoubleArray) -> DoubleArray:
    """Return the scores just below these logits, 1 for infinite ones. *Shapes:* (L,).

    So far below that the text at the border is given its label by an export of the network, too.
    """
    finite = np.isfinite(borders)
    logits = np.where(finite, borders, 0.0)
    logits = (logits - _NOISE * (1 + np.abs(logits))).astype(np.float32)
    scores = decision.own_scores(logits[None])[0].astype(np.float64) * _BELOW
    return np.where(finite, scores, 1.0)


def _precise(
    decision: Decision,
    rows: FittingRows,
    limit: Limit,
    tolerated: float,
    highest: DoubleArray,
    *,
    path: str | None,
) -> Decision:
    """Return the decision with a threshold of one label that keeps its precision.

    `highest` are the thresholds that other limits allow at most. *Shape:* (L,).
    """
    assert limit.label is not None
    column = decision.space.index(limit.label)
    known = ~np.isnan(rows.truth[:, column])
    num_known, least = int(known.sum()), fewest_rows(limit.risk, tolerated)
    _require_rows(limit, tolerated, num_known, "rows in which the label is known", path)
    scores = decision.scores(rows.logits[known])[:, column]
    order = np.argsort(-scores, kind="stable")
    scores, wrong = scores[order], rows.truth[known, column][order] == 0
    ranks = _ranks(num_known, least)
    passed = []
    for rank in ranks:
        threshold = _just_above(scores[rank]) if rank < num_known else 0.0
        given = scores >= threshold
        errors = int(np.count_nonzero(wrong & given))
        if binomial_cdf(errors, int(given.sum()), limit.risk) <= tolerated / len(ranks):
            passed.append(threshold)
    if not passed:
        raise DataError(_too_imprecise(limit, scores, wrong, ranks), path=path)
    allowed = [threshold for threshold in passed if threshold <= highest[column]]
    if not allowed:
        raise DataError(
            f"no threshold keeps the limit {limit} together with the others: it holds from a score of "
            f"{min(passed):.3g} on, and they allow {highest[column]:.3g} at most. Loosen one of them.",
            path=path,
        )
    candidates = [_with_threshold(decision, column, threshold) for threshold in allowed]
    return max(candidates, key=lambda each: _worth(each, rows))


def _just_above(score: np.float32) -> float:
    """Return the next score, or the highest that there is: many logits share it, whatever the rows are."""
    above = np.nextafter(score, np.float32(1))
    return float(above if above < 1 else score)


def _too_imprecise(limit: Limit, scores: FloatArray, wrong: BoolArray, ranks: Sequence[int]) -> str:
    """Return why no threshold keeps a precision. *Shapes:* (N,) both, the highest score first."""
    num_right = int(np.count_nonzero(~wrong))
    if not num_right:
        return (
            f"the limit {limit} needs rows that have the label, and there are none among the "
            f"{len(wrong)} in which it is known. Give such rows."
        )
    best = max(1 - float(wrong[:rank].mean()) for rank in ranks)
    span = f"{ranks[-1]} to {len(wrong)}" if len(ranks) > 1 else f"{len(wrong)}"
    tied = int(np.count_nonzero(scores == scores[0]))
    if tied > ranks[-1]:
        return (
            f"no threshold keeps the limit {limit}: {tied} of {len(wrong)} rows share the highest score of the "
            f"label, of which a fraction of {1 - float(wrong[:tied].mean()):.3f} is right, and no threshold "
            "separates them. Calibrate, such as with --calibration platt."
        )
    return (
        f"no threshold keeps the limit {limit} with these {len(wrong)} rows, of which {num_right} have the "
        f"label: of the {span} highest scores of the label at best a fraction of {best:.3f} is right, which is "
        "not surely enough. Give more rows, or a looser limit."
    )


def _ranks(num_rows: int, least: int) -> list[int]:
    """Return how many of the highest scores are looked at: from all rows down to `least`."""
    ranks, rank = [], float(num_rows)
    while rank >= least:
        ranks.append(int(rank))
        rank /= _RATIO
    return ranks


def _with_threshold(decision: Decision, column: int, threshold: float) -> Decision:
    """Return the decision with another threshold of one label."""
    thresholds = list(decision.thresholds)
    thresholds[column] = threshold
    return replace(decision, thresholds=tuple(thresholds))


def _worth(decision: Decision, rows: FittingRows) -> float:
    value = decision.goal_value(decision.scores(rows.logits), rows.truth)
    return -np.inf if value is None else value


def _described(
    before: Decision, decision: Decision, rows: FittingRows, limits: Sequence[Limit]
) -> Limited:
    """Return the decision with its promises, and notes of what they cost."""
    tally = PromiseTally(limits, decision.space.names)
    tally.update(rows.truth, decision.decide_logits(rows.logits))
    promises = tuple(
        Promise(str(limit), check.rows, 0.0 if check.value is None else check.value, _method(limit))
        for limit, check in zip(limits, tally.checks(), strict=True)
    )
    old, new = np.array(before.thresholds), np.array(decision.thresholds)
    changed = np.flatnonzero(old != new)
    notes = []
    if len(changed):
        largest = int(changed[np.argmax(np.abs(logit(new) - logit(old))[changed])])
        notes.append(
            f"The limits changed {counted(len(changed), 'threshold')}; most of all that of "
            f"{cut(decision.space.names[largest])}, from {old[largest]:.3f} to {new[largest]:.3f}. What lies "
            "below is of the goal alone, without limits."
        )
    else:
        notes.append("The thresholds of the goal keep the limits as they are.")
    return Limited(replace(decision, promises=promises), tuple(notes))


def _method(limit: Limit) -> str:
    if limit.confidence is None:
        return "conformal_risk_control"
    return {"precision": "learn_then_test", "samples_recall": "hoeffding_bentkus"}.get(
        limit.name, "binomial"
    )
