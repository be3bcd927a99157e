"""The steps of a run are a pure function of where it stands; rows are named as users know them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.data.batches import share_of
from multihot.data.dataset import Subset, encode
from multihot.data.examples import Examples
from multihot.data.tokens import load_tokenizer
from multihot.errors import OptionError
from multihot.models.network import build_network
from multihot.training.batches import check_budget, count_steps, explain_rows, steps_after
from multihot.training.ranks import Ranks

SPACE = LabelSpace(("joy", "fear"))
CPU = torch.device("cpu")


@pytest.fixture
def train_set(tiny_encoder: Path) -> Subset:
    texts = [" ".join(["happy"] * (1 + row % 5)) for row in range(11)]
    labels = LabelMatrix(SPACE, np.arange(22, dtype=np.float32).reshape(11, 2) % 2)
    ids = [f"id-{row}" for row in range(11)]
    lines = list(range(2, 13))
    examples = Examples(texts, labels, ids, "a.csv", DataOptions(), (), lines)
    return encode(examples, SPACE, load_tokenizer(tiny_encoder / "tokenizer.json"), 16)


@pytest.mark.parametrize("last_step", [0, 1, 3, 5, 6])
def test_a_resumed_run_gets_exactly_the_steps_that_are_left(
    train_set: Subset, last_step: int
) -> None:
    options = TrainOptions(epochs=2, batch_size=4, accumulation_steps=2)
    whole = list(steps_after(0, train_set, options, pad_id=0))
    rest = list(steps_after(last_step, train_set, options, pad_id=0))

    assert [step.number for step in whole] == [1, 2, 3, 4, 5, 6]
    assert [step.epoch for step in whole] == [1, 1, 1, 2, 2, 2]
    assert [step.last_of_epoch for step in whole] == [False, False, True] * 2
    assert len(rest) == 6 - last_step
    for expected, found in zip(whole[last_step:], rest, strict=True):
        assert (expected.number, expected.epoch) == (found.number, found.epoch)
        for one, other in zip(expected.micro_batches, found.micro_batches, strict=True):
            assert np.array_equal(one.rows, other.rows)
            assert np.array_equal(one.input_ids, other.input_ids)


def test_an_epoch_has_every_row_once_in_micro_batches_that_are_never_empty(
    train_set: Subset,
) -> None:
    options = TrainOptions(epochs=1, batch_size=5, accumulation_steps=3)
    steps = list(steps_after(0, train_set, options, pad_id=0))
    parts = [batch.rows.tolist() for step in steps for batch in step.micro_batches]

    assert sorted(row for part in parts for row in part) == list(range(11))
    assert all(parts)
    # The last batch has one row, so one micro-batch.
    assert sorted(len(step.micro_batches) for step in steps) == [1, 3, 3]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("batching", [{"batch_size": 4}, {"batch_tokens": 16}])
@pytest.mark.parametrize("bucketing", [None, True])
def test_steps_are_as_many_as_were_counted_and_a_resumed_run_gets_the_rest(
    train_set: Subset, packed: bool, batching: dict[str, int], bucketing: bool | None
) -> None:
    options = TrainOptions(epochs=3, accumulation_steps=2, length_bucketing=bucketing, **batching)
    whole = list(steps_after(0, train_set, options, pad_id=0, packed=packed))

    assert len(whole) == count_steps(train_set, options, packed=packed)
    assert [step.number for step in whole] == list(range(1, len(whole) + 1))
    assert sum(step.last_of_epoch for step in whole) == 3
    for epoch in (1, 2, 3):
        rows = [b.rows.tolist() for s in whole if s.epoch == epoch for b in s.micro_batches]
        assert sorted(row for part in rows for row in part) == list(range(11))
    for last_step in (1, len(whole) // 2, len(whole)):
        rest = list(steps_after(last_step, train_set, options, pad_id=0, packed=packed))
        assert len(rest) == len(whole) - last_step
        for expected, found in zip(whole[last_step:], rest, strict=True):
            assert (expected.number, expected.epoch, expected.last_of_epoch) == (
                found.number,
                found.epoch,
                found.last_of_epoch,
            )
            for one, other in zip(expected.micro_batches, found.micro_batches, strict=True):
                assert np.array_equal(one.rows, other.rows)
                assert np.array_equal(one.labels, other.labels)


def test_a_step_of_a_token_budget_keeps_to_it_with_all_its_micro_batches(
    train_set: Subset,
) -> None:
    options = TrainOptions(epochs=2, batch_tokens=12, accumulation_steps=3)

    for step in steps_after(0, train_set, options, pad_id=0, packed=True):
        assert 0 < sum(batch.num_tokens for batch in step.micro_batches) <= 12


def test_a_budget_that_a_single_text_may_exceed_is_refused() -> None:
    check_budget(TrainOptions(batch_tokens=64), 64)
    check_budget(TrainOptions(), 512)

    with pytest.raises(OptionError, match=r"batch_tokens=63 is less than the 64 tokens"):
        check_budget(TrainOptions(batch_tokens=63), 64)


@pytest.mark.parametrize(
    ("num_rows", "expected"),
    [
        (2, "id-0 (line 2), id-1 (line 3)"),
        (11, ", ".join(f"id-{row} (line {row + 2})" for row in range(8)) + " and 3 more"),
    ],
)
def test_rows_are_named_with_id_and_line_and_not_without_end(
    tiny_encoder: Path, train_set: Subset, num_rows: int, expected: str
) -> None:
    network = build_network(tiny_encoder, SPACE, "cls", seed=0)
    batch = train_set.batch(np.arange(num_rows), 0, packed=False)

    # No row is at fault alone, so all of them are named.
    assert explain_rows(batch, network, CPU, train_set) == expected


def test_only_rows_with_a_fault_of_their_own_are_named(
    tiny_encoder: Path, train_set: Subset
) -> None:
    network = build_network(tiny_encoder, SPACE, "mean", seed=0)
    with torch.no_grad():
        # Only texts of five words reach position 6.
        network.get_parameter("encoder.embeddings.position_embeddings.weight")[6] = torch.nan
    batch = train_set.batch(np.array([0, 4, 7]), 0, packed=False)
    short = train_set.batch(np.array([0, 1, 7]), 0, packed=False)

    assert explain_rows(batch, network, CPU, train_set) == "id-4 (line 6)"
    assert "id-0 (line 2), id-1" in explain_rows(short, network, CPU, train_set)


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("batching", [{"batch_size": 4}, {"batch_size": 1}, {"batch_tokens": 16}])
def test_any_number_of_processes_sees_every_row_once_an_epoch(
    train_set: Subset, num_ranks: int, batching: dict[str, int]
) -> None:
    options = TrainOptions(epochs=2, accumulation_steps=3, **batching)  # type: ignore[arg-type]
    alone = list(steps_after(0, train_set, options, pad_id=0))
    shares = [
        list(steps_after(0, train_set, options, pad_id=0, ranks=Ranks(rank, num_ranks)))
        for rank in range(num_ranks)
    ]

    seen: dict[int, list[int]] = {1: [], 2: []}
    for step, *own in zip(alone, *shares, strict=True):
        parts = [[row for b in each.micro_batches for row in b.rows] for each in own]
        together = sorted(row for part in parts for row in part)
        assert together == sorted(row for batch in step.micro_batches for row in batch.rows)
        tokens = sum(batch.num_tokens for batch in step.micro_batches)
        assert {each.num_tokens for each in own} == {tokens if num_ranks > 1 else None}
        assert {(each.number, each.last_of_epoch) for each in own} == {
            (step.number, step.last_of_epoch)
        }
        seen[step.epoch] += together
    assert sorted(seen[1]) == sorted(seen[2]) == list(range(11))


def test_the_shares_of_a_step_have_about_as_many_tokens() -> None:
    lengths = np.random.default_rng(0).integers(5, 500, 64)
    tokens = [int(lengths[share_of(lengths, rank, 8)].sum()) for rank in range(8)]

    assert max(tokens) - min(tokens) < 0.02 * np.mean(tokens)
    assert sum(tokens) == lengths.sum()
