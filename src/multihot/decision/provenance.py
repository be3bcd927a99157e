"""Which rows a decision was fitted on, in a form that recognises them again in another file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import required_values
from multihot.errors import ArtifactError

__all__ = ["FittedOn"]

HashArray = npt.NDArray[np.uint64]


_STORED = {
    "source": str,
    "rows": int,
    "sha256": str,
    "row_hashes": str,
    "goal_value": float | int | None,
    "goal_value_at_half": float | int | None,
}
"""Keys of `fitted_on` in `thresholds.json`, with their types."""


@dataclass(frozen=True)
class FittedOn:
    """The rows that thresholds were fitted on."""

    source: str
    """Where the rows came from, such as the path of the file."""
    rows: int
    """How many rows there were."""
    sha256: str
    """SHA-256 of the decoded `row_hashes`: the name of this set of rows, whatever their order."""
    row_hashes: str
    """Base64 of the sorted `row_hashes`, 8 bytes each, little endian."""
    goal_value: float | None
    """What the fitted thresholds reach on these rows; None when the goal is undefined there."""
    goal_value_at_half: float | None
    """What 0.5 for every label reaches on these rows."""
    text_hashes: str = ""
    """Base64 of the sorted `text_hashes`, likewise; empty in models that were saved without."""

    @classmethod
    def of_hashes(
        cls,
        hashes: HashArray,
        *,
        source: str,
        goal_value: float | None,
        goal_value_at_half: float | None,
        text_hashes: HashArray | None = None,
    ) -> FittedOn:
        """Describe rows of which only the `row_hashes`, and `text_hashes`, are at hand."""
        content = np.sort(hashes).astype("<u8", copy=False).tobytes()
        texts = b"" if text_hashes is None else np.sort(text_hashes).astype("<u8").tobytes()
        return cls(
            source=source,
            rows=len(hashes),
            sha256=hashlib.sha256(content).hexdigest(),
            row_hashes=base64.b64encode(content).decode("ascii"),
            goal_value=goal_value,
            goal_value_at_half=goal_value_at_half,
            text_hashes=base64.b64encode(texts).decode("ascii"),
        )

    def hashes(self) -> HashArray:
        """Return the sorted hashes of the rows. *Shape:* (rows,), uint64."""
        return self._hashes

    @cached_property
    def _hashes(self) -> HashArray:
        return np.frombuffer(base64.b64decode(self.row_hashes), dtype="<u8")

    def holds(self, hashes: HashArray) -> npt.NDArray[np.bool_]:
        """Return whether each hash is one of these rows'. *Shape:* (N,), bool."""
        return _is_among(self._hashes, hashes)

    @cached_property
    def _texts(self) -> HashArray:
        return np.frombuffer(base64.b64decode(self.text_hashes), dtype="<u8")

    def holds_texts(self, hashes: HashArray) -> npt.NDArray[np.bool_] | None:
        """Return whether each text hash is one of these rows', `None` where only rows are known."""
        return _is_among(self._texts, hashes) if self.text_hashes else None

    def to_json(self) -> dict[str, Any]:
        """Return the content of the key `fitted_on` of `thresholds.json`."""
        content = asdict(self)
        if not self.text_hashes:
            del content["text_hashes"]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FittedOn:
        """Read what `to_json` wrote; raise `ArtifactError` naming the key that is wrong."""
        try:
            texts = _checked_texts(content.get("text_hashes", ""))
            fitted_on = cls(**required_values(content, _STORED), text_hashes=texts)
            hashes = base64.b64decode(fitted_on.row_hashes, validate=True)
        except ArtifactError as error:
            raise ArtifactError(f"The key 'fitted_on' is invalid. {error}") from error
        except ValueError as error:
            raise ArtifactError("The key 'fitted_on.row_hashes' is not valid base64.") from error
        if (
            len(hashes) != 8 * fitted_on.rows
            or hashlib.sha256(hashes).hexdigest() != fitted_on.sha256
        ):
            raise ArtifactError(
                "The key 'fitted_on.row_hashes' does not fit 'fitted_on.rows' and 'fitted_on.sha256': "
                "the file was changed after it was saved. Restore it, or train again."
            )
        return fitted_on


def _checked_texts(stored: Any) -> str:
    try:
        if isinstance(stored, str) and len(base64.b64decode(stored, validate=True)) % 8 == 0:
            return stored
    except ValueError:
        pass
    raise ArtifactError("'text_hashes' is not base64 of 8 bytes for each row.")


def _is_among(known: HashArray, hashes: HashArray) -> npt.NDArray[np.bool_]:
    """Return whether each hash is one of the sorted `known` ones. *Shape:* (N,)."""
    if not len(known):
        return np.zeros(len(hashes), dtype=np.bool_)
    places = np.searchsorted(known, hashes)
    return np.equal(known[np.minimum(places, len(known) - 1)], hashes)
