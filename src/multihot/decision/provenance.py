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

    @classmethod
    def of_hashes(
        cls,
        hashes: HashArray,
        *,
        source: str,
        goal_value: float | None,
        goal_value_at_half: float | None,
    ) -> FittedOn:
        """Describe rows of which only the `row_hashes` are at hand."""
        content = np.sort(hashes).astype("<u8", copy=False).tobytes()
        return cls(
            source=source,
            rows=len(hashes),
            sha256=hashlib.sha256(content).hexdigest(),
            row_hashes=base64.b64encode(content).decode("ascii"),
            goal_value=goal_value,
            goal_value_at_half=goal_value_at_half,
        )

    def hashes(self) -> HashArray:
        """Return the sorted hashes of the rows. *Shape:* (rows,), uint64."""
        return self._hashes

    @cached_property
    def _hashes(self) -> HashArray:
        return np.frombuffer(base64.b64decode(self.row_hashes), dtype="<u8")

    def holds(self, hashes: HashArray) -> npt.NDArray[np.bool_]:
        """Return whether each hash is one of these rows'. *Shape:* (N,), bool."""
        if not len(self._hashes):
            return np.zeros(len(hashes), dtype=np.bool_)
        places = np.searchsorted(self._hashes, hashes)
        found = self._hashes[np.minimum(places, len(self._hashes) - 1)]
        return np.equal(found, hashes)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the key `fitted_on` of `thresholds.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FittedOn:
        """Read what `to_json` wrote; raise `ArtifactError` naming the key that is wrong."""
        try:
            fitted_on = cls(**required_values(content, _STORED))
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
