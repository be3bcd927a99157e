"""Two models that ought to decide alike: count where they do not, and certify it.

The reference is a model as it was trained, the other its export. Both answered the same texts; this
compares the answers, and computes with numpy alone.

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
    ComparedModel,
    Flip,
    LabelFlips,
    ParityCertificate,
)

__all__ = ["MAX_TEXTS", "Answers", "certify"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

MAX_TEXTS = 50
"""Texts that a certificate quotes where nobody asks for another number."""

_MAX_FLIPS_OF_TEXT = 10
_MAX_CHARACTERS = 160
_OF_PROBABILITIES = ("brier_score", "log_loss")


@dataclass(frozen=True)
class Answers:
    """What one model said about N texts, and how it decides."""

    model: ComparedModel
    logits: FloatArray
    """Before calibration. *Shape:* (N, L)."""
    decision: Decision


def certify(
    reference: Answers,
    exported: Answers,
    texts: Sequence[str],
    *,
    max_flips: float,
    instruction_set: str,
    versions: Mapping[str, str],
    source: str = "texts in memory",
    ids: Sequence[str] | None = None,
    truth: LabelMatrix | None = None,
    folded: bool = False,
    threads: int | None = None,
    max_texts: int = MAX_TEXTS,
    seed: int = 0,
) -> ParityCertificate:
    """Compare the decisions of an export with those of its reference.

    Parameters
    ----------
    reference, exported
        What both said about the texts. The labels are the same, in the same order; the decisions may
        differ, such as thresholds that were fitted again on the scores of an int8 model.
    texts
        N texts, at least one.
    max_flips
        Largest fraction of decisions (N times L) that may change.
    instruction_set
        See `core.instruction_set`.
    versions
        Of the packages that computed, by name.
    source
        Where the texts came from, such as the name of a file.
    ids
        Name of each text; default: their numbers, from 1.
    truth
        Labels of the texts, matched by name; without a known one there are no metrics.
    folded
        Whether thresholds are inside the weights of the export: its scores are no probabilities then,
        so that only decisions are compared.
    threads
        Threads that computed.
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
    _check(reference, exported, texts, ids, max_flips)
    scores = [_scores(one) for one in (reference, exported)]
    decided = [one.decision.decide(s) for one, s in zip((reference, exported), scores, strict=True)]
    flipped = decided[0] != decided[1]
    differences = np.abs(scores[0].astype(np.float64) - scores[1])
    labels = _labels(truth, reference.decision.space, len(texts))
    names = ids if ids is not None else [str(row + 1) for row in range(len(texts))]
    fitted = [rows_fitted(one.decision, texts, labels) for one in (reference, exported)]
    return ParityCertificate(
        reference=reference.model,
        exported=exported.model,
        source=source,
        texts_sha256=hashlib.sha256(text_hashes(texts).tobytes()).hexdigest(),
        rows=len(texts),
        max_flips=float(max_flips),
        num_flips=int(flipped.sum()),
        num_flips_by_scores=None if folded else _flips_by_scores(reference, exported, decided[0]),
        num_texts_changed=int(flipped.any(axis=1).sum()),
        max_score_difference=None if folded else float(differences.max()),
        mean_score_difference=None if folded else float(differences.mean()),
        labels=_label_flips(reference.decision, exported.decision, decided),
        changed_texts=[
            ChangedText(
                row=row + 1,
                id=_quoted(str(names[row])),
                text=_quoted(texts[row]),
                num_flips=int(flipped[row].sum()),
                flips=_flips(labels.space, [s[row] for s in scores], [d[row] for d in decided]),
            )
            for row in _chosen_rows(flipped, differences, max_texts)
        ],
        metrics=_metric_differences(labels.values, decided, scores, folded=folded, seed=seed),
        rows_known=int(labels.known.any(axis=1).sum()),
        rows_fitted=(fitted[0], fitted[1]),
        instruction_set=instruction_set,
        threads=threads,
        versions=dict(versions),
        folded=folded,
    )


def _check(
    reference: Answers,
    exported: Answers,
    texts: Sequence[str],
    ids: Sequence[str] | None,
    max_flips: float,
) -> None:
    if not 0 <= max_flips <= 1:
        raise OptionError(f"max_flips is {cut(max_flips)}; expected a fraction between 0 and 1.")
    if not len(texts):
        raise OptionError("There is no text to compare the export with its reference on.")
    if exported.decision.space != reference.decision.space:
        raise LabelError(
            f"The export has the labels {listed(exported.decision.space.names)}; its reference has "
            f"{listed(reference.decision.space.names)}, or has them in another order."
        )
    if ids is not None and len(ids) != len(texts):
        raise LabelError(f"There are {len(ids)} ids for {counted(len(texts), 'text')}.")
    for one in (reference, exported):
        if len(one.logits) != len(texts):
            raise LabelError(f"{one.model.name} answered {len(one.logits)} texts of {len(texts)}.")


def _scores(answers: Answers) -> FloatArray:
    """Return the scores of one model; say which of the two it is where it has none."""
    broken = int(np.isnan(answers.logits).any(axis=1).sum())
    if broken:
        raise NonFiniteError(
            f"{answers.model.name} returned NaN for {broken} of "
            f"{counted(len(answers.logits), 'text')}: it cannot be certified."
        )
    return answers.decision.scores(answers.logits)


def _labels(truth: LabelMatrix | None, space: LabelSpace, num_texts: int) -> LabelMatrix:
    """Return the labels of the texts, all of them unknown where none are given."""
    if truth is not None and len(truth) != num_texts:
        raise LabelError(f"There are labels of {len(truth)} texts; expected those of {num_texts}.")
    if truth is not None:
        return truth.aligned_to(space).hard()
    return LabelMatrix(space, np.full((num_texts, len(space)), np.nan, dtype=np.float32))


def _flips_by_scores(reference: Answers, exported: Answers, before: BoolArray) -> int:
    """Return how many decisions change when the reference's own decision is given the export's logits."""
    decided = reference.decision.decide(reference.decision.scores(exported.logits))
    return int((decided != before).sum())


def _label_flips(
    reference: Decision, exported: Decision, decided: Sequence[BoolArray]
) -> dict[str, LabelFlips]:
    added = (decided[1] & ~decided[0]).sum(axis=0).tolist()
    removed = (decided[0] & ~decided[1]).sum(axis=0).tolist()
    before, after = (one.thresholds_by_name().values() for one in (reference, exported))
    rows = zip(added, removed, before, after, strict=True)
    return {name: LabelFlips(*row) for name, row in zip(reference.space.names, rows, strict=True)}


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


def _flips(
    space: LabelSpace, scores: Sequence[FloatArray], decided: Sequence[BoolArray]
) -> tuple[Flip, ...]:
    """Return the changed decisions about one text. *Shapes:* (L,), of the reference and the export."""
    columns = np.flatnonzero(decided[0] != decided[1])
    order = np.argsort(-np.abs(scores[0] - scores[1])[columns], kind="stable")
    return tuple(
        Flip(
            label=space.names[column],
            added=bool(decided[1][column]),
            reference_score=float(scores[0][column]),
            exported_score=float(scores[1][column]),
        )
        for column in columns[order][:_MAX_FLIPS_OF_TEXT].tolist()
    )


def _quoted(text: str) -> str:
    is_cut = len(text) > _MAX_CHARACTERS
    return printable(text[:_MAX_CHARACTERS]) + (" ..." if is_cut else "")


def _metric_differences(
    truth: FloatArray,
    decided: Sequence[BoolArray],
    scores: Sequence[FloatArray],
    *,
    folded: bool,
    seed: int,
) -> dict[str, Difference]:
    """Return the differences of the metrics, export less reference; none without a known cell."""
    if np.isnan(truth).all():
        return {}
    differences = Differences(len(truth), truth.shape[1], seed)
    for start in range(0, len(truth), WINDOW_ROWS):
        rows = slice(start, start + WINDOW_ROWS)
        given = [decided[1][rows], decided[0][rows]]
        differences.update(truth[rows], given, [scores[1][rows], scores[0][rows]])
    metrics, _ = differences.result()
    left_out = _OF_PROBABILITIES if folded else ()
    return {name: one for name, one in metrics.items() if name not in left_out}
