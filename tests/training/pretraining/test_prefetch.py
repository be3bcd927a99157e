"""Items made in advance are the same, in the same order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from multihot.training.pretraining.batches import prefetched


@pytest.mark.parametrize("number", [0, 1, 2, 7])
def test_items_keep_their_order(number: int) -> None:
    assert list(prefetched(iter(range(1, number + 1)))) == list(range(1, number + 1))


def test_an_endless_iterator_may_be_left_and_taken_up_again() -> None:
    items = prefetched(itertools.count(1))

    assert list(itertools.islice(items, 3)) == [1, 2, 3]
    assert list(itertools.islice(items, 2)) == [4, 5]


def test_no_more_than_asked_for_is_made_in_advance() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in itertools.count(1):
            made.append(number)
            yield number

    found = prefetched(items(), ahead=2)
    assert next(found) == 1
    found.close()  # type: ignore[attr-defined]
    assert len(made) <= 3


def test_an_error_comes_when_its_turn_comes() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    found = prefetched(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="the second"):
        next(found)
