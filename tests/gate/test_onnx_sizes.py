"""A graph is refused by what it would make, before anything is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from multihot.errors import ArtifactError
from multihot.gate.onnx_model import OnnxGraph, OnnxNode, OnnxTensor, OnnxValue
from multihot.gate.onnx_sizes import OPERATIONS, GraphCosts, check_graph_sizes, largest_graph_costs

PATH = Path("somewhere/model.onnx")
WIDTH = 8
TABLE = np.zeros((50, WIDTH), np.float32)
AMPLE = GraphCosts(10**6, 10**7, 10**7, 10**7, 10**7, 10**7)


def tensor(name: str, array: npt.NDArray[Any]) -> OnnxTensor:
    data = memoryview(array.tobytes())
    return OnnxTensor(name, str(array.dtype), array.shape, data, 0, (0, 0))


def node(op: str, inputs: str, output: str, **attributes: Any) -> OnnxNode:
    outputs = tuple(output.split(" "))
    return OnnxNode(op, tuple(inputs.split(" ")), outputs, attributes, "", (0, 0))


def graph(*nodes: OnnxNode, **stored: Any) -> OnnxGraph:
    """Return a graph whose outputs are those of its last operation."""
    arrays = {name: np.asarray(value) for name, value in stored.items()}
    matrix = OnnxValue("int64", ("batch", "length"))
    return OnnxGraph(
        nodes,
        {name: tensor(name, array) for name, array in arrays.items()},
        {"input_ids": matrix, "attention_mask": matrix},
        {name: OnnxValue("float32", ()) for name in nodes[-1].outputs},
        {},
        {"": 20},
        10,
    )


def sizes(
    given: OnnxGraph, most: GraphCosts | None = AMPLE, *, rows: int = 2, length: int = 3
) -> GraphCosts:
    return check_graph_sizes(given, PATH, rows=rows, length=length, error=ArtifactError, most=most)


EMBED = node("Gather", "table input_ids", "hidden")


def test_the_costs_of_a_batch_are_those_of_its_operations() -> None:
    found = sizes(
        graph(
            EMBED,
            node("MatMul", "hidden weight", "wide"),
            node("Add", "wide bias", "moved"),
            node("ReduceSum", "moved axis", "sums", keepdims=0),
            table=TABLE,
            weight=np.zeros((WIDTH, 20), np.float32),
            bias=np.zeros(20, np.float32),
            axis=np.array([1]),
        )
    )

    assert found == GraphCosts(
        largest=2 * 3 * 20,
        live_bytes=4 * 2 * (2 * 3 * 20),  # the product and what is moved
        num_bytes=4 * (6 * WIDTH + 2 * 6 * 20 + 2 * 20),
        multiply_adds=6 * WIDTH + 6 * WIDTH * 20 + 6 * 20 + 6 * 20,
        constant_bytes=0,
        constant_multiply_adds=0,
        outputs={"sums": (2, 20)},
    )


def test_a_shape_may_follow_from_the_shape_of_the_batch() -> None:
    made = graph(
        EMBED,
        node("Shape", "input_ids", "rows", start=0, end=1),
        node("Shape", "input_ids", "length", start=1),
        node("Mul", "length two", "twice"),
        node("Concat", "rows twice minus_one", "target", axis=0),
        node("Reshape", "hidden target", "halves"),
        table=TABLE,
        two=np.array([2]),
        minus_one=np.array([-1]),
    )

    assert sizes(made).outputs == {"halves": (2, 6, 4)}
    assert sizes(made, rows=1, length=7).outputs == {"halves": (1, 14, 4)}


LARGE: dict[str, tuple[OnnxNode, ...]] = {
    "a range": (node("Range", "zero size one", "large"),),
    "a stretched number": (node("Expand", "zero sizes", "large"),),
    "a repeated number": (node("Tile", "numbers size_list", "large"),),
    "a filled tensor": (node("ConstantOfShape", "size_list", "large"),),
    "a row and a column": (
        node("Reshape", "numbers row_shape", "row"),
        node("Reshape", "numbers column_shape", "column"),
        node("Add", "row column", "large"),
    ),
    "a product of a column and a row": (
        node("Reshape", "numbers row_shape", "row"),
        node("Reshape", "numbers column_shape", "column"),
        node("MatMul", "column row", "large"),
    ),
    "padding": (node("Pad", "numbers pads", "large"),),
    "gathered twice": (node("Gather", "table many", "large"),),
    "multiplied sizes": (
        node("Mul", "size_list thousand", "grown"),
        node("ConstantOfShape", "grown", "large"),
    ),
    "a size of the batch": (
        node("Shape", "input_ids", "batch"),
        node("Mul", "batch thousand", "grown"),
        node("ConstantOfShape", "grown", "large"),
    ),
}


@pytest.mark.parametrize("kind", LARGE)
def test_tensors_that_are_too_large_are_refused(kind: str) -> None:
    made = graph(
        *LARGE[kind],
        zero=np.array(0),
        one=np.array(1),
        size=np.array(400),
        size_list=np.array([400]),
        sizes=np.array([20, 20]),
        thousand=np.array([1000]),
        numbers=np.zeros(20, np.float32),
        row_shape=np.array([1, 20]),
        column_shape=np.array([20, 1]),
        pads=np.array([0, 380]),
        table=TABLE,
        many=np.zeros(50, np.int64),
    )
    found = sizes(
        made,
        replace(
            AMPLE,
            largest=10**10,
            live_bytes=10**11,
            num_bytes=10**11,
            constant_bytes=10**11,
            multiply_adds=10**11,
            constant_multiply_adds=10**11,
        ),
    ).largest

    assert found >= 400
    with pytest.raises(
        ArtifactError, match=r"model.onnx: the operation .* that makes 'large' makes"
    ):
        sizes(made, replace(AMPLE, largest=399))


def test_what_is_refused_is_told_with_its_size() -> None:
    made = graph(
        node("Range", "zero size one", "large"),
        zero=np.array(0),
        size=np.array(10**12),
        one=np.array(1),
    )

    with pytest.raises(ArtifactError) as caught:
        sizes(made)

    assert str(caught.value) == (
        "somewhere/model.onnx: the operation 'Range' that makes 'large' makes 1,000,000,000,000 numbers of "
        "the shape (1000000000000,) for 2 texts of 3 tokens; expected at most 1,000,000 in 8 dimensions. The "
        "file was changed, or is no export of multihot; restore it or export the model again."
    )


@pytest.mark.parametrize(
    "last",
    [
        node("Reshape", "hidden longest", "made"),
        node("Expand", "table longest", "made"),
        node("Range", "longest longest longest", "made"),
        node("ConstantOfShape", "longest", "made"),
        node("Slice", "hidden longest longest", "made"),
        node("Tile", "hidden longest", "made"),
        node("Squeeze", "hidden longest", "made"),
        node("ReduceSum", "hidden longest", "made"),
        node("Div", "input_ids longest", "made"),
    ],
    ids=lambda last: last.op,
)
def test_sizes_and_divisors_that_follow_from_the_texts_are_refused(last: OnnxNode) -> None:
    made = graph(EMBED, node("ReduceMax", "input_ids", "longest", keepdims=0), last, table=TABLE)

    with pytest.raises(ArtifactError, match="'made' depends on the numbers of its input"):
        sizes(made)


@pytest.mark.parametrize("op", ["NonZero", "Loop", "If", "EyeLike", "com.microsoft.Attention"])
def test_other_operations_are_refused(op: str) -> None:
    assert op not in OPERATIONS
    with pytest.raises(ArtifactError, match=f"'{op}' that makes 'made' is none that an export has"):
        sizes(graph(node(op, "input_ids", "made")))


@pytest.mark.parametrize("divisor", [0, -1])
def test_a_division_that_stops_the_program_is_refused(divisor: int) -> None:
    numbers = np.array([2, divisor])

    with pytest.raises(ArtifactError, match="divides whole numbers by 0 or -1"):
        sizes(graph(node("Mod", "numbers numbers", "made"), numbers=numbers))
    sizes(graph(node("Div", "numbers numbers", "made"), numbers=numbers.astype(np.float32)))


@pytest.mark.parametrize(
    "last",
    [
        node("MatMul", "hidden five", "made"),
        node("Add", "hidden five", "made"),
        node("Reshape", "hidden five", "made"),
        node("Concat", "hidden five", "made", axis=0),
        node("Transpose", "hidden", "made", perm=(0, 0, 1)),
        node("Transpose", "hidden", "made", perm=(b"a", 1, 2)),
        node("Softmax", "hidden", "made", axis=3),
        node("LayerNormalization", "hidden five", "made"),
        node("Gemm", "hidden five", "made"),
        node("Split", "hidden", "made other", axis=2, num_outputs=3),
        node("com.microsoft.BiasGelu", "hidden five", "made"),
        node("Where", "hidden hidden", "made"),
        node("Range", "one half one", "made"),
        node("Cast", "hidden", "made", to=16),
        node("Constant", "hidden", "made", value=3),
        node("Softmax", "hidden", "made other"),
    ],
    ids=lambda last: f"{last.op}{last.attributes}",
)
def test_what_an_operation_does_not_take_is_refused(last: OnnxNode) -> None:
    with pytest.raises(ArtifactError, match=f"the operation '{last.op}' that makes 'made'"):
        sizes(
            graph(
                EMBED,
                last,
                table=TABLE,
                five=np.arange(1, 6),
                one=np.array(1),
                half=np.array(0.5, "f"),
            )
        )


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Abs", "later", "made")], "takes 'later', which nothing before it makes"),
        ([node("Abs", "table", "table")], "does not make these outputs"),
        (
            [node("Abs", "table", "made"), node("Neg", "table", "made")],
            "does not make these outputs",
        ),
        ([node("Max", " ".join(["table"] * 65), "made")], "takes 65 inputs"),
    ],
)
def test_a_graph_that_does_not_hang_together_is_refused(nodes: list[OnnxNode], reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason):
        sizes(graph(*nodes, table=TABLE))


def test_a_graph_of_another_version_or_for_other_batches_is_refused() -> None:
    made = graph(EMBED, table=TABLE)
    fixed = replace(made, inputs={**made.inputs, "input_ids": OnnxValue("int64", (2, 12))})

    with pytest.raises(ArtifactError, match="operations are of ONNX 17; expected 18 to 23"):
        sizes(replace(made, opset={"": 17}))
    with pytest.raises(ArtifactError, match="'input_ids' does not take 2 texts of 3 tokens"):
        sizes(fixed)
    assert sizes(fixed, length=12).outputs == {"hidden": (2, 12, WIDTH)}
    with pytest.raises(ArtifactError, match="nothing makes the output 'scores'"):
        sizes(replace(made, outputs={"scores": OnnxValue("float32", ())}))


def test_what_exists_at_once_is_bounded_in_the_order_of_the_runtime() -> None:
    # Written one after the other, the sums need two tensors at once. onnxruntime makes all the
    # tensors first, since it runs the operation that was written last, and what that needs.
    nodes = [EMBED, node("Abs", "hidden", "sum0")]
    for place in range(1, 9):
        nodes.append(node("Abs", "hidden", f"part{place}"))
        nodes.append(node("Add", f"part{place} sum{place - 1}", f"sum{place}"))
    chain = graph(*nodes, table=TABLE)
    early = [each for each in nodes if each.op != "Add"] + [
        each for each in nodes if each.op == "Add"
    ]
    one = 4 * 6 * WIDTH

    assert sizes(chain).live_bytes == 10 * one
    assert sizes(graph(*early, table=TABLE)).live_bytes == 4 * one
    with pytest.raises(
        ArtifactError, match=f"needs {10 * one:,} bytes at once for 2 texts of 3 tokens"
    ):
        sizes(chain, replace(AMPLE, live_bytes=9 * one))


@pytest.mark.parametrize("bound", ["num_bytes", "multiply_adds"])
def test_what_is_done_for_a_batch_is_bounded_as_a_whole(bound: str) -> None:
    steps = [
        node("Abs", f"x{place}" if place else "hidden", f"x{place + 1}") for place in range(10)
    ]
    made = graph(EMBED, *steps, table=TABLE)
    needed = getattr(sizes(made), bound)

    sizes(made, replace(AMPLE, **{bound: needed}))
    with pytest.raises(
        ArtifactError, match=f"'x10' is where {needed:,} .* expected at most {needed - 1:,}"
    ):
        sizes(made, replace(AMPLE, **{bound: needed - 1}))


@pytest.mark.parametrize("bound", ["constant_bytes", "constant_multiply_adds"])
def test_what_is_made_of_constants_while_loading_is_bounded(bound: str) -> None:
    parts = [node("Expand", "zero sizes", f"part{place}") for place in range(10)]
    made = graph(*parts, EMBED, table=TABLE, zero=np.array(0, np.int32), sizes=np.array([5, 5]))
    found = sizes(made)

    assert (found.constant_bytes, found.constant_multiply_adds) == (10 * 4 * 25, 10 * 25)
    with pytest.raises(ArtifactError, match=r"'part9' is where .* expected at most"):
        sizes(made, replace(AMPLE, **{bound: getattr(found, bound) - 1}))


def test_bounds_grow_with_the_batch_and_with_what_is_stored() -> None:
    table = np.zeros((5000, 256), np.float32)
    narrow = graph(EMBED, table=np.zeros((50, 64), np.float32))
    wide = graph(EMBED, table=table, weight=table[:256])
    small, large = (largest_graph_costs(wide, rows=64, length=size) for size in (128, 512))

    assert largest_graph_costs(narrow, rows=64, length=512).largest < large.largest
    for name in ("largest", "live_bytes", "num_bytes", "multiply_adds"):
        assert getattr(small, name) < getattr(large, name)
    # Of a file of 5 MB no batch of a few short texts makes much.
    few = largest_graph_costs(wide, rows=4, length=32)
    assert few.live_bytes < 400e6
    assert few.largest < 20e6
    assert few.constant_bytes < 100e6


def test_a_tensor_of_nothing_is_refused_by_the_bounds_of_its_own_batch() -> None:
    made = graph(
        node("Range", "zero size one", "large"),
        zero=np.array(0),
        size=np.array(10**9),
        one=np.array(1),
    )

    with pytest.raises(ArtifactError, match="makes 1,000,000,000 numbers"):
        sizes(made, None)
