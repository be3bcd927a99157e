"""The `Gather` of the first token moves in front of what treats tokens by themselves, and nothing else changes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from multihot.export.first_token import compute_first_token_only

HEAD = '<ir_version: 10, opset_import: ["" : 20]>'
BLOCK = """
test (float[texts, tokens, 4] x) => (float[texts, 4] y{outputs})
  <float[4, 4] w = {{1,2,3,4,5,6,7,8,9,8,7,6,5,4,3,2}}, float[4] b = {{1,2,3,4}},
   float[4] scale = {{1,1,1,2}}, int64 first = {{0}}, int64[1] axis = {{1}}>
{{
  product = MatMul(x, w)
  biased = Add(product, b)
  active = Gelu(biased)
  sum = Add(active, x)
  normal = LayerNormalization<axis: int = -1>(sum, scale, b)
  {tail}
}}
"""


def _graph(tail: str, outputs: str = "") -> Any:
    model = onnx.parser.parse_model(HEAD + BLOCK.format(tail=tail, outputs=outputs))
    onnx.checker.check_model(model, full_check=True)
    return model


def _run(model: Any) -> list[np.ndarray]:
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})


def _narrowed(model: Any) -> tuple[Any, list[str]]:
    """Return what becomes of a model, and the inputs of its `Gather` nodes."""
    changed = copy.deepcopy(model)
    compute_first_token_only(changed)
    onnx.checker.check_model(changed, full_check=True)
    for expected, found in zip(_run(model), _run(changed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    return changed, [node.input[0] for node in changed.graph.node if node.op_type == "Gather"]


def test_only_the_first_token_is_computed() -> None:
    _, gathered = _narrowed(_graph("y = Gather<axis: int = 1>(normal, first)"))

    assert set(gathered) == {"x"}


def test_two_that_take_the_first_token_become_one() -> None:
    tail = """one = Gather<axis: int = 1>(normal, first)
  other = Gather<axis: int = 1>(normal, first)
  y = Add(one, other)"""

    changed, gathered = _narrowed(_graph(tail))

    assert set(gathered) == {"x"}
    assert changed.graph.node[-1].input[0] == changed.graph.node[-1].input[1]


@pytest.mark.parametrize(
    ("tail", "outputs"),
    [
        ("y = ReduceMean<keepdims: int = 0>(normal, axis)", ""),
        ("one = Constant<value_int: int = 1>()\n  y = Gather<axis: int = 1>(normal, one)", ""),
        ("mean = ReduceMean<keepdims: int = 0>(normal, axis)\n"
         "  one = Gather<axis: int = 1>(normal, first)\n  y = Add(one, mean)", ""),
        ("y = Gather<axis: int = 1>(normal, first)", ", float[texts, tokens, 4] normal"),
    ],
    ids=["mean", "another token", "mean and first", "read from outside"],
)  # fmt: skip
def test_what_other_tokens_are_read_of_stays(tail: str, outputs: str) -> None:
    model = _graph(tail, outputs)

    changed, _ = _narrowed(model)

    assert changed.graph == model.graph


def test_what_mixes_tokens_stays_in_front() -> None:
    tail = """turned = Transpose<perm: ints = [0, 2, 1]>(normal)
  back = Transpose<perm: ints = [0, 2, 1]>(turned)
  last = Add(back, b)
  y = Gather<axis: int = 1>(last, first)"""

    _, gathered = _narrowed(_graph(tail))

    assert gathered == ["back"]


def test_a_constant_for_each_token_stays() -> None:
    text = """
test (float[texts, 2, 4] x) => (float[texts, 4] y)
  <float[2, 4] places = {1,2,3,4,5,6,7,8}, int64 first = {0}>
{
  placed = Add(x, places)
  y = Gather<axis: int = 1>(placed, first)
}
"""
    model = onnx.parser.parse_model(HEAD + text)
    changed = copy.deepcopy(model)

    compute_first_token_only(changed)

    assert changed.graph == model.graph
