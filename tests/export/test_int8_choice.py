"""As many layers stay in fp32 as the decisions ask for."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from export import tiny_encoder
from multihot.data.tokens import TokenizedTexts
from multihot.export.int8_choice import choose_int8

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return tiny_encoder.exported()


def tokenized() -> TokenizedTexts:
    texts = tiny_encoder.texts()
    lengths = [len(text) for text in texts]
    ids = np.concatenate(texts).astype(np.uint16)
    return TokenizedTexts(ids, np.append(0, np.cumsum(lengths)), np.zeros(len(texts), bool))


def test_every_layer_is_converted_where_that_is_near_enough(fp32: onnx.ModelProto) -> None:
    chosen = choose_int8(fp32, tokenized(), 0, lambda logits: True)

    assert len(chosen.converted) == 12


def test_layers_are_kept_until_it_is_near_and_no_more(fp32: onnx.ModelProto) -> None:
    texts = tiny_encoder.texts()
    exact = tiny_encoder.logits(fp32, texts)
    everything = choose_int8(fp32, tokenized(), 0, lambda logits: True)
    error = np.abs(tiny_encoder.logits(everything.model, texts) - exact).max()

    def is_near(logits: np.ndarray) -> bool:
        assert logits.shape == exact.shape
        return bool(np.abs(logits - exact).max() < 0.7 * error)

    chosen = choose_int8(fp32, tokenized(), 0, is_near)

    assert is_near(tiny_encoder.logits(chosen.model, texts))
    assert 0 < len(chosen.converted) < 12
    assert set(chosen.converted) | set(chosen.kept) >= set(everything.converted)
