"""The roof counts exactly the linear layers of the model."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from roof import LinearShape, Roof, linear_shapes, step_flops

_WIDTH, _LAYERS, _LABELS = 8, 2, 3


@pytest.fixture(scope="module")
def shapes() -> list[LinearShape]:
    config = BertConfig(
        vocab_size=20,
        hidden_size=_WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=2,
        intermediate_size=4 * _WIDTH,
        num_labels=_LABELS,
    )
    return linear_shapes(BertForSequenceClassification(config).eval())


def test_every_linear_layer_is_found_with_its_rows(shapes: list[LinearShape]) -> None:
    square = LinearShape(_WIDTH, _WIDTH, per_text=False)
    layer = [*[square] * 4, LinearShape(8, 32, per_text=False), LinearShape(32, 8, per_text=False)]
    head = [LinearShape(_WIDTH, _WIDTH, per_text=True), LinearShape(_WIDTH, _LABELS, per_text=True)]

    assert shapes == [*layer * _LAYERS, *head]


def test_the_work_of_a_step_is_that_of_its_products(shapes: list[LinearShape]) -> None:
    tokens, texts = 50, 4
    per_token = _LAYERS * 12 * _WIDTH**2
    per_text = _WIDTH**2 + _WIDTH * _LABELS
    forward = 2 * (tokens * per_token + texts * per_text)

    assert step_flops(shapes, tokens, texts, backward=False) == forward
    assert step_flops(shapes, tokens, texts) == 3 * forward


@pytest.mark.parametrize("backward", [True, False])
def test_the_roof_computes_as_many_products_as_it_says(
    shapes: list[LinearShape], backward: bool
) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    roof = Roof(shapes, 60, torch.float32, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        roof.step(50, 4, backward=backward)

    assert counter.get_total_flops() == step_flops(shapes, 50, 4, backward=backward)
