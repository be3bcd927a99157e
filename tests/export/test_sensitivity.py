from __future__ import annotations

import numpy as np
import onnx
import pytest

from export import tiny_encoder
from multihot.export.sensitivity import convert_within

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return tiny_encoder.exported()


def run_logits(model: onnx.ModelProto) -> np.ndarray:
    return tiny_encoder.logits(model, tiny_encoder.texts())


def test_layers_stay_int8_while_the_error_is_allowed(fp32: onnx.ModelProto) -> None:
    found = convert_within(fp32, run_logits, scheme="u8s8", largest_error=1.0)

    assert found.chosen.kept == ()
    assert found.alone == {}
    assert found.error == found.first_error


def test_the_worst_kinds_of_layers_stay_fp32_in_every_block(fp32: onnx.ModelProto) -> None:
    everything = convert_within(fp32, run_logits, scheme="u8s8", largest_error=1.0)
    found = convert_within(
        fp32, run_logits, scheme="u8s8", largest_error=0.8 * everything.first_error
    )

    worst = max(found.alone, key=lambda kind: found.alone[kind])
    assert found.error <= 0.8 * found.first_error
    assert [name for name in found.chosen.kept if name.endswith(worst)]
    assert len(found.chosen.kept) % 2 == 0
    assert found.chosen.converted
