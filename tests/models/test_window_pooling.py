"""Both poolings, of finished logits and in training, are what a loop over texts computes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multihot.core.labels import LabelSpace
from multihot.core.windows import WINDOW_POOLINGS, WindowSettings
from multihot.decision.window_pooling import loudest_windows, pool_windows
from multihot.models.window_pooling import WindowMap, WindowPooling

SPACE = LabelSpace(("joy", "fear"))
SHARPNESS = {"joy": 0.5, "fear": 3.0}


def _settings(pooling: str) -> WindowSettings:
    return WindowSettings(pooling, sharpness=SHARPNESS if pooling == "attention" else None)


def _of_one_label(pooling: str, values: list[float], sharpness: float) -> float:
    if pooling == "max":
        return max(values)
    if pooling == "mean":
        return sum(values) / len(values)
    if pooling == "log_sum_exp":
        return math.log(sum(math.exp(value) for value in values))
    weights = [math.exp(sharpness * value) for value in values]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def _case(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    logits = np.random.default_rng(sum(counts)).normal(0, 4, (sum(counts), 2))
    return logits.astype(np.float32), np.append(0, np.cumsum(counts))


@pytest.mark.parametrize("pooling", WINDOW_POOLINGS)
@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_logits_of_texts_are_those_of_a_loop_over_their_windows(
    pooling: str, counts: list[int]
) -> None:
    logits, first = _case(counts)
    expected = [
        [
            _of_one_label(pooling, logits[start:end, column].tolist(), sharpness)
            for column, sharpness in enumerate(SHARPNESS.values())
        ]
        for start, end in pairwise(first.tolist())
    ]

    found = pool_windows(logits, first, _settings(pooling), SPACE.names)
    text = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
    trained = WindowPooling(_settings(pooling), SPACE)(
        torch.from_numpy(logits), WindowMap(text, len(counts))
    )

    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(trained.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", WINDOW_POOLINGS)
def test_a_text_of_one_window_keeps_its_logits_bit_for_bit(pooling: str) -> None:
    logits, first = _case([1, 3, 1])

    found = pool_windows(logits, first, _settings(pooling), SPACE.names)

    assert found[[0, 2]].tolist() == logits[[0, 4]].tolist()


@pytest.mark.parametrize("pooling", WINDOW_POOLINGS)
def test_large_logits_do_not_overflow(pooling: str) -> None:
    logits = np.array([[900.0, -900.0], [-900.0, -901.0]], dtype=np.float32)

    found = pool_windows(logits, np.array([0, 2]), _settings(pooling), SPACE.names)

    assert np.isfinite(found).all()


@pytest.mark.parametrize("pooling", WINDOW_POOLINGS)
def test_the_gradient_is_that_of_each_text_alone(pooling: str) -> None:
    logits, first = _case([2, 1, 4])
    text = torch.from_numpy(np.repeat(np.arange(3), [2, 1, 4]))
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    loss = torch.nn.BCEWithLogitsLoss(reduction="sum")

    together = torch.tensor(logits, requires_grad=True)
    pool = WindowPooling(_settings(pooling), SPACE)
    loss(pool(together, WindowMap(text, 3)), targets).backward()
    alone = torch.tensor(logits, requires_grad=True)
    sharpness = torch.tensor(list(SHARPNESS.values()), requires_grad=True)
    for number in range(3):
        some = alone[first[number] : first[number + 1]]
        pooled = {
            "max": lambda z: z.max(dim=0).values,
            "mean": lambda z: z.mean(dim=0),
            "log_sum_exp": lambda z: torch.logsumexp(z, dim=0),
            "attention": lambda z: (torch.softmax(z * sharpness, dim=0) * z).sum(dim=0),
        }[pooling](some)
        loss(pooled, targets[number]).backward()

    assert together.grad is not None
    assert alone.grad is not None
    np.testing.assert_allclose(together.grad, alone.grad, rtol=1e-5, atol=1e-6)
    if pooling == "attention":
        assert pool.sharpness is not None
        assert pool.sharpness.grad is not None
        assert sharpness.grad is not None
        np.testing.assert_allclose(pool.sharpness.grad, sharpness.grad, rtol=1e-4, atol=1e-6)


def test_the_loudest_window_is_the_one_of_the_highest_logit() -> None:
    logits = np.array([[0, 2], [1, 1], [5, 0], [3, 4], [3, 9]], dtype=np.float32)

    assert loudest_windows(logits, np.array([0, 2, 5])).tolist() == [[1, 0], [0, 2]]
