"""A hierarchy closes scores, decisions and values as a walk up its parents does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multihot.core.hierarchy import Hierarchy, require_no_cycle
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.errors import LabelError

LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=60)
Array = npt.NDArray[Any]


def random_hierarchy(generator: np.random.Generator, num_labels: int) -> Hierarchy:
    """Return parents that come before their children in a random order of the columns."""
    order = generator.permutation(num_labels)
    parents: list[tuple[int, ...]] = [()] * num_labels
    for place in range(1, num_labels):
        number = int(generator.integers(0, min(place, 3) + 1))
        chosen = generator.choice(order[:place], size=number, replace=False)
        parents[int(order[place])] = tuple(map(int, chosen))
    return Hierarchy(tuple(parents))


def ancestors(hierarchy: Hierarchy, column: int) -> set[int]:
    found: set[int] = set()
    for parent in hierarchy.parents[column]:
        found |= {parent} | ancestors(hierarchy, parent)
    return found


@LAWS
@given(seed=st.integers(0, 10_000), num_labels=st.integers(1, 12))
def test_closures_are_those_of_a_walk_up_the_parents(seed: int, num_labels: int) -> None:
    generator = np.random.default_rng(seed)
    hierarchy = random_hierarchy(generator, num_labels)
    scores = generator.random((5, num_labels), dtype=np.float32)
    decided = generator.random((5, num_labels)) < 0.3
    expected, given = scores.copy(), decided.copy()
    for column in range(num_labels):
        for above in ancestors(hierarchy, column):
            expected[:, above] = np.maximum(expected[:, above], scores[:, column])
            given[:, above] |= decided[:, column]

    np.testing.assert_array_equal(hierarchy.closed_scores(scores), expected)
    np.testing.assert_array_equal(hierarchy.closed_decisions(decided), given)
    np.testing.assert_array_equal(hierarchy.closed_scores(expected), expected)
    place = np.argsort(hierarchy.order)
    assert all(
        place[above] < place[c] for c in range(num_labels) for above in ancestors(hierarchy, c)
    )


@LAWS
@given(seed=st.integers(0, 10_000), num_labels=st.integers(1, 10))
def test_completed_values_leave_no_contradiction(seed: int, num_labels: int) -> None:
    generator = np.random.default_rng(seed)
    hierarchy = random_hierarchy(generator, num_labels)
    values = generator.choice(np.array([0, 1, np.nan, 0.3], np.float32), size=(6, num_labels))
    found = hierarchy.completed(values)

    for row, before in zip(found.values, values, strict=True):
        for column in range(num_labels):
            for above in ancestors(hierarchy, column):
                if row[column] > 0.5:
                    assert row[above] >= row[column]
                if row[above] == 0:
                    assert row[column] == 0
        assert (row[before == 1] == 1).all()
    changed = (found.values != values) & ~(np.isnan(found.values) & np.isnan(values))
    assert found.num_raised + found.num_lowered == changed.sum()
    assert hierarchy.completed(found.values).num_raised == 0


def test_unlabelled_rows_stay_unlabelled() -> None:
    hierarchy = Hierarchy(((), (0,)))

    assert np.isnan(hierarchy.completed(np.full((2, 2), np.nan, np.float32)).values).all()


def test_a_long_chain_is_closed_level_by_level() -> None:
    hierarchy = Hierarchy(((), *((column,) for column in range(2999))))
    scores = np.zeros((2, 3000), dtype=np.float32)
    scores[1, -1] = 0.75

    assert hierarchy.num_levels == 3000
    assert hierarchy.closed_scores(scores).sum(axis=1).tolist() == [0, 2250]


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, "'a' -> 'b' -> 'c' -> 'a'"),
        ({"a": ["a"]}, "'a' -> 'a'"),
        ({"x": ["y"], "y": ["z"], "z": ["y"]}, "'y' -> 'z' -> 'y'"),
    ],
)
def test_circles_are_named(parents: dict[str, list[str]], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        require_no_cycle(parents)


def test_names_that_are_no_labels_are_refused() -> None:
    with pytest.raises(LabelError, match="names 'b', which is not among the labels"):
        Hierarchy.of_names(("a",), {"a": ["b"]})
    with pytest.raises(LabelError, match="has parents"):
        Hierarchy(((1,),))
    with pytest.raises(LabelError, match="The hierarchy is of 1 labels, and there are 2"):
        LabelSpace(("a", "b"), Hierarchy(((),)))


def test_labels_aligned_to_a_hierarchy_get_what_they_imply() -> None:
    space = LabelSpace(("a", "a/b"), Hierarchy(((), (0,))))
    listed = LabelMatrix.from_names([["a/b"], [], None])

    aligned = listed.aligned_to(space)

    np.testing.assert_array_equal(aligned.values, [[1, 1], [0, 0], [np.nan, np.nan]])
    plain = LabelMatrix(LabelSpace(space.names), np.array([[0, 1]], np.float32))
    assert plain.aligned_to(space).values.tolist() == [[1, 1]]
    assert plain.space == space
