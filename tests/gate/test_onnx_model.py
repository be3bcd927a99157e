"""What is read from an ONNX file is what the onnx package reads, and nothing that no export has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from multihot.errors import ArtifactError
from multihot.gate.onnx_model import parse_onnx

PATH = Path("model.onnx")


def small_model() -> onnx.ModelProto:
    table = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "table")
    axis = numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["vectors"], name="look up", axis=0),
        helper.make_node("ReduceSum", ["vectors", "axis"], ["logits"], keepdims=0),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "small", [ids], [logits], [table, axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"multihot": "{}"})
    return model


def parsed(model: onnx.ModelProto) -> object:
    return parse_onnx(memoryview(model.SerializeToString()), PATH, error=ArtifactError)


def test_tensors_nodes_and_ends_are_those_of_the_file() -> None:
    content = small_model().SerializeToString()

    graph = parse_onnx(memoryview(content), PATH, error=ArtifactError)

    assert [(node.op, node.inputs, node.outputs) for node in graph.nodes] == [
        ("Gather", ("table", "ids"), ("vectors",)),
        ("ReduceSum", ("vectors", "axis"), ("logits",)),
    ]
    assert [dict(node.attributes) for node in graph.nodes] == [{"axis": 0}, {"keepdims": 0}]
    table = graph.tensors["table"]
    assert (table.dtype, table.shape) == ("float32", (4, 3))
    assert np.frombuffer(table.data, table.dtype).tolist() == list(range(12))
    assert content[table.start : table.start + 4] == b"\0\0\0\0"
    assert graph.inputs["ids"].shape == ("batch", "length")
    assert graph.outputs["logits"].shape == ("batch", 3)
    assert (graph.metadata, graph.opset) == ({"multihot": "{}"}, {"": 20})


def with_external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "elsewhere"


def with_a_subgraph(model: onnx.ModelProto) -> None:
    node = model.graph.node[0]
    node.attribute.append(helper.make_attribute("body", model.graph))


def with_a_function(model: onnx.ModelProto) -> None:
    version = helper.make_opsetid("", 20)
    model.functions.append(helper.make_function("own", "F", ["a"], ["b"], [], [version]))


def with_another_shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def with_a_negative_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -4


def with_texts_as_numbers(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("names", TensorProto.STRING, [1], [b"a"]))


def with_one_tensor_twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def with_a_sparse_tensor(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def with_two_versions_of_its_metadata(model: onnx.ModelProto) -> None:
    entry = model.metadata_props.add()
    entry.key, entry.value = "multihot", "{}"


@pytest.mark.parametrize(
    "change",
    [
        with_external_data,
        with_a_subgraph,
        with_a_function,
        with_another_shape,
        with_a_negative_size,
        with_texts_as_numbers,
        with_one_tensor_twice,
        with_a_sparse_tensor,
        with_two_versions_of_its_metadata,
    ],
)
def test_what_no_export_has_is_refused(change: Callable[[onnx.ModelProto], None]) -> None:
    model = small_model()
    change(model)

    with pytest.raises(ArtifactError, match=r"model\.onnx holds .*multihot export"):
        parsed(model)


def test_a_file_that_is_cut_off_is_refused_or_lacks_what_comes_last() -> None:
    content = small_model().SerializeToString()
    complete = []

    for length in range(len(content)):
        try:
            graph = parse_onnx(memoryview(content[:length]), PATH, error=ArtifactError)
        except ArtifactError:
            continue
        complete.append(bool(graph.metadata))

    assert not any(complete)


@pytest.mark.parametrize("seed", range(40))
def test_bytes_that_were_changed_are_read_or_refused_and_never_anything_else(seed: int) -> None:
    random = np.random.default_rng(seed)
    content = bytearray(small_model().SerializeToString())
    for place in random.integers(0, len(content), 3):
        content[place] = random.integers(0, 256)

    with contextlib.suppress(ArtifactError):
        parse_onnx(memoryview(bytes(content)), PATH, error=ArtifactError)
