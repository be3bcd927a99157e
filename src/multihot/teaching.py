"""A student aims at what finished models say of its training rows.

A small network that learns from a large one (or from several) comes closer to it than one that sees
the labels alone: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
section 2, here with one probability for each label instead of one softmax. What teachers say also
stands in for unknown labels, so that texts without any label can be learnt from.

Letters: `N` rows, `L` labels of the student, `M` of a teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.artifact import Artifact, load_artifact
from multihot.data.label_cells import LabelCells
from multihot.data.mapped_arrays import new_arrays, open_matrix
from multihot.errors import OptionError, StorageError
from multihot.labels import LabelSpace
from multihot.teacher_scores import Scorer, fingerprint
from multihot.training.rows import EncodedExamples

__all__ = ["Teachers", "mixed_targets", "open_teachers"]

_WINDOW_ROWS = 2048
_TARGETS = "targets"

FloatArray = npt.NDArray[np.float32]


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

    def names(self, num_unlabelled: int) -> str | None:
        """Return who they are and how many texts only they knew something of, in words for the card."""
        if not self:
            return None
        names = ", ".join(f"`{artifact.folder.resolve().name}`" for artifact in self.artifacts)
        alone = f", alone about {num_unlabelled} rows without labels" if num_unlabelled else ""
        return f"taught by {names}{alone}"

    def teach(
        self, rows: EncodedExamples, weight: float, folder: Path, scorer: Scorer
    ) -> EncodedExamples:
        """Return the same rows with what the teachers say among their labels; see `mixed_targets`.

        Without teachers the rows stay as they are. The texts are read again, once for each teacher
        that has not scored them before; scores are kept in the cache. The new targets, four bytes a
        cell, lie in mapped files in `folder`; what an interrupted run left there is taken as it is.
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
