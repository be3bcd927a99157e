"""Knowledge distillation: a student is trained on soft targets from the scores of finished models.

A small network that is trained on the scores of a large one (or of several) comes closer to it than
one that is trained on the labels alone: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
section 2, here with one probability for each label instead of one softmax. Teacher scores also stand
in for unknown labels (pseudo-labels), so that texts without any label can be trained on. Each teacher
scores the rows once; its scores are kept in the cache, beside the tokens.

Letters: `N` rows, `L` labels of the student, `M` of a teacher.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelSpace, row_hashes
from multihot.core.text_tables import counted, listed
from multihot.data.array_store import (
    StoredArrays,
    cache_folder,
    entry_of,
    new_arrays,
    new_entry,
    open_arrays,
    open_entry,
)
from multihot.data.dataset import EncodedExamples, Subset
from multihot.data.label_codes import label_values
from multihot.data.labelled_file import WINDOW_ROWS, labelled_chunks
from multihot.errors import ArtifactError, DataError, OptionError, StorageError
from multihot.gate.folder_files import MAX_FILE_BYTES, read_folder_file
from multihot.inference.artifact import Artifact, load_artifact
from multihot.inference.predictor import Predictor

__all__ = ["Scorer", "Teachers", "fingerprint", "mixed_targets", "open_teachers"]

FloatArray = npt.NDArray[np.float32]

_SECONDS_BETWEEN_REPORTS = 30.0
_SCORES, _TARGETS = "scores", "targets"  # names of stored arrays


def fingerprint(artifact: Artifact) -> str:
    """Return the SHA-256 of the file that holds the decision and the hashes of all other files."""
    digest = hashlib.sha256()
    read_folder_file(
        artifact.folder,
        "thresholds.json",
        most_bytes=MAX_FILE_BYTES,
        error=ArtifactError,
        on_part=digest.update,
    )
    return digest.hexdigest()


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

    def scores(self, artifact: Artifact, dataset: EncodedExamples) -> FloatArray:
        """Return the probabilities of all rows, mapped where the cache has them.

        *Shape:* (N, M), float32. Raises `DataError` when a file is not what it was when it was encoded.
        """
        shape = len(dataset), len(artifact.decision.space)
        cache, key = cache_folder(), self._key(artifact, dataset)
        if cache is not None:
            cached = _matrix(open_entry(cache, key), _SCORES, shape)
            if cached is not None:
                entry = entry_of(cache, key)
                self.say(f"Using cached teacher scores of {artifact.folder}: {entry}.")
                return cached
        self.say(f"{artifact.folder} scores {counted(len(dataset), 'text')}, once.")
        predictor = Predictor.from_artifact(artifact, device=self.device, precision=self.precision)
        if cache is not None:
            try:
                with new_entry(cache, key) as writer:
                    for window in self._windows(predictor, dataset):
                        writer.append(_SCORES, window)
            except StorageError as error:
                self.say(f"{error} Until then the scores are held in memory.")
            else:
                if (stored := _matrix(writer.stored, _SCORES, shape)) is not None:
                    return stored
        return np.concatenate(list(self._windows(predictor, dataset)))

    def _windows(self, predictor: Predictor, dataset: EncodedExamples) -> Iterator[FloatArray]:
        """Yield the probabilities of some rows at a time, and report progress now and then."""
        num_done, due = 0, time.monotonic() + _SECONDS_BETWEEN_REPORTS
        for texts in _texts(dataset):
            yield predictor.scores(texts)
            num_done += len(texts)
            if time.monotonic() >= due:
                self.say(f"  {num_done} of {len(dataset)} texts are scored.")
                due = time.monotonic() + _SECONDS_BETWEEN_REPORTS

    def _key(self, artifact: Artifact, dataset: EncodedExamples) -> str:
        hashes = np.ascontiguousarray(dataset.rows.hashes)
        key = {
            "teacher": fingerprint(artifact),
            "rows": hashlib.sha256(hashes.data).hexdigest(),
            "device": self.device,
            "precision": self.precision,
            "version": version("multihot"),
        }
        return json.dumps(key, sort_keys=True)


def _matrix(
    stored: StoredArrays | None, name: str, shape: tuple[int, int]
) -> npt.NDArray[np.float32] | None:
    """Return one of the stored arrays; `None` unless it is there and has this shape."""
    array = None if stored is None else stored[0].get(name)
    if array is None or array.shape != shape or array.dtype != np.float32:
        return None
    windows = (array[start : start + WINDOW_ROWS] for start in range(0, len(array), WINDOW_ROWS))
    # An unknown label has no score; NaN is neither below 0 nor above 1.
    return None if any(((part < 0) | (part > 1)).any() for part in windows) else array


def _texts(dataset: EncodedExamples) -> Iterator[Sequence[str]]:
    """Yield the texts of all rows, some at a time; raise `DataError` when they have changed."""
    start = 0
    for chunk, labels in labelled_chunks(dataset.origin):
        hashes = row_hashes(chunk.texts, labels.aligned_to(dataset.space))
        if not np.array_equal(hashes, dataset.rows.hashes[start : start + len(chunk)]):
            raise DataError(
                "The file changed while it was read. Start again.", path=dataset.origin.source
            )
        yield chunk.texts
        start += len(chunk)


@dataclass(frozen=True)
class Teachers:
    """Finished models whose mean probability of each label is the soft target; there may be none."""

    artifacts: tuple[Artifact, ...]

    def __bool__(self) -> bool:
        return bool(self.artifacts)

    def facts(self) -> dict[str, str]:
        """Return a hash of everything the scores depend on, which a resumed run compares."""
        if not self:
            return {}
        all_models = "".join(map(fingerprint, self.artifacts))
        return {"teacher": hashlib.sha256(all_models.encode()).hexdigest()}

    def names(self) -> tuple[str, ...]:
        """Return the names of their folders, for the model card."""
        return tuple(artifact.folder.resolve().name for artifact in self.artifacts)

    def distil(self, train_set: Subset, weight: float, folder: Path, scorer: Scorer) -> Subset:
        """Return the same rows with soft targets from the teachers; see `mixed_targets`.

        Without teachers the rows stay as they are. The texts are read again, once for each teacher
        whose scores of them are not cached. The targets, four bytes a cell, lie in mapped files in
        `folder`; those that an interrupted run left there are used as they are.
        """
        if not self:
            return train_set
        dataset = train_set.dataset
        shape = len(dataset), len(dataset.space)
        targets = _matrix(open_arrays(folder), _TARGETS, shape)
        if targets is None:
            scores = [scorer.scores(artifact, dataset) for artifact in self.artifacts]
            with new_arrays(folder) as writer:
                for start in range(0, len(dataset), WINDOW_ROWS):
                    part = slice(start, start + WINDOW_ROWS)
                    values = label_values(dataset.rows.codes[part])
                    mean = self._mean([each[part] for each in scores], dataset.space)
                    writer.append(_TARGETS, mixed_targets(values, mean, weight))
            targets = _matrix(writer.stored, _TARGETS, shape)
        if targets is None:
            raise StorageError(f"{folder} was changed while it was written. Start again.")
        rows = replace(dataset.rows, codes=targets)
        return replace(train_set, dataset=replace(dataset, rows=rows))

    def _mean(self, scores: Sequence[FloatArray], space: LabelSpace) -> FloatArray:
        """Return the mean over those teachers that know a label, NaN where none does.

        *Shapes:* (N, M) each -> (N, L).
        """
        total = np.zeros((len(scores[0]), len(space)), dtype=np.float32)
        count = np.zeros(len(space), dtype=np.float32)
        for artifact, own in zip(self.artifacts, scores, strict=True):
            own_space = artifact.decision.space
            for column, name in enumerate(space.names):
                if name in own_space.columns:
                    total[:, column] += own[:, own_space.columns[name]]
                    count[column] += 1
        known = np.where(count > 0, count, np.nan).astype(np.float32)
        return np.asarray(total / known, dtype=np.float32)


def open_teachers(
    folders: Sequence[str], space: LabelSpace, say: Callable[[str], None]
) -> Teachers:
    """Read and verify the teachers, and report which labels of the training rows none of them knows.

    Raises `ArtifactError` for a folder that is no finished model, `OptionError` when one has no label
    of the training rows.
    """
    artifacts = tuple(load_artifact(folder) for folder in folders)
    known: set[str] = set()
    for artifact in artifacts:
        names = artifact.decision.space.names
        if not set(names) & set(space.names):
            raise OptionError(
                f"teacher={artifact.folder} knows none of the labels of the training rows: it has "
                f"{listed(names)}; they have {listed(space.names)}."
            )
        known |= set(names)
        if artifact.decision.calibration is None:
            say(
                f"The scores of {artifact.folder} are not calibrated. Unless it was trained with plain "
                "cross-entropy, they are no probabilities: fit a calibration first, with multihot decide "
                f"{artifact.folder} VALIDATION --calibration platt."
            )
    unknown = [name for name in space.names if name not in known]
    if artifacts and unknown:
        say(f"No teacher knows these labels: {listed(unknown)}.")
    return Teachers(artifacts)


def mixed_targets(values: FloatArray, scores: FloatArray, weight: float) -> FloatArray:
    """Return the soft targets.

    Known cells become `(1 - weight) label + weight score`, unknown ones the score; a cell without a
    score stays as it is.

    Parameters
    ----------
    values
        Labels, 0 to 1, NaN = unknown. *Shape:* (N, L), float32.
    scores
        Probabilities of the teachers, NaN = none. *Shape:* (N, L), float32.
    weight
        0 to 1.
    """
    mixed = (1 - weight) * values + weight * scores
    targets = np.where(np.isnan(values), scores, np.where(np.isnan(scores), values, mixed))
    return np.asarray(targets, dtype=np.float32)
