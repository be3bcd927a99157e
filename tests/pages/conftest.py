"""The models and files that pages begin with, and the order in which pages run."""

from __future__ import annotations

import pytest

from docs.conftest import given

__all__ = ["given"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, one for each process, and put what needs it behind half of the rest.

    A process is sent two tests at a time, so those that begin are every second one. Short tests come last,
    so that no process waits long for the others.
    """
    begin = [item for item in items if item.get_closest_marker("begins")]
    end = [item for item in items if item.get_closest_marker("ends")]
    rest = [item for item in items if item not in begin and item not in end]
    first = [each for pair in zip(begin, rest, strict=False) for each in pair]
    rest = rest[len(begin) :]
    half = len(rest) // 2
    items[:] = [*first, *begin[len(first) // 2 :], *rest[:half], *end, *rest[half:]]
