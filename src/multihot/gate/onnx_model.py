"""What an ONNX file holds, read from its bytes before any library sees it.

Only what exports of multihot have is read: one graph without subgraphs and functions, whose tensors
lie in the file itself. Field numbers: onnx.proto of ONNX 1.23.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from multihot.core.text_tables import cut
from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file
from multihot.gate.protobuf import (
    LENGTH_DELIMITED,
    VARINT,
    packed_integers,
    read_fields,
    signed,
)

__all__ = ["ONNX_TYPES", "OnnxGraph", "OnnxNode", "OnnxTensor", "OnnxValue", "parse_onnx"]

ONNX_TYPES: Mapping[int, tuple[str, int]] = {
    1: ("float32", 4),
    2: ("uint8", 1),
    3: ("int8", 1),
    6: ("int32", 4),
    7: ("int64", 8),
    9: ("bool", 1),
    11: ("float64", 8),
}
"""Name as numpy has it and bytes of one number, by the number that ONNX gives a type."""

_MAX_NODES = 20_000
_MAX_TENSORS = 20_000
_MAX_DIMENSIONS = 8
_MAX_NAME_BYTES = 512
_MAX_METADATA = 16 << 20  # bytes
_MAX_SMALL = 1 << 16  # bytes of a tensor inside a node

_ATTRIBUTE_FIELDS = {1: 2, 2: 3, 3: 4, 4: 5, 6: 7, 7: 8, 8: 9}
"""Which field holds the value of an attribute, by the type that it states: float, int, text, tensor, and
floats, ints, texts."""

_REPEATED = (7, 8, 9)

Value = int | float | bytes | tuple[int, ...] | tuple[float, ...] | tuple[bytes, ...] | Any


@dataclass(frozen=True)
class OnnxTensor:
    """A tensor whose numbers lie in the file."""

    name: str
    dtype: str
    """As numpy names it, one of `ONNX_TYPES`."""
    shape: tuple[int, ...]
    data: memoryview = field(repr=False)
    """Little-endian, row by row."""
    start: int
    """First byte of the numbers in the file."""
    message: tuple[int, int]
    """First byte of the tensor's message in the file, and the byte after it."""

    @property
    def num_values(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class OnnxNode:
    """One operation of the graph."""

    op: str
    """Its type, with the domain before it where that is not ONNX's own: `com.microsoft.BiasGelu`."""
    inputs: tuple[str, ...]
    """Names; an empty one is left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Value]
    name: str
    message: tuple[int, int]
    """First byte of the node's message in the file, and the byte after it."""


@dataclass(frozen=True)
class OnnxValue:
    """An input or output of the graph."""

    dtype: str
    shape: tuple[int | str, ...]
    """A name stands for a size that is known when it runs."""


@dataclass(frozen=True)
class OnnxGraph:
    """A file of ONNX."""

    nodes: tuple[OnnxNode, ...]
    tensors: Mapping[str, OnnxTensor]
    inputs: Mapping[str, OnnxValue]
    outputs: Mapping[str, OnnxValue]
    metadata: Mapping[str, str]
    opset: Mapping[str, int]
    """Version by domain, that of ONNX itself under the empty name."""
    ir_version: int


class _Damage(ValueError):
    """What is wrong with the file, for a message."""


class _Reader:
    """Reads messages of one file; everything wrong is a `_Damage`."""

    def __init__(self, content: memoryview) -> None:
        self.content = content

    def fields(
        self, where: tuple[int, int], what: str, kinds: Mapping[int, int], ignored: tuple[int, ...]
    ) -> Iterator[tuple[int, int, int, int]]:
        """Yield number, integer value, first byte and end of the fields that `kinds` names.

        Integers that are packed into one field come one by one.
        """
        for number, kind, value, first, end in read_fields(self.content, *where):
            if number in ignored:
                continue
            if number not in kinds:
                raise _Damage(f"{what} has the field {number}, which no export has")
            if kinds[number] == VARINT and kind == LENGTH_DELIMITED:
                for each in packed_integers(self.content, first, end):
                    yield number, each, first, end
            elif kinds[number] != kind:
                raise _Damage(f"{what} has the field {number} of another type")
            else:
                yield number, value, first, end

    def text(self, first: int, end: int, most_bytes: int = _MAX_NAME_BYTES) -> str:
        if end - first > most_bytes:
            raise _Damage(f"a name of {end - first} bytes; expected at most {most_bytes}")
        try:
            return bytes(self.content[first:end]).decode("utf-8")
        except UnicodeDecodeError:
            raise _Damage("a name that is not UTF-8") from None

    def model(self) -> OnnxGraph:
        graph: tuple[int, int] | None = None
        metadata: dict[str, str] = {}
        opset: dict[str, int] = {}
        ir_version = 0
        kinds = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2}
        for number, value, first, end in self.fields((0, len(self.content)), "it", kinds, ()):
            if number == 1:
                ir_version = value
            elif number == 7:
                if graph is not None:
                    raise _Damage("two graphs")
                graph = (first, end)
            elif number == 8:
                domain, version_number = self._opset(first, end)
                opset[domain] = version_number
            elif number == 14:
                key, text = self._entry(first, end)
                if key in metadata:
                    raise _Damage(f"the key {cut(key)} twice in its metadata")
                metadata[key] = text
        if graph is None or "" not in opset:
            raise _Damage("no graph of a known version")
        return self._graph(graph, metadata, opset, ir_version)

    def _opset(self, first: int, end: int) -> tuple[str, int]:
        domain, version_number = "", 0
        for number, value, start, stop in self.fields((first, end), "a version", {1: 2, 2: 0}, ()):
            if number == 1:
                domain = self.text(start, stop)
            else:
                version_number = value
        return "" if domain == "ai.onnx" else domain, version_number

    def _entry(self, first: int, end: int) -> tuple[str, str]:
        key = text = ""
        for number, _, start, stop in self.fields((first, end), "metadata", {1: 2, 2: 2}, ()):
            if number == 1:
                key = self.text(start, stop)
            else:
                text = self.text(start, stop, _MAX_METADATA)
        return key, text

    def _graph(
        self,
        where: tuple[int, int],
        metadata: dict[str, str],
        opset: dict[str, int],
        ir_version: int,
    ) -> OnnxGraph:
        nodes: list[OnnxNode] = []
        tensors: dict[str, OnnxTensor] = {}
        values: dict[int, dict[str, OnnxValue]] = {11: {}, 12: {}}
        kinds = {1: 2, 2: 2, 5: 2, 11: 2, 12: 2}
        for number, _, first, end in self.fields(where, "its graph", kinds, (10,)):
            if number == 1:
                nodes.append(self._node(first, end))
            elif number == 5:
                tensor = self._tensor(first, end)
                if tensor.name in tensors or not tensor.name:
                    raise _Damage(f"two tensors named {cut(tensor.name)}")
                tensors[tensor.name] = tensor
            elif number in values:
                name, value = self._value(first, end)
                values[number][name] = value
            if len(nodes) > _MAX_NODES or len(tensors) > _MAX_TENSORS:
                raise _Damage(f"more than {_MAX_NODES} operations or {_MAX_TENSORS} tensors")
        return OnnxGraph(tuple(nodes), tensors, values[11], values[12], metadata, opset, ir_version)

    def _node(self, first: int, end: int) -> OnnxNode:
        inputs: list[str] = []
        outputs: list[str] = []
        texts = {3: "", 4: "", 7: ""}
        attributes: dict[str, Value] = {}
        kinds = {1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 7: 2}
        for number, _, start, stop in self.fields((first, end), "an operation", kinds, (6,)):
            if number == 5:
                name, value = self._attribute(start, stop)
                if name in attributes:
                    raise _Damage(f"the attribute {cut(name)} twice")
                attributes[name] = value
            elif number in texts:
                texts[number] = self.text(start, stop)
            else:
                (inputs if number == 1 else outputs).append(self.text(start, stop))
        domain = "" if texts[7] in ("", "ai.onnx") else f"{texts[7]}."
        return OnnxNode(
            domain + texts[4], tuple(inputs), tuple(outputs), attributes, texts[3], (first, end)
        )

    def _attribute(self, first: int, end: int) -> tuple[str, Value]:
        name, kind = "", 0
        single: dict[int, Value] = {3: 0}
        many: list[Value] = []
        kinds = {1: 2, 2: 5, 3: 0, 4: 2, 5: 2, 7: 2, 8: 0, 9: 2, 20: 0}
        for number, value, start, stop in self.fields((first, end), "an attribute", kinds, (13,)):
            if number == 1:
                name = self.text(start, stop)
            elif number == 20:
                kind = value
            elif number in _REPEATED:
                many += self._repeated(number, value, start, stop)
            else:
                single[number] = self._single(number, value, start, stop)
        field_number = _ATTRIBUTE_FIELDS.get(kind)
        if field_number is None:
            raise _Damage(f"the attribute {cut(name)} of a type that no export has")
        if field_number in _REPEATED:
            return name, tuple(many)
        if field_number not in single:
            raise _Damage(f"the attribute {cut(name)} without its value")
        return name, single[field_number]

    def _single(self, number: int, value: int, start: int, stop: int) -> Value:
        if number == 3:
            return signed(value)
        if number == 4:
            return self.text(start, stop).encode()
        if number == 5:
            if stop - start > _MAX_SMALL:
                raise _Damage(f"a constant of {stop - start} bytes")
            return self._tensor(start, stop)
        return self._floats(start, stop)[0]

    def _repeated(self, number: int, value: int, start: int, stop: int) -> list[Value]:
        if number == 8:
            return [signed(value)]
        return [self.text(start, stop).encode()] if number == 9 else [*self._floats(start, stop)]

    def _floats(self, start: int, stop: int) -> list[float]:
        if (stop - start) % 4:
            raise _Damage("numbers that end in the middle of one")
        found: list[float] = np.frombuffer(self.content[start:stop], "<f4").tolist()
        return found

    def _tensor(self, first: int, end: int) -> OnnxTensor:
        shape: list[int] = []
        kind, name, data = 0, "", (0, 0)
        kinds = {1: 0, 2: 0, 8: 2, 9: 2}
        for number, value, start, stop in self.fields((first, end), "a tensor", kinds, (12,)):
            if number == 1:
                shape.append(signed(value))
            elif number == 2:
                kind = value
            elif number == 8:
                name = self.text(start, stop)
            else:
                data = (start, stop)
        if kind not in ONNX_TYPES:
            raise _Damage(f"the tensor {cut(name)} of a type that no export has")
        dtype, size = ONNX_TYPES[kind]
        if len(shape) > _MAX_DIMENSIONS or min(shape, default=0) < 0:
            raise _Damage(f"the tensor {cut(name)} of the shape {cut(shape)}")
        if math.prod(shape) * size != data[1] - data[0]:
            raise _Damage(
                f"the tensor {cut(name)} with {data[1] - data[0]} bytes for the shape {cut(shape)} of "
                f"{dtype}"
            )
        return OnnxTensor(
            name, dtype, tuple(shape), self.content[data[0] : data[1]], data[0], (first, end)
        )

    def _value(self, first: int, end: int) -> tuple[str, OnnxValue]:
        name, found = "", OnnxValue("", ())
        for number, _, start, stop in self.fields((first, end), "an input", {1: 2, 2: 2}, (3,)):
            if number == 1:
                name = self.text(start, stop)
                continue
            for _, _, one, two in self.fields((start, stop), "a type", {1: 2}, (6,)):
                found = self._tensor_type(one, two)
        return name, found

    def _tensor_type(self, first: int, end: int) -> OnnxValue:
        dtype, shape = "", list[int | str]()
        for number, value, start, stop in self.fields((first, end), "a type", {1: 0, 2: 2}, ()):
            if number == 1:
                dtype = ONNX_TYPES.get(value, ("", 0))[0]
                continue
            for _, _, one, two in self.fields((start, stop), "a shape", {1: 2}, ()):
                size: int | str = ""
                for key, number_value, a, b in self.fields(
                    (one, two), "a size", {1: 0, 2: 2}, (3,)
                ):
                    size = signed(number_value) if key == 1 else self.text(a, b)
                shape.append(size)
        return OnnxValue(dtype, tuple(shape))


def parse_onnx(content: memoryview, path: Path, *, error: type[MultihotError]) -> OnnxGraph:
    """Return what a file of ONNX holds; raise `error` for what no export of multihot has.

    Parameters
    ----------
    content
        The file, *shape* (bytes,). Tensors refer to it, nothing is copied.
    path
        Of the file, for messages.
    error
        The class of what is raised.
    """
    try:
        return _Reader(content).model()
    except ValueError as reason:
        raise error(
            f"{shown_file(path)} holds {reason}. It is damaged, or not from 'multihot export'."
        ) from None
