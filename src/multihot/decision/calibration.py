"""Calibration: from the logits of a model to logits whose sigmoid can be read as a probability.

Letters: `N` texts, `L` labels. One temperature is fitted for all labels together; the other methods
fit a map for each label that has enough rows; the rest, together, get the temperature and one offset
(`common_map`). The maps and their papers are in `calibrators`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.blocks import row_blocks
from multihot.core.files import required_value
from multihot.core.labels import LabelSpace
from multihot.core.options import CALIBRATIONS
from multihot.core.text_tables import cut, listed
from multihot.decision.calibrators import (
    apply_beta,
    fit_beta,
    fit_platt,
    fit_slope,
    fit_slope_of_many,
    isotonic_map,
)
from multihot.decision.common_map import common_offset, line_map, offset_of_many
from multihot.decision.many_calibrators import block_columns, fit_beta_maps, fit_platt_maps
from multihot.errors import ArtifactError

__all__ = ["LEAST_SUPPORT", "Calibration", "fit_calibration"]

LEAST_SUPPORT = {"platt": 10, "beta": 10, "isotonic": 30}
"""Positives and negatives that a label needs for a map of its own."""

_METHODS = tuple(name for name in CALIBRATIONS if name != "none")
_MANY_LABELS = 100  # more are fitted together
_MANY_CELLS = 1 << 24  # sums over so many are taken in parts, which changes their last bits
_BLOCKS_AT_ONCE = 8
_NUM_PARAMETERS = {"platt": 2, "beta": 3}
_LARGEST_NUMBER = 1e30  # in a map; its products with logits stay finite
_LARGEST = 1e4  # logits beyond are taken as this, so that no infinity is multiplied by 0

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration; it never turns round the order of two texts within a label."""

    method: str
    """One of `CALIBRATIONS`, not `none`."""
    temperature: float
    """Of all labels together, above 0; logits are divided by it."""
    maps: tuple[tuple[tuple[float, ...], ...] | None, ...]
    """Per label, in label order; `None`: the temperature. `platt` ((a, b),), `beta` ((a, b, c),),
    `isotonic` (logits, calibrated logits) of the corners."""

    @property
    def slope(self) -> float:
        """Inverse of the temperature."""
        return 1 / self.temperature

    def apply(self, logits: FloatArray) -> FloatArray:
        """Return calibrated logits. *Shapes:* (N, L) -> (N, L), float32."""
        result = np.empty(logits.shape, dtype=np.float32)
        own = {column: each for column, each in enumerate(self.maps) if each is not None}
        columns = np.array(list(own), dtype=np.int64)
        is_line = self.method == "platt"
        lines = np.array(list(own.values()) if is_line else []).reshape(-1, 2)
        for rows in row_blocks(logits.shape):
            values = _clipped(logits[rows])
            calibrated = self.slope * values
            if is_line:
                calibrated[:, columns] = lines[:, 0] * values[:, columns] + lines[:, 1]
            result[rows] = calibrated
        for column, parameters in own.items() if not is_line else ():
            result[:, column] = self._one(_clipped(logits[:, column]), parameters)
        return result

    def _one(self, logits: DoubleArray, parameters: tuple[tuple[float, ...], ...]) -> DoubleArray:
        if self.method == "beta":
            ((a, b, c),) = parameters
            return apply_beta(logits, a, b, c)
        x, y = (np.array(corners) for corners in parameters)
        # Beyond the outer corners it continues with the slope of the temperature.
        beyond = np.minimum(logits - x[0], 0) + np.maximum(logits - x[-1], 0)
        return np.asarray(np.interp(logits, x, y) + self.slope * beyond)

    def to_json(self, space: LabelSpace) -> dict[str, Any]:
        """Return the key `calibration` of `thresholds.json`; labels are stored by name."""
        content: dict[str, Any] = {"method": self.method, "temperature": self.temperature}
        if self.method != "temperature":
            content["labels"] = {
                name: _plain(self.method, parameters)
                for name, parameters in zip(space.names, self.maps, strict=True)
            }
        return content

    @classmethod
    def from_json(cls, content: Any, space: LabelSpace) -> Calibration:
        """Read what `to_json` wrote; raise `ArtifactError` naming the key that is wrong."""
        try:
            if not isinstance(content, Mapping):
                raise ArtifactError(f"It is {cut(content)}; expected null or a table.")
            method = required_value(content, "method", str)
            if method not in _METHODS:
                raise ArtifactError(
                    f"'method' is {cut(method)}; expected one of {', '.join(_METHODS)}."
                )
            temperature = required_value(content, "temperature", float | int)
            if not 1 / _LARGEST_NUMBER < temperature < _LARGEST_NUMBER:
                raise ArtifactError(f"'temperature' is {cut(temperature)}; expected more than 0.")
            stored: Mapping[str, Any] = {}
            if method != "temperature":
                stored = required_value(content, "labels", dict)
                if set(stored) != set(space.names):
                    different = listed(sorted(set(stored) ^ set(space.names)))
                    raise ArtifactError(f"'labels' has other labels than the model: {different}")
            maps = tuple(_read_map(method, name, stored.get(name)) for name in space.names)
        except ArtifactError as error:
            raise ArtifactError(f"The key 'calibration' is invalid. {error}") from None
        return cls(method, float(temperature), maps)


def fit_calibration(
    method: str, logits: FloatArray, truth: FloatArray, names: Sequence[str]
) -> tuple[Calibration, list[str]]:
    """Fit a calibration on rows that the model was not trained on.

    Parameters
    ----------
    method
        One of `CALIBRATIONS`, not `none`.
    logits
        *Shape:* (N, L), no NaN.
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown; such cells count in nothing).
    names
        The labels, for the notes.

    Returns
    -------
    (calibration, notes)
        The notes name the labels that got the common temperature, and why.
    """
    logits = np.asarray(logits)
    known, positive = ~np.isnan(truth), truth == 1
    notes: list[str] = []
    slope = None
    if positive.any() and (known & ~positive).any():
        slope = _fit_slope(logits, known, positive)
    if slope is None:
        notes.append(
            "No temperature could be fitted (the scores are not positively related to the labels, or all "
            "rows have the same labels): the scores of the model are kept."
        )
    maps: list[tuple[tuple[float, ...], ...] | None] = [None] * len(names)
    rare, turned = list[str](), list[str]()
    if method != "temperature":
        num_positive = positive.sum(axis=0)
        num_rarer = np.minimum(num_positive, known.sum(axis=0) - num_positive)
        rare = [
            name
            for name, count in zip(names, num_rarer, strict=True)
            if count < LEAST_SUPPORT[method]
        ]
        columns = np.flatnonzero(num_rarer >= LEAST_SUPPORT[method])
        fitted = _fit_maps(method, logits, known, positive, columns)
        for column, found in zip(columns.tolist(), fitted, strict=True):
            maps[column] = found
        turned = [names[column] for column in columns.tolist() if maps[column] is None]
    least = LEAST_SUPPORT.get(method)
    if rare:
        notes.append(
            f"Fewer than {least} rows with or without the label, so calibrated by the common "
            f"temperature: {listed(rare)}."
        )
    if rare and slope is not None:
        columns = np.flatnonzero(np.isin(np.array(names), rare))
        offset = _common_offset(slope, logits, truth, columns)
        for column in columns.tolist():
            maps[column] = line_map(method, slope, offset)
        notes.append(f"Their calibrated logits get a common offset, too: {offset:+.2f}.")
    if turned:
        notes.append(
            "The scores of these labels do not rise with the truth, so they are calibrated by the "
            f"common temperature: {listed(turned)}."
        )
    return Calibration(method, 1.0 if slope is None else 1 / slope, tuple(maps)), notes


def _clipped(logits: FloatArray) -> DoubleArray:
    return np.clip(logits.astype(np.float64), -_LARGEST, _LARGEST)


def _fit_slope(logits: FloatArray, known: BoolArray, positive: BoolArray) -> float | None:
    """Return the inverse of the temperature of all known cells. *Shapes:* (N, L)."""
    if logits.size < _MANY_CELLS:
        return fit_slope(*_sorted(_clipped(logits)[known], positive[known]))
    return fit_slope_of_many(*(_chosen(logits, used) for used in (known & ~positive, positive)))


def _common_offset(
    slope: float, logits: FloatArray, truth: FloatArray, columns: npt.NDArray[np.int64]
) -> float:
    """Return the common offset of some columns. *Shapes:* (N, L) and (columns,)."""
    if len(logits) * len(columns) < _MANY_CELLS:
        return common_offset(slope * _clipped(logits[:, columns]), truth[:, columns])
    used = ~np.isnan(truth)
    is_one = np.zeros(truth.shape[1], dtype=np.bool_)
    is_one[columns] = True
    used &= is_one
    num_positive = int(((truth == 1) & used).sum())
    return offset_of_many(slope, _chosen(logits, used), num_positive)


def _chosen(logits: FloatArray, used: BoolArray) -> FloatArray:
    """Return some cells by rising logit, at four bytes each."""
    cells = np.clip(logits[used].astype(np.float32, copy=False), -_LARGEST, _LARGEST)
    cells.sort()
    return cells


def _fit_maps(
    method: str,
    logits: FloatArray,
    known: BoolArray,
    positive: BoolArray,
    columns: npt.NDArray[np.int64],
) -> list[tuple[tuple[float, ...], ...] | None]:
    """Return the map of each of some columns, `None` where there is none. *Shapes:* (N, L)."""
    found: list[tuple[tuple[float, ...], ...] | None] = []
    step = _BLOCKS_AT_ONCE * block_columns(len(logits))
    are_many = len(columns) > _MANY_LABELS and method in _NUM_PARAMETERS
    for start in range(0, len(columns), step):
        some = columns[start : start + step]
        values, cells, truth = _clipped(logits[:, some]), known[:, some], positive[:, some]
        if are_many:
            fit_all = fit_platt_maps if method == "platt" else fit_beta_maps
            found += [None if one is None else (one,) for one in fit_all(values, cells, truth)]
            continue
        for z, used, has_label in zip(values.T, cells.T, truth.T, strict=True):
            found.append(_fit_map(method, *_sorted(z[used], has_label[used])))
    return found


def _fit_map(
    method: str, logits: DoubleArray, positive: BoolArray
) -> tuple[tuple[float, ...], ...] | None:
    if method == "isotonic":
        x, y = isotonic_map(logits, positive)
        return (tuple(x.tolist()), tuple(y.tolist())) if len(x) > 1 else None
    fitted = fit_platt(logits, positive) if method == "platt" else fit_beta(logits, positive)
    return None if fitted is None else (fitted,)


def _sorted(logits: DoubleArray, positive: BoolArray) -> tuple[DoubleArray, BoolArray]:
    """Return cells in one order, so that sums do not depend on how rows or labels were ordered."""
    negatives, positives = np.sort(logits[~positive]), np.sort(logits[positive])
    places = np.searchsorted(negatives, positives, side="right") + np.arange(len(positives))
    values, is_positive = np.empty_like(logits), np.zeros(len(logits), dtype=np.bool_)
    is_positive[places] = True
    values[places], values[~is_positive] = positives, negatives
    return values, is_positive


def _plain(method: str, parameters: tuple[tuple[float, ...], ...] | None) -> Any:
    if parameters is None:
        return None
    return [list(part) for part in parameters] if method == "isotonic" else list(parameters[0])


def _read_map(method: str, name: str, stored: Any) -> tuple[tuple[float, ...], ...] | None:
    if stored is None:
        return None
    parts = stored if method == "isotonic" else [stored]
    if isinstance(parts, list) and parts and all(map(_are_numbers, parts)):
        maps = tuple(tuple(float(value) for value in part) for part in parts)
        if _is_rising(method, maps):
            return maps
    raise ArtifactError(
        f"{cut(f'labels.{name}')} is {cut(stored)}; expected numbers of a rising map."
    )


def _are_numbers(part: Any) -> bool:
    """Return whether this is a list of numbers, none too large to be multiplied by a logit."""
    return isinstance(part, list) and all(
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < _LARGEST_NUMBER
        for value in part
    )


def _is_rising(method: str, maps: tuple[tuple[float, ...], ...]) -> bool:
    if method == "isotonic":
        same = len(maps) == 2 and len(maps[0]) == len(maps[1]) > 0
        return same and all((np.diff(part) > 0).all() for part in maps)
    slopes = maps[0][:-1]
    right_number = len(maps[0]) == _NUM_PARAMETERS[method]
    return right_number and min(slopes) >= 0 and max(slopes) > 0
