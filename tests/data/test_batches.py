"""Batches: a pure function of seed and epoch, nothing lost, nothing doubled."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.data.batches import (
    EpochBatches,
    epoch_batches,
    length_sorted_batches,
    make_batch,
)
from multihot.data.tokens import TokenizedTexts

LENGTHS = st.lists(st.integers(0, 60), max_size=80).map(lambda found: np.array(found, np.int64))


def batches_of(
    lengths: npt.NDArray[np.int64], batch_size: int, *, epoch: int = 1, bucketing: bool = True
) -> list[list[int]]:
    found = epoch_batches(lengths, batch_size, seed=3, epoch=epoch, length_bucketing=bucketing)
    return [batch.tolist() for batch in found]


def texts_of(rows: list[list[int]]) -> TokenizedTexts:
    """Return texts with the given token ids."""
    return TokenizedTexts(
        np.array([number for row in rows for number in row], dtype=np.uint16),
        np.cumsum([0, *map(len, rows)]),
        np.zeros(len(rows), dtype=np.bool_),
    )


@given(LENGTHS, st.integers(1, 9), st.booleans())
def test_every_row_occurs_once_in_an_epoch(
    lengths: npt.NDArray[np.int64], batch_size: int, bucketing: bool
) -> None:
    found = batches_of(lengths, batch_size, bucketing=bucketing)

    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    # As many batches as the steps that the schedule was planned for.
    assert len(found) == -(-len(lengths) // batch_size)
    assert all(1 <= len(batch) <= batch_size for batch in found)


BUDGETS = st.integers(1, 200)


@given(LENGTHS, BUDGETS, st.booleans(), st.integers(1, 4))
def test_batches_of_a_token_budget_hold_every_row_once_and_no_token_more(
    lengths: npt.NDArray[np.int64], budget: int, bucketing: bool, epoch: int
) -> None:
    def drawn() -> EpochBatches:
        return epoch_batches(
            lengths, 32, batch_tokens=budget, seed=3, epoch=epoch, length_bucketing=bucketing
        )

    found = [batch.tolist() for batch in drawn()]

    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    assert all(found)
    for batch in found:
        assert len(batch) == 1 or lengths[batch].sum() <= budget
    # A pure function, and as many batches as it says.
    assert [batch.tolist() for batch in drawn()] == found
    assert len(drawn()) == len(found)


@given(LENGTHS, BUDGETS)
def test_batches_of_a_token_budget_are_as_full_as_their_order_allows(
    lengths: npt.NDArray[np.int64], budget: int
) -> None:
    found = epoch_batches(lengths, 32, batch_tokens=budget, seed=3, epoch=1, length_bucketing=False)

    for batch, following in itertools.pairwise(found):
        assert lengths[batch].sum() + lengths[following[0]] > budget
    order = np.random.default_rng([3, 1]).permutation(len(lengths))
    assert found.order.tolist() == order.tolist()


def test_the_rows_of_a_batch_do_not_matter_beside_a_token_budget() -> None:
    lengths = np.arange(100) % 17 + 1

    def drawn(batch_size: int) -> list[list[int]]:
        found = epoch_batches(
            lengths, batch_size, batch_tokens=60, seed=0, epoch=1, length_bucketing=True
        )
        return [batch.tolist() for batch in found]

    assert drawn(1) == drawn(64)


def test_bucketing_saves_padding_in_batches_of_a_token_budget() -> None:
    lengths = np.random.default_rng(0).integers(2, 100, size=1000)

    def padded(bucketing: bool) -> int:
        found = epoch_batches(
            lengths, 32, batch_tokens=500, seed=0, epoch=1, length_bucketing=bucketing
        )
        return sum(len(batch) * int(lengths[batch].max()) for batch in found)

    assert padded(True) < 1.15 * lengths.sum()
    assert padded(False) > 1.5 * lengths.sum()


def test_batches_are_cut_when_they_are_asked_for() -> None:
    found = epoch_batches(np.ones(1000, np.int64), 2, seed=0, epoch=1, length_bucketing=True)

    assert len(found) == 500
    assert found[499].base is not None
    assert np.shares_memory(found[7], found.order)
    for position in (-1, 500):
        with pytest.raises(IndexError):
            found[position]


@pytest.mark.parametrize("bucketing", [True, False])
def test_batches_are_a_pure_function_of_their_arguments(bucketing: bool) -> None:
    lengths = np.arange(100) % 17
    np.random.default_rng(0).random()  # whatever else was drawn

    assert batches_of(lengths, 8, bucketing=bucketing) == batches_of(
        lengths, 8, bucketing=bucketing
    )


@pytest.mark.parametrize("bucketing", [True, False])
def test_another_epoch_has_another_order(bucketing: bool) -> None:
    lengths = np.arange(100) % 17

    assert batches_of(lengths, 8, bucketing=bucketing) != batches_of(
        lengths, 8, epoch=2, bucketing=bucketing
    )


def test_without_bucketing_the_order_is_numpys_permutation() -> None:
    found = batches_of(np.ones(10, dtype=np.int64), 4, epoch=5, bucketing=False)

    expected = np.random.default_rng([3, 5]).permutation(10).tolist()
    assert [expected[:4], expected[4:8], expected[8:]] == found


def test_bucketing_saves_most_of_the_padding() -> None:
    lengths = np.random.default_rng(0).integers(2, 100, size=1000)

    def padded(bucketing: bool) -> int:
        found = batches_of(lengths, 10, bucketing=bucketing)
        return sum(len(batch) * int(lengths[batch].max()) for batch in found)

    assert padded(True) < 1.1 * lengths.sum()
    assert padded(False) > 1.5 * lengths.sum()


def test_bucketed_batches_do_not_come_in_the_order_of_length() -> None:
    lengths = np.arange(200)
    longest = [max(batch) for batch in batches_of(lengths, 10)]

    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


@given(LENGTHS, st.integers(1, 200), st.integers(1, 9))
def test_prediction_batches_keep_to_their_budgets(
    lengths: npt.NDArray[np.int64], token_budget: int, max_rows: int
) -> None:
    found = length_sorted_batches(lengths, token_budget, max_rows)

    assert sorted(row for batch in found for row in batch.tolist()) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= token_budget


def test_prediction_starts_with_the_longest_texts() -> None:
    found = length_sorted_batches(np.array([3, 9, 1, 9]), token_budget=18)

    assert [batch.tolist() for batch in found] == [[1, 3], [0, 2]]


@given(st.lists(st.lists(st.integers(1, 99), max_size=7), min_size=1), st.data())
def test_a_padded_batch_holds_the_tokens_of_its_rows(
    texts: list[list[int]], data: st.DataObject
) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6)), np.int64)
    labels = np.arange(len(texts), dtype=np.float32)[:, None]

    batch = make_batch(texts_of(texts), rows, 77, packed=False, labels=labels[rows])

    assert batch.labels is not None
    assert batch.attention_mask is not None
    assert batch.cu_seq_lens is None
    width = max((len(texts[row]) for row in rows), default=0)
    expected = [texts[row] + [77] * (width - len(texts[row])) for row in rows]
    mask = [[1] * len(texts[row]) + [0] * (width - len(texts[row])) for row in rows]
    assert expected == batch.input_ids.tolist()
    assert mask == batch.attention_mask.tolist()
    assert batch.rows.tolist() == rows.tolist()
    assert batch.labels.ravel().tolist() == rows.tolist()


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=7), min_size=1), st.data())
def test_a_packed_batch_holds_the_tokens_of_its_rows(
    texts: list[list[int]], data: st.DataObject
) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6)), np.int64)
    labels = np.arange(len(texts), dtype=np.float32)[:, None]

    batch = make_batch(texts_of(texts), rows, 0, packed=True, labels=labels[rows])

    assert batch.labels is not None
    assert batch.cu_seq_lens is not None
    assert batch.attention_mask is None
    starts = batch.cu_seq_lens
    found = [batch.input_ids[start:end].tolist() for start, end in itertools.pairwise(starts)]
    assert found == [texts[row] for row in rows]
    assert starts[0] == 0
    assert starts[-1] == batch.num_tokens == len(batch.input_ids)
    assert batch.input_ids.dtype == starts.dtype == np.int64
    assert batch.rows.tolist() == batch.labels.ravel().tolist() == rows.tolist()


@pytest.mark.parametrize("packed", [True, False])
def test_padded_and_packed_batches_have_the_same_tokens(packed: bool) -> None:
    batch = make_batch(texts_of([[5, 6], [7], [8, 9, 10]]), np.array([2, 0]), 0, packed=packed)

    assert (batch.cu_seq_lens is not None) == packed
    assert batch.num_tokens == 5
    assert [ids.tolist() for ids in batch.texts] == [[8, 9, 10], [5, 6]]


def test_a_text_without_tokens_is_padded() -> None:
    batch = make_batch(texts_of([[5, 6], []]), np.array([0, 1]), 0, packed=True)

    assert batch.attention_mask is not None


def test_a_batch_for_prediction_has_no_labels() -> None:
    batch = make_batch(texts_of([[5, 6]]), np.array([0]), 0, packed=False)

    assert batch.labels is None
    assert batch.attention_mask is not None
    assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int64
