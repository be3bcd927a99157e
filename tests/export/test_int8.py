from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import tiny_encoder
from multihot.errors import OptionError
from multihot.export.int8 import SCHEMES, scheme_for, to_int8
from multihot.export.layer_inputs import LayerInputs, measure_layer_inputs
from multihot.export.weight_rounding import rounded_weight

pytestmark = pytest.mark.slow

LAYERS = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return tiny_encoder.exported()


def int8_weights(model: onnx.ModelProto) -> list[np.ndarray]:
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    return [numpy_helper.to_array(arrays[node.input[1]]) for node in products]


def test_every_linear_layer_of_the_encoder_is_converted_and_the_head_is_not(
    fp32: onnx.ModelProto,
) -> None:
    found = to_int8(fp32, scheme="u8s8")

    onnx.checker.check_model(found.model)
    assert len(found.converted) == 2 * len(LAYERS)
    assert all(name.endswith(LAYERS) for name in found.converted)
    assert len(int8_weights(found.model)) == len(found.converted)
    assert found.model.ByteSize() < 0.35 * fp32.ByteSize()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_logits_stay_close_to_those_of_fp32(fp32: onnx.ModelProto, scheme: str) -> None:
    texts = tiny_encoder.texts()
    before = tiny_encoder.logits(fp32, texts)

    after = tiny_encoder.logits(to_int8(fp32, scheme=scheme).model, texts)

    assert 0 < np.abs(after - before).max() < 0.1 * before.std()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_text_has_the_same_logits_alone_and_among_others(
    fp32: onnx.ModelProto, scheme: str
) -> None:
    model, texts = to_int8(fp32, scheme=scheme).model, tiny_encoder.texts()

    together = tiny_encoder.logits(model, texts)
    alone = np.concatenate([tiny_encoder.logits(model, [text]) for text in texts])

    assert np.abs(together - alone).max() <= 1e-5


def test_layers_that_are_kept_compute_in_fp32(fp32: onnx.ModelProto) -> None:
    converted = to_int8(fp32, scheme="u8s8").converted
    down = [name for name in converted if name.endswith("output.dense")]

    found = to_int8(fp32, keep=down, scheme="u8s8")

    assert set(found.kept) == set(down)
    assert set(found.converted) == set(converted) - set(down)
    assert len(int8_weights(found.model)) == len(found.converted)
    with pytest.raises(OptionError, match="no layer 'nothing'"):
        to_int8(fp32, keep=["nothing"], scheme="u8s8")


def test_no_pair_of_products_saturates_16_bits_where_the_processor_needs_it(
    fp32: onnx.ModelProto,
) -> None:
    found = to_int8(fp32, scheme="u8s7")

    largest = max(np.abs(weight.astype(np.int64)).max() for weight in int8_weights(found.model))
    assert largest > 32
    assert 2 * 255 * largest <= np.iinfo(np.int16).max


def test_a_model_with_an_unknown_scheme_or_an_old_opset_is_refused(fp32: onnx.ModelProto) -> None:
    old = onnx.ModelProto()
    old.CopyFrom(fp32)
    old.opset_import[0].version = 17

    with pytest.raises(OptionError, match="expected one of u8s8, u8s7"):
        to_int8(fp32, scheme="s8s8")
    with pytest.raises(OptionError, match="opset 17"):
        to_int8(old, scheme="u8s8")


@pytest.mark.parametrize(
    ("instructions", "scheme"),
    [("AMX", "u8s8"), ("AVX512-VNNI", "u8s8"), ("AVX512", "u8s7"), ("AVX2", "u8s7")],
)
def test_the_scheme_follows_the_processor(instructions: str, scheme: str) -> None:
    assert scheme_for(instructions) == scheme


@pytest.fixture(scope="module")
def measured(fp32: onnx.ModelProto) -> LayerInputs:
    return measure_layer_inputs(
        fp32, [tiny_encoder.padded(tiny_encoder.texts(seed)) for seed in range(20)]
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_with_calibration_logits_stay_close_and_independent_of_the_batch(
    fp32: onnx.ModelProto, measured: LayerInputs, scheme: str
) -> None:
    texts = [text for seed in range(5, 15) for text in tiny_encoder.texts(seed)]
    before = tiny_encoder.logits(fp32, texts)

    found = to_int8(fp32, scheme=scheme, measured=measured)

    onnx.checker.check_model(found.model)
    after = tiny_encoder.logits(found.model, texts)
    alone = np.concatenate([tiny_encoder.logits(found.model, [text]) for text in texts])
    assert 0 < np.std(after - before) < 0.05 * np.std(before)
    assert np.abs(after - alone).max() <= 1e-5


def test_attention_keeps_no_test_for_nan_and_turns_keys_once(
    fp32: onnx.ModelProto,
) -> None:
    new = to_int8(fp32, scheme="u8s8").model
    kinds = [node.op_type for node in new.graph.node]

    assert "IsNaN" not in kinds
    assert kinds.count("Transpose") == 2 * 4


def test_rounding_that_passes_errors_on_changes_outputs_less_than_rounding_to_nearest() -> None:
    generator = np.random.default_rng(0)
    mixed = generator.normal(size=(40, 40))
    inputs = generator.normal(size=(500, 40)) @ mixed
    weight = generator.normal(size=(40, 7)).astype(np.float32)

    def error(moments: np.ndarray | None) -> float:
        integers, scales = rounded_weight(weight, 15, moments)
        assert np.abs(integers.astype(int)).max() <= 15
        return float(np.std(inputs @ (integers * scales - weight)))

    assert error(inputs.T @ inputs) < 0.7 * error(None)
