"""The models and files that pages begin with, and the order in which pages run."""

from __future__ import annotations

import pytest

from docs.conftest import given

__all__ = ["given"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, one for each process, and end with what needs it.

    A process is sent two tests at a time, so those that begin are every second one.
    """
    begin = [item for item in items if item.get_closest_marker("begins")]
    end = [item for item in items if item.get_closest_marker("ends")]
    rest = [item for item in items if item not in begin and item not in end]
    first = [each for pair in zip(begin, rest, strict=False) for each in pair]
    items[:] = [*first, *begin[len(rest) :], *rest[len(begin) :], *end]
