"""What an OpenVINO model says of itself, read from its XML before OpenVINO sees it.

Only what exports of multihot have is read: known operations, whose numbers lie inside the one file
beside the XML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from multihot.core.text_tables import cut
from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file

__all__ = ["MAX_XML_BYTES", "OpenVinoModel", "parse_openvino"]

MAX_XML_BYTES = 256 << 20

_TYPES: dict[str, tuple[str, int]] = {
    "f32": ("<f4", 4),
    "f64": ("<f8", 8),
    "i64": ("<i8", 8),
    "i32": ("<i4", 4),
    "i8": ("i1", 1),
    "u8": ("u1", 1),
    "boolean": ("?", 1),
}
_OPERATIONS = frozenset(
    [
        "Parameter",
        "Const",
        "Result",
        "Add",
        "Subtract",
        "Multiply",
        "Divide",
        "Maximum",
        "Minimum",
        "MatMul",
        "Reshape",
        "Transpose",
        "Slice",
        "Concat",
        "Unsqueeze",
        "Squeeze",
        "ShapeOf",
        "Broadcast",
        "Range",
        "MVN",
        "Select",
        "SoftMax",
        "Softmax",
        "IsNaN",
        "Gelu",
        "Gather",
        "GatherElements",
        "GatherND",
        "LogicalAnd",
        "LogicalOr",
        "LogicalNot",
        "Convert",
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "GreaterEqual",
        "Greater",
        "LessEqual",
        "Less",
        "Equal",
        "NotEqual",
        "Sigmoid",
        "Tanh",
        "Exp",
        "Log",
        "Abs",
        "Sqrt",
        "Power",
        "Sign",
        "Cos",
        "Sin",
        "Erf",
        "Negative",
        "ReLU",
        "SoftPlus",
        "Clamp",
        "Split",
        "VariadicSplit",
        "StridedSlice",
        "Tile",
        "ConvertLike",
        "Einsum",
        "CumSum",
        "Floor",
        "FloorMod",
        "Mod",
        "ScatterElementsUpdate",
        "ScatterNDUpdate",
        "ScaledDotProductAttention",
        "HSwish",
        "Elu",
        "Mish",
        "Swish",
    ]
)
_MOST_LAYERS = 50_000
_LARGEST_SIZE = 1 << 21  # of what may be a size, a limit or a repetition
_SMALL = 64  # numbers of what may be a shape


@dataclass(frozen=True)
class OpenVinoModel:
    """What the XML says."""

    num_vectors: int | None
    """Rows of the table that `input_ids` look up."""
    metadata: str | None
    """What `multihot export` says in it."""


def parse_openvino(
    content: memoryview, weights: memoryview, path: Path, *, error: type[MultihotError]
) -> OpenVinoModel:
    """Return what a model says; raise `error` for what no export of multihot has.

    Parameters
    ----------
    content, weights
        The XML and the file of its numbers, *shape* (bytes,).
    path
        Of the XML, for messages.
    error
        The class of what is raised.
    """
    try:
        return _parse(content, weights)
    except (ValueError, ElementTree.ParseError, OverflowError) as reason:
        raise error(
            f"{shown_file(path)}: {cut(str(reason))}. It is damaged, or not from 'multihot export'."
        ) from None


def _parse(content: memoryview, weights: memoryview) -> OpenVinoModel:
    text = bytes(content)
    if b"<!" in text:  # no documents within documents, which may expand without end
        raise ValueError("it has a declaration of XML that no export has")
    root = ElementTree.fromstring(text)  # noqa: S314 - without declarations nothing expands
    layers = root.findall("layers/layer")
    if root.tag != "net" or not layers or len(layers) > _MOST_LAYERS:
        raise ValueError("it is no network of OpenVINO")
    tables: dict[str, int] = {}
    for layer in layers:
        kind = layer.get("type", "")
        if kind not in _OPERATIONS or not re.fullmatch(r"opset\d+", layer.get("version", "")):
            raise ValueError(f"it has the operation {cut(kind)}, which no export has")
        if kind == "Const":
            shape = _constant(layer, weights)
            tables[layer.get("id", "")] = shape[0] if len(shape) == 2 else 0
    note = root.find("rt_info/framework/multihot")
    return OpenVinoModel(_num_vectors(root, tables), None if note is None else note.get("value"))


def _constant(layer: ElementTree.Element, weights: memoryview) -> tuple[int, ...]:
    """Return the shape of a constant; raise `ValueError` unless its numbers lie in the file."""
    data = layer.find("data")
    found = {} if data is None else data.attrib
    kind = found.get("element_type", "")
    if kind not in _TYPES:
        raise ValueError(f"it has a constant of the type {cut(kind)}")
    dtype, size = _TYPES[kind]
    shape = tuple(int(each) for each in found.get("shape", "").split(",") if each.strip())
    offset, length = int(found.get("offset", -1)), int(found.get("size", -1))
    num_values = 1
    for each in shape:
        num_values *= each
    if min(shape, default=0) < 0 or num_values * size != length or offset < 0:
        raise ValueError(f"it has a constant of the shape {cut(shape)} with {length} bytes")
    if offset + length > len(weights):
        raise ValueError("it has a constant that lies behind the end of openvino_model.bin")
    if kind in ("i64", "i32") and num_values <= _SMALL:
        values = np.frombuffer(weights[offset : offset + length], dtype)
        within = np.isin(values, (np.iinfo(dtype).max, np.iinfo(dtype).min)) | (
            np.abs(values.astype(np.float64)) <= _LARGEST_SIZE
        )
        if not within.all():
            raise ValueError(f"it has a size of {values[~within][0]}")
    return shape


def _num_vectors(root: ElementTree.Element, tables: dict[str, int]) -> int | None:
    """Return the rows of the table that `input_ids` look up, followed through conversions."""
    names = {layer.get("id", ""): layer for layer in root.findall("layers/layer")}
    ids = {key for key, layer in names.items() if layer.get("name") == "input_ids"}
    edges = [
        (edge.get("from-layer", ""), edge.get("to-layer", ""), edge.get("to-port", ""))
        for edge in root.findall("edges/edge")
    ]
    reached = ids | {
        to for source, to, _ in edges if source in ids and names[to].get("type") == "Convert"
    }
    gathers = {
        to
        for source, to, port in edges
        if source in reached and port == "1" and names.get(to, root).get("type") == "Gather"
    }
    rows = [
        tables[source]
        for source, to, port in edges
        if to in gathers and port == "0" and tables.get(source)
    ]
    return min(rows, default=None)
