"""The file `model.onnx` of an exported model: how it is laid out, and the part that the decision decides.

    input_ids, attention_mask (N, S) -> network -> logits (N, L)
                                                   -> calibration and sigmoid -> scores (N, L)

The network is what an exporter wrote. What comes after it, and the metadata, follow from the decision;
`onnx_parts` makes both anew, so a new decision needs no export. Large tensors begin at multiples of 64
bytes, so that they can be used where they are mapped.

Letters: `N` texts, `S` tokens of the longest, `L` labels, `K` corners of an isotonic map.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.decision.calibration import Calibration
from multihot.gate.onnx_model import ONNX_TYPES, OnnxGraph, OnnxTensor
from multihot.gate.protobuf import bytes_field, bytes_header, integer_field, packed_field
from multihot.inference.artifact import Artifact

__all__ = ["INPUTS", "METADATA_KEY", "external_model", "file_metadata", "onnx_parts"]

INPUTS = ("input_ids", "attention_mask")
"""Both int64, *shape* (N, S); the mask is 1 for a token and 0 for padding."""

METADATA_KEY = "multihot"
"""Its value is a JSON document: `labels`, `thresholds`, `max_length` and more."""

_OWN = "decision/"  # begins the names of everything that follows from the decision
_ALIGNMENT = 64  # bytes
_LARGE = 4096  # bytes of a tensor that is aligned, and mapped
_LARGEST_LOGIT = 1e4  # as in decision.calibration
_LARGEST_SCORE = float(np.nextafter(np.float32(1), np.float32(0)))
_FLOAT, _INT64, _DOUBLE = 1, 7, 11
_CODES = {name: code for code, (name, _) in ONNX_TYPES.items()}
_MOST_ROUNDS = 4


@dataclass(frozen=True)
class _Own:
    """Operations and tensors from logits to scores."""

    nodes: list[bytes]
    tensors: dict[str, npt.NDArray[Any]]


def file_metadata(artifact: Artifact) -> dict[str, Any]:
    """Return what the file of an exported model says of itself; all of it is in `thresholds.json`, too."""
    decision = artifact.decision
    calibration, hierarchy = decision.calibration, decision.space.hierarchy
    names = decision.space.names
    return {
        "labels": list(decision.space.names),
        "thresholds": decision.thresholds_by_name(),
        "threshold_kind": decision.kind,
        "goal": decision.goal,
        "empty_set_rule": decision.empty_set_rule,
        "activation": decision.activation,
        "calibration": None if calibration is None else calibration.to_json(decision.space),
        # The scores of the graph are each label's own; readers raise them, and close what they decide.
        **({} if hierarchy is None else {"hierarchy": hierarchy.by_name(names)}),
        "max_length": artifact.max_length,
        "pooling": artifact.pooling,
        **({} if artifact.windows is None else {"windows": artifact.windows.to_json()}),
        "export": None if artifact.exported is None else artifact.exported.to_json(),
    }


def onnx_parts(
    content: memoryview,
    graph: OnnxGraph,
    artifact: Artifact,
) -> list[bytes | memoryview]:
    """Return the parts of the file that computes logits as `graph` does, and scores as an artefact decides.

    Parameters
    ----------
    content
        The file that `graph` was read from.
    graph
        With an output `logits`; what an earlier decision added is left out.
    artifact
        Whose decision and `export` the file gets.
    """
    num_labels = len(artifact.decision.space)
    own = _decision_part(artifact.decision.calibration, num_labels)
    nodes = [content[slice(*n.message)] for n in graph.nodes if not n.name.startswith(_OWN)]
    tensors = [t for name, t in graph.tensors.items() if not name.startswith(_OWN)]
    head = [
        integer_field(1, graph.ir_version),
        bytes_field(2, "multihot"),
        *_versions(graph),
        bytes_field(
            14,
            bytes_field(1, METADATA_KEY),
            bytes_field(2, json.dumps(file_metadata(artifact), ensure_ascii=False)),
        ),
    ]
    before = [
        *(bytes_field(1, bytes(node)) for node in (*nodes, *own.nodes)),
        bytes_field(2, "multihot"),
        *(_value(11, name, _INT64, ("batch", "length")) for name in INPUTS),
        *(_value(12, name, _FLOAT, ("batch", num_labels)) for name in ("logits", "scores")),
    ]
    large = [tensor for tensor in tensors if len(tensor.data) >= _LARGE]
    small = [tensor for tensor in tensors if len(tensor.data) < _LARGE]
    before += [
        _small_tensor(tensor.name, tensor.dtype, tensor.shape, tensor.data) for tensor in small
    ]
    before += [
        _small_tensor(name, value.dtype.name, value.shape, value.tobytes())
        for name, value in own.tensors.items()
    ]
    length = sum(map(len, before)) + sum(len(tensor.data) for tensor in large)
    for _ in range(_MOST_ROUNDS):  # the length of the graph is written before the tensors it aligns
        prefix = bytes_header(7, length)
        start = sum(map(len, head)) + len(prefix) + sum(map(len, before))
        parts = _aligned(large, start)
        found = sum(map(len, before)) + sum(map(len, parts))
        if found == length:
            break
        length = found
    return [*head, prefix, *before, *parts]


def external_model(content: memoryview, graph: OnnxGraph, location: str) -> bytes:
    """Return the same model without its large tensors, which it names by their place in the file.

    Parameters
    ----------
    content, graph
        The file and what it holds.
    location
        Name of the file in the folder that the session is given.
    """
    parts = [bytes_field(1, bytes(content[slice(*node.message)])) for node in graph.nodes]
    parts.append(bytes_field(2, "multihot"))
    for name, tensor in graph.tensors.items():
        if len(tensor.data) < _LARGE:
            parts.append(bytes_field(5, bytes(content[slice(*tensor.message)])))
            continue
        entries = {
            "location": location,
            "offset": str(tensor.start),
            "length": str(len(tensor.data)),
        }
        parts.append(
            bytes_field(
                5,
                _described(name, tensor.dtype, tensor.shape),
                *(
                    bytes_field(13, bytes_field(1, key), bytes_field(2, value))
                    for key, value in entries.items()
                ),
                integer_field(14, 1),
            )
        )
    for number, values in ((11, graph.inputs), (12, graph.outputs)):
        parts += [
            _value(number, name, _CODES[value.dtype], value.shape) for name, value in values.items()
        ]
    head = [integer_field(1, graph.ir_version), *_versions(graph)]
    return b"".join([*head, bytes_field(7, *parts)])


def _versions(graph: OnnxGraph) -> list[bytes]:
    """Return the fields that name the versions of the operations."""
    return [
        bytes_field(8, bytes_field(1, domain), integer_field(2, number))
        for domain, number in graph.opset.items()
    ]


def _aligned(tensors: Sequence[OnnxTensor], start: int) -> list[bytes | memoryview]:
    """Return the messages of large tensors, filled up so that their numbers are aligned.

    `start` is where the first message begins in the file.
    """
    parts: list[bytes | memoryview] = []
    place = start
    for tensor in tensors:
        raw = bytes_header(9, len(tensor.data))
        fixed = _described(tensor.name, tensor.dtype, tensor.shape)
        for filler in (0, *range(2, 2 + 2 * _ALIGNMENT)):
            filling = b"" if not filler else _filling(filler)
            inner = len(fixed) + len(filling) + len(raw) + len(tensor.data)
            prefix = bytes_header(5, inner)
            if (place + len(prefix) + inner - len(tensor.data)) % _ALIGNMENT == 0:
                break
        parts += [prefix + fixed + filling + raw, tensor.data]
        place += len(prefix) + inner
    return parts


def _filling(num_bytes: int) -> bytes:
    """Return a text field of so many bytes, at least 2 and at most 129, which nobody reads."""
    return bytes_field(12, " " * (num_bytes - 2))


def _described(name: str, dtype: str, shape: Iterable[int]) -> bytes:
    return packed_field(1, shape) + integer_field(2, _CODES[dtype]) + bytes_field(8, name)


def _small_tensor(name: str, dtype: str, shape: Iterable[int], data: bytes | memoryview) -> bytes:
    return bytes_field(5, _described(name, dtype, shape), bytes_field(9, bytes(data)))


def _value(number: int, name: str, code: int, shape: Iterable[int | str]) -> bytes:
    """Return the field of an input or output."""
    sizes = [
        bytes_field(1, bytes_field(2, size) if isinstance(size, str) else integer_field(1, size))
        for size in shape
    ]
    tensor = bytes_field(1, integer_field(1, code), bytes_field(2, *sizes))
    return bytes_field(number, bytes_field(1, name), bytes_field(2, tensor))


def _decision_part(calibration: Calibration | None, num_labels: int) -> _Own:
    """Return what computes scores from logits, in float64 as `decision.calibration` does."""
    part = _Own([], {"decision/largest_score": np.array(_LARGEST_SCORE, dtype=np.float32)})
    calibrated = "logits"
    if calibration is not None:
        _add_calibration(part, calibration, num_labels)
        calibrated = "decision/calibrated"
    part.nodes.append(_node("Sigmoid", (calibrated,), "decision/sigmoid"))
    part.nodes.append(_node("Min", ("decision/sigmoid", "decision/largest_score"), "scores"))
    return part


def _add_calibration(part: _Own, calibration: Calibration, num_labels: int) -> None:
    """Add `decision/calibrated`, (N, L), float32.

    Every method is a sum: slope z + offset + beta's two logarithms + one ramp for each corner.
    """
    slope = np.full(num_labels, calibration.slope)
    offset = np.zeros(num_labels)
    logarithms = np.zeros((2, num_labels))  # of s and of 1 - s
    corners: list[tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
    for column, each in enumerate(calibration.maps):
        if each is None:
            continue
        if calibration.method == "platt":
            slope[column], offset[column] = each[0]
        elif calibration.method == "beta":
            logarithms[:, column] = each[0][:2]
            slope[column], offset[column] = 0.0, each[0][2]
        else:
            x, y = (np.array(numbers, dtype=np.float64) for numbers in each)
            rises = np.append(np.diff(y) / np.maximum(np.diff(x), 1e-12), calibration.slope)
            offset[column] = y[0] - calibration.slope * x[0]
            corners.append((column, x, np.diff(np.append(calibration.slope, rises))))
    add = _Adder(part)
    limit = add.constant("limit", np.float64(_LARGEST_LOGIT))
    z = add("Min", add("Max", add.cast("logits", _DOUBLE), add("Neg", limit)), limit)
    total = add("Add", add("Mul", z, add.constant("slope", slope)), add.constant("offset", offset))
    if logarithms.any():
        one = add.constant("one", np.float64(1))
        zero = add.constant("zero", np.float64(0))
        small = add("Log", add("Add", one, add("Exp", add("Neg", add("Abs", z)))))
        for sign, which in ((-1.0, 0), (1.0, 1)):
            signed = z if sign > 0 else add("Neg", z)
            softplus = add("Add", add("Max", signed, zero), small)
            weights = add.constant(f"logarithm{which}", sign * logarithms[which])
            total = add("Add", total, add("Mul", softplus, weights))
    if corners:
        most = max(len(x) for _, x, _ in corners)
        places, changes = np.zeros((2, num_labels, most))
        for column, x, change in corners:
            places[column, : len(x)], changes[column, : len(x)] = x, change
        axis = add.constant("axis", np.array([2]))
        ramps = add("Sub", add("Unsqueeze", z, axis), add.constant("corners", places))
        ramps = add("Max", ramps, add.constant("none", np.float64(0)))
        weighted = add("Mul", ramps, add.constant("changes", changes))
        total = add("Add", total, add("ReduceSum", weighted, axis, keepdims=0))
    add.cast(total, _FLOAT, "decision/calibrated")


class _Adder:
    """Adds operations to the part; each returns the name of its output."""

    def __init__(self, part: _Own) -> None:
        self._part = part

    def __call__(self, op: str, *inputs: str, **attributes: int) -> str:
        name = f"{_OWN}{len(self._part.nodes)}"
        self._part.nodes.append(_node(op, inputs, name, attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        self._part.tensors[_OWN + name] = np.asarray(value)
        return _OWN + name

    def cast(self, value: str, code: int, name: str = "") -> str:
        name = name or f"{_OWN}{len(self._part.nodes)}"
        self._part.nodes.append(_node("Cast", (value,), name, {"to": code}))
        return name


def _node(
    op: str, inputs: Iterable[str], output: str, attributes: Mapping[str, int] | None = None
) -> bytes:
    """Return the message of an operation with integer attributes."""
    name = output if output.startswith(_OWN) else _OWN + output
    return b"".join(
        [
            *(bytes_field(1, each) for each in inputs),
            bytes_field(2, output),
            bytes_field(3, name),
            bytes_field(4, op),
            *(
                bytes_field(5, bytes_field(1, key), integer_field(3, value), integer_field(20, 2))
                for key, value in (attributes or {}).items()
            ),
        ]
    )
