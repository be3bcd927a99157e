"""Labels that imply others: parents by column, and what they make of scores, decisions and values.

Letters: `N` texts, `L` labels.

A label implies its parents, their parents, and so on. A matrix is *closed* where no label stands
without them. A label may have several parents; there are no cycles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from multihot.core.text_tables import cut
from multihot.errors import LabelError

__all__ = ["Completed", "Hierarchy", "require_no_cycle"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Array = TypeVar("Array", bound=npt.NDArray[Any])
Level = tuple[IntArray, IntArray, IntArray]
"""Labels, their relatives one label behind another, and where those of each label begin."""

_BLOCK_ROWS = 64


@dataclass(frozen=True)
class Completed:
    """Label values that agree with a hierarchy, and how many cells had to change for it."""

    values: FloatArray
    """*Shape:* (N, L)."""
    num_raised: int
    """Cells that were lower or unknown, and follow from a positive label below them."""
    num_lowered: int
    """Unknown cells that are 0 because a label above them is."""


@dataclass(frozen=True)
class Hierarchy:
    """The parents of each label, as columns.

    Raises `LabelError` for a column that is none, a label that is its own parent, and a cycle.
    """

    parents: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        num_labels = len(self.parents)
        for column, parents in enumerate(self.parents):
            if any(not 0 <= parent < num_labels for parent in parents):
                raise LabelError(f"Label {column} has parents {parents} of {num_labels} labels.")
        require_no_cycle({str(c): tuple(map(str, p)) for c, p in enumerate(self.parents)})

    @classmethod
    def of_names(cls, names: Sequence[str], parents: Mapping[str, Sequence[str]]) -> Hierarchy:
        """Return the hierarchy of parents by name; raise `LabelError` for an unknown name or a cycle."""
        columns = {name: column for column, name in enumerate(names)}
        used = dict.fromkeys([*parents, *(name for some in parents.values() for name in some)])
        if unknown := next((name for name in used if name not in columns), None):
            raise LabelError(f"The hierarchy names {cut(unknown)}, which is not among the labels.")
        require_no_cycle(parents)
        return cls(tuple(tuple(columns[p] for p in parents.get(name, ())) for name in names))

    def by_name(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the parents of each label that has some, by name, in label order."""
        return {
            name: [names[parent] for parent in parents]
            for name, parents in zip(names, self.parents, strict=True)
            if parents
        }

    @cached_property
    def order(self) -> IntArray:
        """All columns, parents before their children. *Shape:* (L,), int64."""
        return np.lexsort((np.arange(len(self.parents)), self._depths))

    @property
    def num_levels(self) -> int:
        """Labels on the longest way from a label without parents downwards."""
        return int(self._depths.max(initial=-1)) + 1

    @cached_property
    def has_children(self) -> BoolArray:
        """Which labels are implied by others. *Shape:* (L,), bool."""
        found = np.zeros(len(self.parents), dtype=np.bool_)
        found[[parent for parents in self.parents for parent in parents]] = True
        return found

    def closed_scores(self, scores: Array) -> Array:
        """Return scores of which no label's is below one that implies it. *Shapes:* (N, L)."""
        return _closed(scores, self._upwards, np.maximum)

    def closed_decisions(self, decided: BoolArray) -> BoolArray:
        """Return decisions that give with every label those that it implies. *Shapes:* (N, L)."""
        return _closed(decided, self._upwards, np.logical_or)

    def completed(self, values: FloatArray) -> Completed:
        """Return label values that agree with the hierarchy. *Shape:* (N, L), 0 to 1 or NaN (unknown).

        What implies a label is at most as high as it, so a known value rises to the highest below it,
        and an unknown one to that if it is above one half. An unknown label below one that is 0 is 0.
        """
        unknown = np.isnan(values)
        closed = self.closed_scores(np.where(unknown, np.float32(-1), values))
        raised = np.where(unknown & (closed <= 0.5), np.float32(np.nan), closed)
        num_raised = int((closed > values).sum()) + int((unknown & ~np.isnan(raised)).sum())
        num_unknown = int(np.isnan(raised).sum())
        if num_unknown:
            for children, parents, starts in self._downwards:
                is_zero = np.logical_or.reduceat(raised[:, parents] == 0, starts, axis=1)
                below = raised[:, children]
                raised[:, children] = np.where(is_zero & np.isnan(below), np.float32(0), below)
        return Completed(raised, num_raised, num_unknown - int(np.isnan(raised).sum()))

    @cached_property
    def _children(self) -> tuple[tuple[int, ...], ...]:
        children: list[list[int]] = [[] for _ in self.parents]
        for column, parents in enumerate(self.parents):
            for parent in parents:
                children[parent].append(column)
        return tuple(map(tuple, children))

    @cached_property
    def _depths(self) -> IntArray:
        return _distances(self.parents, self._children)

    @cached_property
    def _upwards(self) -> list[Level]:
        return _levels(self._children, _distances(self._children, self.parents))

    @cached_property
    def _downwards(self) -> list[Level]:
        return _levels(self.parents, self._depths)


def require_no_cycle(parents: Mapping[str, Iterable[str]]) -> None:
    """Raise `LabelError`, with the names in a circle, where a label implies itself."""
    finished: set[str] = set()
    for start in parents:
        way: dict[
            str, Any
        ] = {}  # the names between `start` and here, with the parents left to visit
        name: str | None = start
        while name is not None:
            if name not in finished and name not in way:
                way[name] = iter(parents.get(name, ()))
            following = next(way[name], None) if name in way else None
            if following is not None and following in way:
                circle = [*way][[*way].index(following) :]
                raise LabelError(
                    f"The hierarchy of labels goes in a circle: {' -> '.join(map(cut, circle))} -> "
                    f"{cut(following)}. A label cannot be above itself; remove one of these pairs."
                )
            if following is not None and following not in finished:
                name = following
                continue
            if following is None:
                finished.add(name)
                way.pop(name, None)
                name = next(reversed(way), None)


def _distances(
    before: Sequence[Sequence[int]], behind: Sequence[Sequence[int]]
) -> npt.NDArray[np.int64]:
    """Return the longest way to each label from one that has nothing before it. *Shape:* (L,)."""
    distances = np.zeros(len(before), dtype=np.int64)
    num_open = [len(some) for some in before]
    ready = [column for column, number in enumerate(num_open) if not number]
    for column in ready:  # grows while it is gone through
        for other in behind[column]:
            distances[other] = max(distances[other], distances[column] + 1)
            num_open[other] -= 1
            if not num_open[other]:
                ready.append(other)
    return distances


def _levels(relatives: Sequence[Sequence[int]], distances: IntArray) -> list[Level]:
    """Return the labels that have relatives, those whose relatives are complete first."""
    levels: list[Level] = []
    for distance in range(1, int(distances.max(initial=0)) + 1):
        labels = np.flatnonzero(distances == distance)
        some = [relatives[label] for label in labels.tolist()]
        others = [other for each in some for other in each]
        starts = np.cumsum([0, *map(len, some[:-1])])
        levels.append((labels, np.array(others, dtype=np.int64), starts))
    return levels


def _closed(values: Array, levels: Sequence[Level], combine: np.ufunc) -> Array:
    """Return the values with each label's combined with those below it, some rows at a time.

    Turned, since the values of one label then lie side by side, and in blocks that fit a cache.
    """
    closed: Array = np.empty_like(values)
    for start in range(0, len(values), _BLOCK_ROWS):
        turned = np.ascontiguousarray(values[start : start + _BLOCK_ROWS].T)
        for parents, children, starts in levels:
            below = combine.reduceat(turned[children], starts, axis=0)
            turned[parents] = combine(turned[parents], below)
        closed[start : start + _BLOCK_ROWS] = turned.T
    return closed
