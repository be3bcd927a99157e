"""A student aims at what finished models say of its training rows.

A small network that learns from a large one (or from several) comes closer to it than one that sees
the labels alone: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
section 2, here with one probability for each label instead of one softmax. What teachers say also
stands in for unknown labels, so that texts without any label can be learnt from.

Letters: `N` rows, `L` labels of the student, `M` of a teacher.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.artifact import Artifact, load_artifact
from multihot.data.label_cells import LabelCells
from multihot.data.mapped_arrays import new_arrays, open_arrays
from multihot.data.records import Examples
from multihot.data.token_cache import cache_folder
from multihot.decision.fitted_rows import row_hashes
from multihot.errors import DataError, OptionError, StorageError
from multihot.files import sha256_of
from multihot.labels import LabelSpace
from multihot.options import TrainOptions
from multihot.predictor import Predictor
from multihot.training.rows import EncodedExamples

__all__ = ["Teachers", "mixed_targets", "open_teachers"]

_WINDOW_ROWS = 2048
_SECONDS_BETWEEN_WORDS = 30.0
_SCORES, _TARGETS = "scores", "targets"

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Teachers:
    """Finished models whose mean probability of each label is what they teach."""

    artifacts: tuple[Artifact, ...]
    space: LabelSpace
    """Labels of the student; those that no teacher knows are not taught."""

    def facts(self) -> dict[str, str]:
        """Return a hash of all that decides what they say, for a run that is resumed to compare."""
        if not self.artifacts:
            return {}
        together = "".join(map(_fingerprint, self.artifacts))
        return {"teacher": hashlib.sha256(together.encode()).hexdigest()}

    def teach(
        self,
        rows: EncodedExamples,
        options: TrainOptions,
        folder: Path,
        say: Callable[[str], None],
    ) -> EncodedExamples:
        """Return the same rows with what the teachers say among their labels; see `mixed_targets`.

        Without teachers the rows stay as they are. The texts are read again, once for each teacher
        that has not scored them before; scores are kept in the cache. The new targets, four bytes a
        cell, lie in mapped files in `folder`.
        """
        if not self.artifacts:
            return rows
        stored = rows.stored
        scores = [_scores(artifact, rows, options, say) for artifact in self.artifacts]
        own = LabelCells(self.space, stored.codes)
        with new_arrays(folder, {_TARGETS: np.float32}) as writer:
            for start in range(0, len(own), _WINDOW_ROWS):
                places = np.arange(start, min(start + _WINDOW_ROWS, len(own)))
                taught = self._mean([part[places] for part in scores])
                mixed = mixed_targets(own.values(places), taught, options.teacher_weight)
                writer.append(_TARGETS, mixed.ravel())
        found = open_arrays(folder)
        if found is None:
            raise StorageError(f"{folder} was changed while it was written. Start again.")
        codes = found[0][_TARGETS].reshape(len(own), len(self.space))
        return replace(
            rows,
            stored=replace(stored, codes=codes),
            labels=LabelCells(self.space, codes, rows.places),
        )

    def _mean(self, scores: Sequence[FloatArray]) -> FloatArray:
        """Return the mean over those teachers that know a label, NaN where none does.

        *Shapes:* (N, M) each -> (N, L).
        """
        total = np.zeros((len(scores[0]), len(self.space)), dtype=np.float32)
        count = np.zeros(len(self.space), dtype=np.float32)
        for artifact, found in zip(self.artifacts, scores, strict=True):
            theirs = artifact.decision.space
            for column, name in enumerate(self.space.names):
                if name in theirs.names:
                    total[:, column] += found[:, theirs.index(name)]
                    count[column] += 1
        known = np.where(count > 0, count, np.nan).astype(np.float32)
        return np.asarray(total / known, dtype=np.float32)


def open_teachers(
    folders: Sequence[str], space: LabelSpace, say: Callable[[str], None]
) -> Teachers:
    """Read and verify the teachers, and say which labels they leave untaught.

    Raises `ArtifactError` for a folder that is no finished model, `OptionError` when one has no label
    of the student's.
    """
    artifacts = tuple(load_artifact(folder) for folder in folders)
    taught: set[str] = set()
    for artifact in artifacts:
        names = artifact.decision.space.names
        if not set(names) & set(space.names):
            raise OptionError(
                f"teacher={artifact.folder} knows none of the labels of the training rows: it has "
                f"{', '.join(names)}; they have {', '.join(space.names)}."
            )
        taught |= set(names)
        if artifact.decision.calibration is None:
            say(
                f"The scores of {artifact.folder} are not calibrated. Unless it was trained with plain "
                "cross-entropy, they are no probabilities: fit a calibration first, with multihot decide "
                f"{artifact.folder} VALIDATION --calibration platt."
            )
    if untaught := [name for name in space.names if name not in taught]:
        say(f"No teacher knows these labels: {', '.join(untaught)}.")
    return Teachers(artifacts, space)


def mixed_targets(values: FloatArray, taught: FloatArray, weight: float) -> FloatArray:
    """Return what to aim at.

    Known cells become `(1 - weight) label + weight taught`, unknown ones what is taught; where nothing is
    taught a cell stays as it is.

    Parameters
    ----------
    values
        Labels, 0 to 1, NaN = unknown. *Shape:* (N, L), float32.
    taught
        Probabilities, NaN = none. *Shape:* (N, L), float32.
    weight
        0 to 1.
    """
    mixed = (1 - weight) * values + weight * taught
    found = np.where(np.isnan(values), taught, np.where(np.isnan(taught), values, mixed))
    return np.asarray(found, dtype=np.float32)


def _fingerprint(artifact: Artifact) -> str:
    """Of the file that holds the decision and lists the hashes of all other files."""
    return sha256_of(artifact.folder / "thresholds.json")


def _scores(
    artifact: Artifact, rows: EncodedExamples, options: TrainOptions, say: Callable[[str], None]
) -> FloatArray:
    """Return a teacher's probabilities of all stored rows, from the cache when it has them. (N, M)."""
    num_rows, num_labels = len(rows.stored.hashes), len(artifact.decision.space)
    entry = _entry(artifact, rows, options.precision)
    if entry is not None and (found := _known(entry, num_rows, num_labels)) is not None:
        say(f"What {artifact.folder} says of these texts was computed before: {entry}.")
        return found
    say(f"{artifact.folder} scores {num_rows} texts, once.")
    predictor = Predictor.from_artifact(
        artifact, device=options.device, precision=options.precision
    )

    def windows() -> Iterator[FloatArray]:
        num_done, due = 0, time.monotonic() + _SECONDS_BETWEEN_WORDS
        for texts in _texts(rows):
            yield predictor.scores(texts)
            num_done += len(texts)
            if time.monotonic() >= due:
                say(f"  {num_done} of {num_rows} texts are scored.")
                due = time.monotonic() + _SECONDS_BETWEEN_WORDS

    if entry is not None:
        try:
            with new_arrays(entry, {_SCORES: np.float32}) as writer:
                for window in windows():
                    writer.append(_SCORES, window.ravel())
        except StorageError as error:
            say(f"{error} Until then the scores are held in memory.")
        else:
            if (found := _known(entry, num_rows, num_labels)) is not None:
                return found
    return np.concatenate(list(windows()))


def _texts(rows: EncodedExamples) -> Iterator[Sequence[str]]:
    """Yield the texts of all stored rows, some at a time; raise `DataError` when they are others now."""
    origin = rows.origin
    if isinstance(origin, Examples):
        for start in range(0, len(origin), _WINDOW_ROWS):
            yield origin.texts[start : start + _WINDOW_ROWS]
        return
    start = 0
    for chunk in origin.chunks(_WINDOW_ROWS):
        assert chunk.labels is not None
        hashes = row_hashes(chunk.texts, chunk.labels.aligned_to(rows.labels.space))
        if not np.array_equal(hashes, rows.stored.hashes[start : start + len(chunk)]):
            raise DataError("The file changed while it was read. Start again.", path=origin.source)
        yield chunk.texts
        start += len(chunk)


def _entry(artifact: Artifact, rows: EncodedExamples, precision: str) -> Path | None:
    """Return the folder in the cache; `None` when the cache is off."""
    folder = cache_folder()
    if folder is None:
        return None
    key = {
        "teacher": _fingerprint(artifact),
        "rows": hashlib.sha256(np.ascontiguousarray(rows.stored.hashes).tobytes()).hexdigest(),
        "precision": precision,
        "version": version("multihot"),
    }
    # Among the tokens, under a name like theirs, so that unused ones are removed like theirs.
    return folder / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def _known(entry: Path, num_rows: int, num_labels: int) -> FloatArray | None:
    """Return what the cache has, mapped; `None` when it has not all of it. *Shape:* (N, M)."""
    found = open_arrays(entry)
    if found is None or found[0].get(_SCORES, np.empty(0)).size != num_rows * num_labels:
        return None
    with contextlib.suppress(OSError):
        os.utime(entry / "meta.json")  # what is in use does not grow old
    return np.asarray(found[0][_SCORES], dtype=np.float32).reshape(num_rows, num_labels)
