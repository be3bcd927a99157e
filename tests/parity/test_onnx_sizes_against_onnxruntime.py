"""Every operation of the gate's table makes the shapes, types and sizes that onnxruntime makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multihot.errors import ArtifactError
from multihot.gate.onnx_model import parse_onnx
from multihot.gate.onnx_numbers import COMPUTED, computed, stored_numbers
from multihot.gate.onnx_operands import Operands
from multihot.gate.onnx_sizes import OPERATIONS, check_graph_sizes

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROWS, LENGTH = 2, 3
F = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
IDS = np.arange(1, 7).reshape(2, 3)
SIGNS = np.array([7, -7, 8, -8])
TRUTHS = np.array([[True, False, True]])
BYTES = np.arange(12, dtype=np.uint8).reshape(3, 4)
WEIGHTS = np.arange(8, dtype=np.int8).reshape(4, 2)
SCALES = np.array([0.5, 0.25, 2, 1], np.float32)
ONE, HALF = np.array(1, np.float32), np.array(0.5, np.float32)
IMAGE = np.ones((2, 4, 9), np.float32)


def _list(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


# Inputs (`None`: left out), attributes, number of outputs.
Case = tuple[list[Any], dict[str, Any], int]
CASES: dict[str, list[Case]] = {
    **{
        op: [([F], {}, 1)]
        for op in "Exp Log Reciprocal Sin Cos Tanh Sigmoid Relu Erf IsNaN IsInf".split()
    },
    **{op: [([F], {}, 1), ([-IDS], {}, 1)] for op in "Abs Neg Sign Identity".split()},
    **{op: [([F[0]], {}, 1)] for op in "Floor Ceil Round Sqrt".split()},
    **{
        op: [([IDS, _list(2, 3, 1)], {}, 1), ([F, F[:, :1]], {}, 1)]
        for op in "Add Sub Mul Max Min".split()
    },
    **{op: [([F, F[0]], {}, 1)] for op in "Less LessOrEqual Greater GreaterOrEqual".split()},
    **{op: [([TRUTHS, TRUTHS.T], {}, 1)] for op in "And Or Xor".split()},
    **{
        f"Reduce{name}": [
            ([F, _list(1, -1)], {}, 1),
            ([F, _list(0)], {"keepdims": 0}, 1),
            ([F], {"keepdims": 0}, 1),
            ([F, None], {"noop_with_empty_axes": 1}, 1),
        ]
        for name in ("Max", "Mean", "Min", "Prod", "Sum")
    },
    "Cast": [([F], {"to": 7}, 1), ([IDS], {"to": 9}, 1), ([IDS], {"to": 1}, 1)],
    "Clip": [([F, HALF * 0, HALF], {}, 1), ([IDS, _list(2)[0], None], {}, 1)],
    "Concat": [([F, F[:, :1]], {"axis": 1}, 1), ([_list(1), _list(2, 3)], {"axis": -1}, 1)],
    "Constant": [([], {"value": _list(3, 4)}, 1)],
    "ConstantOfShape": [([_list(2, 2)], {"value": _list(5)}, 1), ([_list(3)], {}, 1)],
    "Conv": [
        (
            [IMAGE, np.ones((6, 2, 3), np.float32), np.ones(6, np.float32)],
            {"group": 2, "pads": [1, 0]},
            1,
        ),
        (
            [IMAGE, np.ones((4, 1, 3), np.float32)],
            {"group": 4, "strides": [2], "dilations": [2]},
            1,
        ),
    ],
    "CumSum": [([F, np.array(1)], {}, 1)],
    "DFT": [([F[..., None], None, np.array(1)], {}, 1)],
    "DequantizeLinear": [
        ([BYTES, SCALES, SCALES.astype(np.uint8)], {"axis": 1}, 1),
        ([WEIGHTS.astype(np.int32), HALF], {}, 1),
    ],
    "Div": [([SIGNS, _list(2)], {}, 1), ([SIGNS, _list(-3)], {}, 1), ([F, HALF], {}, 1)],
    "DynamicQuantizeLinear": [([F], {}, 3)],
    "Equal": [([IDS, _list(2, 3, 1)], {}, 1)],
    "Expand": [([_list(1, 2, 3), _list(2, 1)], {}, 1)],
    "Flatten": [([F], {"axis": 2}, 1), ([F], {"axis": 0}, 1)],
    "Gather": [([F, IDS % 3], {"axis": 1}, 1), ([_list(4, 5, 6), np.array(-1)], {}, 1)],
    "GatherElements": [([F, np.zeros((1, 2, 4), np.int64)], {"axis": 1}, 1)],
    "GatherND": [
        ([F, np.ones((2, 5, 1), np.int64)], {"batch_dims": 1}, 1),
        ([IDS, IDS[:, :2] * 0], {}, 1),
    ],
    "Gelu": [([F], {"approximate": "tanh"}, 1)],
    "Gemm": [
        ([F[0], F[1], np.ones(3, np.float32)], {"transB": 1}, 1),
        ([F[0], F[1]], {"transA": 1}, 1),
    ],
    "LayerNormalization": [([F, F[0, 0], F[0, 0]], {"axis": -1}, 1), ([F, F[0]], {"axis": 1}, 3)],
    "MatMul": [([F, F[0].T], {}, 1), ([F, F[0, 0]], {}, 1), ([F[0, :, :3], F], {}, 1)],
    "MatMulInteger": [([BYTES, WEIGHTS, np.array(3, np.uint8)], {}, 1)],
    "MaxPool": [([IMAGE], {"kernel_shape": [2], "strides": [2], "pads": [1, 0]}, 1)],
    "Mod": [([SIGNS, _list(3)], {}, 1), ([SIGNS, _list(-3)], {"fmod": 1}, 1)],
    "Not": [([TRUTHS], {}, 1)],
    "Pad": [
        ([F[0], _list(1, 0, 0, -1)], {}, 1),
        ([F, _list(2, 0, 1, 0), None, _list(-1, 0)], {}, 1),
    ],
    "Pow": [([F, HALF * 4], {}, 1)],
    "QuantizeLinear": [
        ([F[0], HALF, np.array(3, np.uint8)], {}, 1),
        ([F[0], SCALES[:3], np.zeros(3, np.uint8)], {"axis": 0}, 1),
    ],
    "Range": [
        ([np.array(5), np.array(-4), np.array(-2)], {}, 1),
        ([HALF, ONE * 9, HALF], {}, 1),
        ([np.array(5), np.array(5), np.array(1)], {}, 1),
    ],
    "Reshape": [([F, _list(0, -1)], {}, 1), ([F[:, :0], _list(0, 3)], {"allowzero": 1}, 1)],
    "ScatterElements": [([F, np.zeros((1, 2, 4), np.int64), F[:1, :2]], {"axis": 1}, 1)],
    "ScatterND": [([F, np.zeros((5, 1), np.int64), np.ones((5, 3, 4), np.float32)], {}, 1)],
    "Shape": [([F], {}, 1), ([F], {"start": -2}, 1), ([F], {"start": 1, "end": -1}, 1)],
    "Size": [([F], {}, 1)],
    "Slice": [
        ([F, _list(-3, 0), _list(2**62, 1), _list(2, 0)], {}, 1),
        ([SIGNS, _list(-1), _list(-(2**62)), _list(0), _list(-2)], {}, 1),
        ([F, _list(1), _list(9)], {}, 1),
    ],
    "Softmax": [([F], {"axis": 1}, 1)],
    "Split": [([F], {"axis": 2, "num_outputs": 3}, 3), ([IDS, _list(1, 2)], {"axis": -1}, 2)],
    "Squeeze": [([F[:, :1], _list(-2)], {}, 1), ([IDS[:1, :1]], {}, 1)],
    "Tile": [([F, _list(1, 2, 0)], {}, 1)],
    "Transpose": [([F], {"perm": [2, 0, 1]}, 1), ([F], {}, 1)],
    "Unsqueeze": [([IDS, _list(0, -1)], {}, 1)],
    "Where": [([TRUTHS, IDS, _list(9)], {}, 1)],
    "com.microsoft.BiasGelu": [([F, F[0, 0]], {}, 1)],
    "com.microsoft.MatMulIntegerToFloat": [
        ([BYTES, WEIGHTS, HALF, SCALES[:2], np.array(3, np.uint8), None, SCALES[:2]], {}, 1)
    ],
}


def _model(op: str, case: Case) -> bytes:
    """Return a model of one operation on stored tensors."""
    inputs, attributes, num_outputs = case
    helper: Any = onnx.helper
    names = ["" if array is None else f"in{place}" for place, array in enumerate(inputs)]
    stored = [
        onnx.numpy_helper.from_array(np.asarray(array), name)
        for name, array in zip(names, inputs, strict=True)
        if array is not None
    ]
    given = {
        name: onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in attributes.items()
    }
    outputs = [f"out{place}" for place in range(num_outputs)]
    domain, _, kind = op.rpartition(".")
    node = helper.make_node(kind, names, outputs, domain=domain, **given)
    tokens = [
        helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    made = [onnx.ValueInfoProto(name=name) for name in outputs]
    versions = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "graph", tokens, made, stored)
    content: bytes = helper.make_model(
        graph, opset_imports=versions, ir_version=10
    ).SerializeToString()
    return content


def _run(content: bytes, tokens: Any) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options)
    outputs: list[Any] = session.run(None, {"input_ids": tokens, "attention_mask": tokens})
    return outputs


def test_every_operation_of_the_table_is_compared() -> None:
    assert set(CASES) == set(OPERATIONS)
    assert set(COMPUTED) <= set(CASES)


@pytest.mark.parametrize("op", CASES)
def test_an_operation_makes_the_shapes_of_onnxruntime(op: str) -> None:
    tokens = np.ones((ROWS, LENGTH), np.int64)
    for case in CASES[op]:
        content = _model(op, case)
        wanted = _run(content, tokens)
        graph = parse_onnx(memoryview(content), Path("a.onnx"), error=ArtifactError)
        found = check_graph_sizes(
            graph, Path("a.onnx"), rows=ROWS, length=LENGTH, error=ArtifactError
        )

        assert list(found.outputs.values()) == [array.shape for array in wanted]
        assert found.constant_bytes == sum(array.nbytes for array in wanted)


@pytest.mark.parametrize("op", COMPUTED)
def test_small_numbers_are_those_of_onnxruntime(op: str) -> None:
    num_compared = 0
    for case in CASES[op]:
        content = _model(op, case)
        tokens = np.ones((ROWS, LENGTH), np.int64)
        wanted = _run(content, tokens)
        graph = parse_onnx(memoryview(content), Path("a.onnx"), error=ArtifactError)
        values = [
            stored_numbers(graph.tensors[name]) if name else None for name in graph.nodes[0].inputs
        ]
        operands = Operands(
            op,
            graph.nodes[0].attributes,
            [None if value is None else value.shape for value in values],
            ["" if value is None else str(value.dtype) for value in values],
            values,
            len(wanted),
        )
        (found,) = computed(operands, OPERATIONS[op](operands), str(wanted[0].dtype))
        if found is not None:
            num_compared += 1
            np.testing.assert_array_equal(found, wanted[0], strict=True)
    assert num_compared
