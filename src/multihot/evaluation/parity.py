"""Two models that ought to decide alike: count where they do not, and certify it.

One is a model as it was trained, the other its export. Both answered the same texts; this compares the
answers, and computes with numpy alone.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace, text_hashes
from multihot.core.text_tables import counted, cut, listed, printable
from multihot.data.labelled_file import WINDOW_ROWS
from multihot.decision.decision import Decision, rows_fitted
from multihot.errors import LabelError, NonFiniteError, OptionError
from multihot.evaluation.paired_tests import Difference, Differences
from multihot.evaluation.parity_certificate import (
    ChangedText,
    Flip,
    LabelFlips,
    ParityCertificate,
    Speed,
)

__all__ = ["MAX_TEXTS", "ParityCertificate", "Speed", "certify"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

MAX_TEXTS = 50
"""Texts that a certificate quotes where nobody asks for another number."""

_MAX_FLIPS_OF_TEXT = 10
_MAX_CHARACTERS = 160
_OF_PROBABILITIES = ("brier_score", "log_loss")
_BOTH = ("model", "export")


@dataclass(frozen=True)
class _Answers:
    """Scores and decisions of one model. *Shapes:* (N, L)."""

    scores: FloatArray
    decided: BoolArray


def certify(
    decisions: Mapping[str, Decision],
    logits: Mapping[str, FloatArray],
    texts: Sequence[str],
    truth: FloatArray | None = None,
    *,
    source: str,
    max_flips: float,
    refitted: bool = False,
    ids: Sequence[str] | None = None,
    max_texts: int = MAX_TEXTS,
    seed: int = 0,
) -> ParityCertificate:
    """Compare what a model and its export say about the same texts.

    What was measured beside (speed, versions, hashes) is added with `dataclasses.replace`.

    Parameters
    ----------
    decisions, logits
        Of `model` and `export`. The labels are the same, in the same order. *Shape of logits:* (N, L),
        before calibration.
    texts
        N texts, at least one.
    truth
        *Shape:* (N, L), 0, 1 or NaN (unknown); without a known cell there are no metrics.
    source
        Where the texts came from, such as the name of a file.
    max_flips
        Fraction of decisions (N times L) that may change.
    refitted
        Whether the export has thresholds or a calibration that were fitted again on its scores. Changes
        of decisions are then counted with those of the model, and once more with its own. Otherwise an
        export with another decision is a folded one: its scores are no probabilities.
    ids
        Name of each text; default: their numbers, from 1.
    max_texts
        How many changed texts the certificate quotes; with 0 it quotes none.
    seed
        Of the bootstrap.

    Raises
    ------
    OptionError
        There is no text, or `max_flips` is no fraction.
    LabelError
        The models have different labels, or something is not of N texts.
    NonFiniteError
        A logit is NaN.
    """
    _check(decisions, logits, texts, truth, ids)
    if not 0 <= max_flips <= 1:
        raise OptionError(f"max_flips is {cut(max_flips)}; expected a fraction between 0 and 1.")
    space = decisions["model"].space
    folded = not refitted and not _same_decision(decisions["model"], decisions["export"])
    own = {name: _answers(decisions[name], logits[name]) for name in _BOTH}
    before, after = own["model"], own["export"]
    if refitted:
        after = _answers(decisions["model"], logits["export"])
    flipped = before.decided != after.decided
    differences = np.abs(before.scores.astype(np.float64) - after.scores)
    labels = LabelMatrix(space, np.full(flipped.shape, np.nan) if truth is None else truth)
    names = ids if ids is not None else range(1, len(texts) + 1)
    return ParityCertificate(
        source=source,
        texts_sha256=hashlib.sha256(text_hashes(texts).tobytes()).hexdigest(),
        rows=len(texts),
        max_flips=float(max_flips),
        cells_flipped=int(flipped.sum()),
        texts_changed=int(flipped.any(axis=1).sum()),
        flips=_label_flips(decisions, before.decided, after.decided),
        changed_texts=[
            ChangedText(
                row=row + 1,
                id=_quoted(str(names[row])),
                text=_quoted(texts[row]),
                num_flips=int(flipped[row].sum()),
                flips=_flips(space, before, after, row),
            )
            for row in _chosen_rows(flipped, differences, max_texts)
        ],
        cells_flipped_refitted=int((before.decided != own["export"].decided).sum())
        if refitted
        else None,
        max_abs_difference=None if folded else float(differences.max()),
        mean_abs_difference=None if folded else float(differences.mean()),
        metrics=_metric_differences(labels.hard().values, own, folded=folded, seed=seed),
        rows_known=int(labels.known.any(axis=1).sum()),
        rows_fitted={name: rows_fitted(decisions[name], texts, labels) for name in _BOTH},
        folded=folded,
    )


def _check(
    decisions: Mapping[str, Decision],
    logits: Mapping[str, FloatArray],
    texts: Sequence[str],
    truth: FloatArray | None,
    ids: Sequence[str] | None,
) -> None:
    """Raise unless everything is about the same texts and labels, and both models answered."""
    if not len(texts):
        raise OptionError("There is no text to compare the export with its model on.")
    model, export = (decisions[name].space for name in _BOTH)
    if model != export:
        raise LabelError(
            f"The export has the labels {listed(export.names)}; its model has {listed(model.names)}, or "
            "has them in another order."
        )
    for name in _BOTH:
        if len(logits[name]) != len(texts):
            raise LabelError(f"The {name} answered {len(logits[name])} of {len(texts)} texts.")
        if broken := int(np.isnan(logits[name]).any(axis=1).sum()):
            raise NonFiniteError(
                f"The {name} returned NaN for {broken} of {counted(len(texts), 'text')}: its weights are "
                "damaged, or its number format overflows."
            )
    for what, given in (("labels", truth), ("ids", ids)):
        if given is not None and len(given) != len(texts):
            raise LabelError(f"There are {what} of {len(given)} texts; expected {len(texts)}.")


def _same_decision(one: Decision, other: Decision) -> bool:
    """Return whether two decisions make the same of the same logits."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("thresholds", "calibration", "kind", "goal", "empty_set_rule")
    )


def _answers(decision: Decision, logits: FloatArray) -> _Answers:
    scores = decision.scores(logits)
    return _Answers(scores, decision.decide(scores))


def _label_flips(
    decisions: Mapping[str, Decision], before: BoolArray, after: BoolArray
) -> dict[str, LabelFlips]:
    gained = (after & ~before).sum(axis=0).tolist()
    lost = (before & ~after).sum(axis=0).tolist()
    thresholds = (decisions[name].thresholds_by_name().values() for name in _BOTH)
    rows = zip(gained, lost, *thresholds, strict=True)
    names = decisions["model"].space.names
    return {name: LabelFlips(*row) for name, row in zip(names, rows, strict=True)}


def _chosen_rows(
    flipped: BoolArray, differences: npt.NDArray[np.float64], max_texts: int
) -> list[int]:
    """Return the rows to quote: the largest change of every label, then the second largest of every one."""
    rows, columns = np.nonzero(flipped)
    moved = differences[rows, columns]
    order = np.lexsort((rows, -moved, columns))
    rows, columns, moved = rows[order], columns[order], moved[order]
    rank = np.arange(len(rows)) - np.searchsorted(columns, columns)
    order = np.lexsort((rows, -moved, rank))
    return list(dict.fromkeys(rows[order].tolist()))[:max_texts]


def _flips(space: LabelSpace, before: _Answers, after: _Answers, row: int) -> tuple[Flip, ...]:
    """Return the changed decisions about one text, the largest change of score first."""
    columns = np.flatnonzero(before.decided[row] != after.decided[row])
    moved = np.abs(before.scores[row, columns] - after.scores[row, columns])
    order = np.argsort(-moved, kind="stable")[:_MAX_FLIPS_OF_TEXT]
    return tuple(
        Flip(
            label=space.names[column],
            gained=bool(after.decided[row, column]),
            model_score=float(before.scores[row, column]),
            export_score=float(after.scores[row, column]),
        )
        for column in columns[order].tolist()
    )


def _quoted(text: str) -> str:
    is_cut = len(text) > _MAX_CHARACTERS
    return printable(text[:_MAX_CHARACTERS]) + (" ..." if is_cut else "")


def _metric_differences(
    truth: FloatArray, own: Mapping[str, _Answers], *, folded: bool, seed: int
) -> dict[str, Difference]:
    """Return the differences of the metrics, export less model; none without a known cell."""
    if np.isnan(truth).all():
        return {}
    differences = Differences(len(truth), truth.shape[1], seed)
    export, model = own["export"], own["model"]
    for start in range(0, len(truth), WINDOW_ROWS):
        rows = slice(start, start + WINDOW_ROWS)
        decided = [export.decided[rows], model.decided[rows]]
        differences.update(truth[rows], decided, [export.scores[rows], model.scores[rows]])
    metrics, _ = differences.result()
    left_out = _OF_PROBABILITIES if folded else ()
    return {name: one for name, one in metrics.items() if name not in left_out}
