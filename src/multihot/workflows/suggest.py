"""Which texts to label next, with a trained model or with nothing but the names of labels.

Letters: `N` texts, `L` labels, `D` width of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelSpace
from multihot.core.text_tables import counted
from multihot.data.duplicates import normalised
from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, labelled_chunks
from multihot.data.text_stream import TextRow
from multihot.decision.next_texts import (
    Chosen,
    check_choice,
    choose_texts,
    gains_of_scores,
    gains_of_similarities,
    worth_comparing,
)
from multihot.errors import DataError
from multihot.inference.encoder_vectors import load_encoder_vectors
from multihot.inference.predictor import Predictor
from multihot.inference.vectors import of_length_one, text_vectors

__all__ = ["Suggestion", "Suggestions", "suggest", "suggest_by_names"]

FloatArray = npt.NDArray[np.float32]
Progress = Callable[[int], None]

_CHUNK_ROWS = 2048
_TEXTS_FOR_COUNTS = (
    100  # what the expected positives of a label are scaled to, with nothing labelled
)
_MOST_NAMED = 2  # labels that are named as the reason for a text


@dataclass(frozen=True)
class Suggestion:
    """One text to label."""

    id: str
    line: int
    """1-based line (or row) of its file."""
    text: str
    scores: dict[str, float]
    """Of every label: probabilities; without a model, cosines to the names."""
    predicted: tuple[str, ...]
    """Labels that the model gives; without a model, none."""
    truncated: bool
    value: float
    """What it was worth when it was chosen; comparable inside one call."""
    reasons: tuple[str, ...]
    """The labels that make up most of that."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "id": self.id,
            "line": self.line,
            "text": self.text,
            "predicted_labels": list(self.predicted),
            "scores": {name: round(score, 6) for name, score in self.scores.items()},
            "value": round(self.value, 6),
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True)
class Suggestions:
    """The texts to label, the most valuable first."""

    labels: tuple[str, ...]
    rows: tuple[Suggestion, ...]
    num_texts: int
    """Texts that were read."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the keys as in `multihot suggest --json`."""
        return {
            "texts": self.num_texts,
            "labels": list(self.labels),
            "rows": [row.to_json() for row in self.rows],
        }


@dataclass(frozen=True)
class _Pool:
    """Texts that are new, each once."""

    rows: list[TextRow]
    num_read: int
    num_blank: int
    num_repeated: int
    num_labelled: int

    @property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]

    def notes(self, count: int) -> list[str]:
        """Return what was left out, and that there are few where there are."""
        left_out = [
            counted(number, f"text {what}", f"texts {what}")
            for number, what in (
                (self.num_repeated, "said the same as an earlier one"),
                (self.num_labelled, "labelled already"),
                (self.num_blank, "without a word"),
            )
            if number
        ]
        notes = [f"Left out: {', '.join(left_out)}."] if left_out else []
        if len(self.rows) < count:
            notes.append(f"There are only {counted(len(self.rows), 'text')} to choose from.")
        return notes


def suggest(
    predictor: Predictor,
    texts: Iterable[TextRow],
    count: int,
    *,
    labelled: Examples | LabelledFile | None = None,
    diversity: float = 0.5,
    progress: Progress | None = None,
) -> Suggestions:
    """Choose the texts from which a trained model would learn most.

    A text is worth much where labels with few positives are probable but not certain, and where no
    chosen text says the same. All texts are held in memory.

    Parameters
    ----------
    predictor
        The model.
    texts
        N texts, as `stream_texts` yields them.
    count
        How many are wanted, from 1.
    labelled
        What is labelled already: its texts are left out, near-duplicates included, and its positives
        are counted. Without it, the frequency of labels is what the scores of all texts say.
    diversity
        As in `choose_texts`.
    progress
        Receives the number of texts scored so far, now and then.
    """
    check_choice(count, diversity)
    pool, counts = _pool(texts, labelled, predictor.space)
    names, decision = predictor.space.names, predictor.decision
    logits = np.zeros((len(pool.rows), len(names)), dtype=np.float32)
    truncated = np.zeros(len(pool.rows), dtype=np.bool_)
    for start in range(0, len(pool.rows), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        logits[part], truncated[part] = predictor.logits(pool.texts[part])
        if progress is not None:
            progress(min(start + _CHUNK_ROWS, len(pool.rows)))
    scores = decision.scores(logits)
    if counts is None:
        counts = scores.mean(axis=0) * _TEXTS_FOR_COUNTS
    gains = gains_of_scores(scores)
    chosen = _chosen(
        pool,
        gains,
        counts,
        count=count,
        diversity=diversity,
        vectors_of=lambda rows: _vectors(predictor, pool, rows, logits),
    )
    return Suggestions(
        labels=names,
        rows=_suggestions(
            pool, names, chosen, scores, decision.names(scores[chosen.rows]), truncated=truncated
        ),
        num_texts=pool.num_read,
        notes=tuple(pool.notes(count)),
    )


def suggest_by_names(
    names: Sequence[str],
    texts: Iterable[TextRow],
    count: int,
    *,
    descriptions: Mapping[str, str] | None = None,
    labelled: Examples | LabelledFile | None = None,
    encoder: str = "starter",
    device: str = "auto",
    diversity: float = 0.5,
    progress: Progress | None = None,
) -> Suggestions:
    """Choose a first batch for labels of which nothing but the names is known.

    A text is worth much where it is among those that are most similar to a label's name or
    description, by an encoder that was trained for no labels; labels take turns.

    Parameters
    ----------
    names
        The labels. An underscore is read as a space.
    texts, count, labelled, diversity, progress
        As in `suggest`.
    descriptions
        Longer texts for some of them, by name.
    encoder
        `starter`, a folder or a hub name.
    device
        Where it computes.
    """
    space = LabelSpace(tuple(names))
    given = {space.names[space.index(name)]: text for name, text in (descriptions or {}).items()}
    check_choice(count, diversity)
    pool, counts = _pool(texts, labelled, space)
    to_vectors = load_encoder_vectors(encoder, device=device)
    asked = to_vectors([given.get(name) or name.replace("_", " ") for name in space.names])
    parts = []
    for start in range(0, len(pool.rows), _CHUNK_ROWS):
        parts.append(to_vectors(pool.texts[start : start + _CHUNK_ROWS]))
        if progress is not None:
            progress(min(start + _CHUNK_ROWS, len(pool.rows)))
    vectors = np.concatenate(parts)
    cosines = vectors @ asked.T
    gains = gains_of_similarities(cosines)
    counts = np.zeros(len(space)) if counts is None else counts
    chosen = _chosen(
        pool, gains, counts, count=count, diversity=diversity, vectors_of=lambda rows: vectors[rows]
    )
    nothing = [()] * len(chosen.rows)
    whole = np.zeros(len(pool.rows), dtype=np.bool_)
    return Suggestions(
        labels=space.names,
        rows=_suggestions(pool, space.names, chosen, cosines, nothing, truncated=whole),
        num_texts=pool.num_read,
        notes=tuple(pool.notes(count)),
    )


def _pool(
    texts: Iterable[TextRow],
    labelled: Examples | LabelledFile | None,
    space: LabelSpace,
) -> tuple[_Pool, npt.NDArray[np.float64] | None]:
    """Return the texts that may be chosen, and the positives that are known."""
    seen: dict[str, bool] = {}
    counts = None if labelled is None else np.zeros(len(space))
    if labelled is not None and counts is not None:
        for chunk, labels in labelled_chunks(labelled):
            seen |= dict.fromkeys(map(normalised, chunk.texts), True)
            for column, name in enumerate(labels.space.names):
                if name in space.columns:
                    values = labels.values[:, column]
                    counts[space.index(name)] += np.count_nonzero(values >= 0.5)
    rows: list[TextRow] = []
    num_read = num_blank = num_repeated = num_labelled = 0
    for row in texts:
        num_read += 1
        key = normalised(row.text)
        if not key:
            num_blank += 1
        elif key in seen:
            num_labelled += seen[key]
            num_repeated += not seen[key]
        else:
            seen[key] = False
            rows.append(row)
    if not rows:
        raise DataError("There is no text to choose from: all are blank, or labelled already.")
    return _Pool(rows, num_read, num_blank, num_repeated, num_labelled), counts


def _chosen(
    pool: _Pool,
    gains: FloatArray,
    counts: npt.ArrayLike,
    *,
    count: int,
    diversity: float,
    vectors_of: Callable[[npt.NDArray[np.int64]], FloatArray],
) -> Chosen:
    """Return what is chosen of the pool; only texts that may be chosen need vectors."""
    kept = worth_comparing(gains, counts, count)
    chosen = choose_texts(gains[kept], counts, vectors_of(kept), count, diversity=diversity)
    return replace(chosen, rows=kept[chosen.rows])


def _vectors(
    predictor: Predictor, pool: _Pool, rows: npt.NDArray[np.int64], logits: FloatArray
) -> FloatArray:
    """Return vectors of the encoder, or, of an export, which has none, those of the logits."""
    if predictor.artifact.exported is not None:
        return of_length_one(logits[rows] - logits.mean(axis=0))
    return text_vectors(predictor, [pool.rows[row].text for row in rows], "Choosing texts")


def _suggestions(
    pool: _Pool,
    names: Sequence[str],
    chosen: Chosen,
    scores: FloatArray,
    predicted: Sequence[Sequence[str]],
    *,
    truncated: npt.NDArray[np.bool_],
) -> tuple[Suggestion, ...]:
    found = []
    for place, row in enumerate(chosen.rows.tolist()):
        given = pool.rows[row]
        most = np.argsort(-chosen.shares[place], kind="stable")[:_MOST_NAMED]
        found.append(
            Suggestion(
                id=given.id,
                line=given.line,
                text=given.text,
                scores=dict(zip(names, scores[row].tolist(), strict=True)),
                predicted=tuple(predicted[place]),
                truncated=bool(truncated[row]),
                value=float(chosen.values[place]),
                reasons=tuple(names[column] for column in most),
            )
        )
    return tuple(found)
