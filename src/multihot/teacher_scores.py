"""What a finished model says of the rows of a run: scored once, kept in the cache.

FOLDER/KEY/scores.bin   in the folder of the tokens; KEY tells model, rows, device and precision
           meta.json    written last, with the SHA-256 of the scores

Letters: `N` rows, `M` labels of the model.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.artifact import Artifact
from multihot.data.cache_folder import META, cache_folder, remove_old
from multihot.data.mapped_arrays import new_arrays, open_matrix
from multihot.decision.fitted_rows import row_hashes
from multihot.errors import DataError, StorageError
from multihot.evaluate import labelled_chunks
from multihot.files import sha256_of
from multihot.predictor import Predictor
from multihot.training.rows import EncodedExamples

__all__ = ["Scorer", "fingerprint"]

_SECONDS_BETWEEN_WORDS = 30.0
_SCORES = "scores"

FloatArray = npt.NDArray[np.float32]


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
