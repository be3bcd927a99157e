"""The rows of a comparison: the same for all, each used once, in an order that all share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import prediction_slices
from texts import Rows, shuffled
from training_slices import Plan
from whole_runs import equal_quality

_PLAN = Plan(
    rows=Path("rows.jsonl"),
    labels=("a",),
    lengths=np.arange(1, 1000),
    encoder=Path("encoder"),
    rivals="python",
    max_length=128,
    slice_texts=192,
    rounds=3,
    threads=1,
    device="cpu",
    rival_precision="fp32",
    seed=0,
)


def test_the_rounds_follow_each_other_without_a_gap() -> None:
    ends = [_PLAN.slice(number) for number in range(_PLAN.rounds + 1)]

    assert ends == [(0, 64), (64, 256), (256, 448), (448, 640)]
    assert _PLAN.num_texts == 640


def test_batches_of_any_size_hold_the_same_tokens() -> None:
    sums = {size: np.sum(_PLAN.batches(1, size), axis=0).tolist() for size in (8, 32, 64)}

    expected = [sum(range(65, 257)), 192]
    assert sums == {8: expected, 32: expected, 64: expected}
    assert len(_PLAN.batches(1, 8)) == 24


def test_a_small_file_is_repeated_in_ever_new_orders() -> None:
    rows = Rows("few", ["a", "b", "c", "d"], [["x"], [], ["y"], []], ("x", "y"))

    many = shuffled(rows, 10, seed=1)

    assert len(many) == 12
    parts = [many.texts[start : start + 4] for start in (0, 4, 8)]
    assert all(sorted(part) == rows.texts for part in parts)
    assert len({tuple(part) for part in parts}) > 1
    assert all(many.labels[n] == rows.labels[rows.texts.index(t)] for n, t in enumerate(many.texts))
    assert shuffled(rows, 10, seed=1) == many


def test_a_prediction_request_knows_its_tokens() -> None:
    plan = prediction_slices.Plan(
        model=Path("model"),
        rows=Path("rows.jsonl"),
        labels=("a",),
        lengths=np.arange(1, 9),
        rivals="python",
        max_length=128,
        slice_texts=4,
        rounds=2,
        threads=1,
        device="cpu",
    )

    assert plan.request(2, sorted=True) == {"first": 4, "last": 8, "tokens": 26, "sorted": True}
    assert plan.request(0) == replace(plan, rounds=1).request(1)


def test_only_equal_quality_counts_as_faster() -> None:
    shared = {"data": "d", "training_rows": "9", "threads": "2", "validation_jaccard": "0.5"}
    rows = [
        {
            **shared,
            "contender": "tutorial",
            "setting": "t",
            "seconds": "90",
            "fitted_jaccard": ".5",
        },
        {**shared, "contender": "ours", "setting": "good", "seconds": "10", "fitted_jaccard": ".5"},
        {**shared, "contender": "ours", "setting": "bad", "seconds": "5", "fitted_jaccard": ".4"},
    ]

    good, bad = equal_quality(rows)[-2:]

    assert "ours, good" in good
    assert good.endswith("9.0 x, equal or better")
    assert bad.endswith("18.0 x, WORSE, so not a comparison")
