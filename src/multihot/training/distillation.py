"""Knowledge distillation: a student aims at what finished models predict for its training rows.

A small network that learns from a large one (or from several) comes closer to it than one that sees
the labels alone: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
section 2, here with one probability for each label instead of one softmax. Teacher scores also stand
in for unknown labels, so that texts without any label can be learnt from. Each teacher scores the
rows once; its scores are kept in the cache:

FOLDER/KEY/scores.bin   in the cache of the tokens; KEY tells model, rows, device and precision
           meta.json    written last, with the SHA-256 of the scores

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
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.files import sha256_of
from multihot.core.labels import LabelSpace, row_hashes
from multihot.data.array_store import META, cache_folder, new_arrays, open_matrix, remove_old
from multihot.data.dataset import EncodedExamples
from multihot.data.label_codes import LabelCells
from multihot.data.labelled_file import labelled_chunks
from multihot.errors import DataError, OptionError, StorageError
from multihot.inference.artifact import Artifact, load_artifact
from multihot.inference.predictor import Predictor

__all__ = ["Scorer", "Teachers", "fingerprint", "mixed_targets", "open_teachers"]

FloatArray = npt.NDArray[np.float32]

_SECONDS_BETWEEN_WORDS = 30.0
_SCORES = "scores"


def fingerprint(artifact: Artifact) -> str:
    """Return the SHA-256 of the file that holds the decision and the hashes of all other files."""
    return sha256_of(artifact.folder / "thresholds.json")


@dataclass(frozen=True)
class Scorer:
    """How texts are scored.

    Attributes
    ----------
    device, precision
        As chosen, not `auto`: both change the last bits.
    say
        Receives sentences for people.
    """

    device: str
    precision: str
    say: Callable[[str], None]

    def scores(self, artifact: Artifact, rows: EncodedExamples) -> FloatArray:
        """Return the probabilities of all stored rows, mapped where the cache has them.

        *Shape:* (N, M), float32. Raises `DataError` when a file is not what it was when it was encoded.
        """
        num_rows, num_labels = len(rows.stored.hashes), len(artifact.decision.space)
        folder = cache_folder()
        entry = None if folder is None else folder / self._key(artifact, rows)
        if entry is not None and (found := _known(entry, num_rows, num_labels)) is not None:
            self.say(f"What {artifact.folder} says of these texts was computed before: {entry}.")
            return found
        self.say(f"{artifact.folder} scores {num_rows} texts, once.")
        predictor = Predictor.from_artifact(artifact, device=self.device, precision=self.precision)
        if entry is not None:
            try:
                self._store(entry, predictor, rows)
            except StorageError as error:
                self.say(f"{error} Until then the scores are held in memory.")
            else:
                if (found := _known(entry, num_rows, num_labels)) is not None:
                    return found
        return np.concatenate(list(self._windows(predictor, rows)))

    def _store(self, entry: Path, predictor: Predictor, rows: EncodedExamples) -> None:
        digest = hashlib.sha256()
        with new_arrays(entry, {_SCORES: np.float32}) as writer:
            remove_old(entry.parent)
            for window in self._windows(predictor, rows):
                digest.update(window.astype("<f4").tobytes())
                writer.append(_SCORES, window.ravel())
            writer.facts["sha256"] = digest.hexdigest()

    def _windows(self, predictor: Predictor, rows: EncodedExamples) -> Iterator[FloatArray]:
        """Yield the probabilities of some rows at a time, and now and then a word."""
        num_done, due = 0, time.monotonic() + _SECONDS_BETWEEN_WORDS
        for texts in _texts(rows):
            yield predictor.scores(texts)
            num_done += len(texts)
            if time.monotonic() >= due:
                self.say(f"  {num_done} of {len(rows.stored.hashes)} texts are scored.")
                due = time.monotonic() + _SECONDS_BETWEEN_WORDS

    def _key(self, artifact: Artifact, rows: EncodedExamples) -> str:
        key = {
            "teacher": fingerprint(artifact),
            "rows": hashlib.sha256(np.ascontiguousarray(rows.stored.hashes).data).hexdigest(),
            "device": self.device,
            "precision": self.precision,
            "version": version("multihot"),
        }
        # A name like those of tokens, so that unused scores are removed with unused tokens.
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def _texts(rows: EncodedExamples) -> Iterator[Sequence[str]]:
    """Yield the texts of all stored rows, some at a time; raise `DataError` when they are others now."""
    start = 0
    for chunk, labels in labelled_chunks(rows.origin):
        hashes = row_hashes(chunk.texts, labels.aligned_to(rows.labels.space))
        if not np.array_equal(hashes, rows.stored.hashes[start : start + len(chunk)]):
            raise DataError(
                "The file changed while it was read. Start again.", path=rows.origin.source
            )
        yield chunk.texts
        start += len(chunk)


def _known(entry: Path, num_rows: int, num_labels: int) -> FloatArray | None:
    """Return what the cache has; `None` unless it is all there, as it was written. *Shape:* (N, M)."""
    found = open_matrix(entry, _SCORES, (num_rows, num_labels))
    if found is None:
        return None
    scores, facts = found
    with contextlib.suppress(OSError):
        if sha256_of(entry / f"{_SCORES}.bin") == facts.get("sha256"):
            os.utime(entry / META)  # what is in use does not grow old
            return scores
    return None


_WINDOW_ROWS = 2048
_TARGETS = "targets"


@dataclass(frozen=True)
class Teachers:
    """Finished models whose mean probability of each label is what they teach; there may be none."""

    artifacts: tuple[Artifact, ...]

    def __bool__(self) -> bool:
        return bool(self.artifacts)

    def facts(self) -> dict[str, str]:
        """Return a hash of all that decides what they say, for a run that is resumed to compare."""
        if not self:
            return {}
        return {"teacher": sha256("".join(map(fingerprint, self.artifacts)).encode()).hexdigest()}

    def names(self) -> tuple[str, ...]:
        """Return the names of their folders, for the model card."""
        return tuple(artifact.folder.resolve().name for artifact in self.artifacts)

    def distil(
        self, rows: EncodedExamples, weight: float, folder: Path, scorer: Scorer
    ) -> EncodedExamples:
        """Return the same rows with soft targets from the teachers; see `mixed_targets`.

        Without teachers the rows stay as they are. The texts are read again, once for each teacher
        whose scores of them are not cached. The targets, four bytes a cell, lie in mapped files in
        `folder`; those that an interrupted run left there are used as they are.
        """
        if not self:
            return rows
        space, size = rows.labels.space, len(rows.stored.hashes)
        shape = size, len(space)
        if open_matrix(folder, _TARGETS, shape) is None:
            scores = [scorer.scores(artifact, rows) for artifact in self.artifacts]
            own = LabelCells(space, rows.stored.codes)
            with new_arrays(folder, {_TARGETS: np.float32}) as writer:
                for start in range(0, size, _WINDOW_ROWS):
                    places = np.arange(start, min(start + _WINDOW_ROWS, size))
                    taught = self._mean([part[places] for part in scores], space)
                    mixed = mixed_targets(own.values(places), taught, weight)
                    writer.append(_TARGETS, mixed.ravel())
        found = open_matrix(folder, _TARGETS, shape)
        if found is None:
            raise StorageError(f"{folder} was changed while it was written. Start again.")
        codes = found[0]
        return replace(
            rows,
            stored=replace(rows.stored, codes=codes),
            labels=LabelCells(space, codes, rows.places),
        )

    def _mean(self, scores: Sequence[FloatArray], space: LabelSpace) -> FloatArray:
        """Return the mean over those teachers that know a label, NaN where none does.

        *Shapes:* (N, M) each -> (N, L).
        """
        total = np.zeros((len(scores[0]), len(space)), dtype=np.float32)
        count = np.zeros(len(space), dtype=np.float32)
        for artifact, found in zip(self.artifacts, scores, strict=True):
            theirs = artifact.decision.space
            for column, name in enumerate(space.names):
                if name in theirs.names:
                    total[:, column] += found[:, theirs.index(name)]
                    count[column] += 1
        known = np.where(count > 0, count, np.nan).astype(np.float32)
        return np.asarray(total / known, dtype=np.float32)


def open_teachers(
    folders: Sequence[str], space: LabelSpace, say: Callable[[str], None]
) -> Teachers:
    """Read and verify the teachers, and say which labels of the training rows they leave untaught.

    Raises `ArtifactError` for a folder that is no finished model, `OptionError` when one has no label
    of the training rows.
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
    untaught = [name for name in space.names if name not in taught]
    if artifacts and untaught:
        say(f"No teacher knows these labels: {', '.join(untaught)}.")
    return Teachers(artifacts)


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
