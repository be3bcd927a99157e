"""The numbers of small tensors of an ONNX graph, computed in numpy: those that say how large others are.

Only whole numbers, truth values and single precision numbers that come from shapes and constants. What
numpy and a runtime might round differently has no rule here, and is then not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multihot.gate.onnx_model import OnnxTensor
from multihot.gate.onnx_operands import Misfit, Operands, TensorShape

__all__ = ["COMPUTED", "MAX_NUMBERS", "SHAPES_ONLY", "computed", "stored_numbers"]

MAX_NUMBERS = 4096
"""Numbers of a tensor that are computed; a larger one is not known."""

Numbers = NDArray[Any]
SHAPES_ONLY = frozenset({"Shape", "Size"})
"""Operations that need no number of what they take."""

_LARGEST_CAST = float(1 << 31)


def computed(operands: Operands, shapes: Sequence[TensorShape], dtype: str) -> list[Numbers | None]:
    """Return the numbers of what an operation of `COMPUTED` makes; `None` where they are not known.

    Parameters
    ----------
    operands
        What it takes.
    shapes
        Of its outputs, as its rule says.
    dtype
        Of its outputs.
    """
    unknown: list[Numbers | None] = [None] * len(shapes)
    if sum(map(math.prod, shapes)) > MAX_NUMBERS:
        return unknown
    values: list[Numbers] = []
    for index, value in enumerate(operands.values):
        if value is None and operands.has(index) and operands.op not in SHAPES_ONLY:
            return unknown
        values.append(_NONE if value is None else value)
    try:
        found = COMPUTED[operands.op](operands, values, shapes, dtype)
    except (TypeError, ValueError, ArithmeticError):  # numpy has no such operation on these types
        return unknown
    if found is None:
        return unknown
    results = found if isinstance(found, list) else [found]
    for result, shape in zip(results, shapes, strict=True):
        if result.shape != shape:
            raise Misfit(f"makes the shape {shape}, but its numbers have {result.shape}")
    return list(results)


_NONE = np.zeros(0, np.int64)
_Compute = Callable[
    [Operands, list[Numbers], Sequence[TensorShape], str], Numbers | list[Numbers] | None
]


def _by(function: Callable[..., Any]) -> _Compute:
    """Return the rule for a function of numpy that takes the inputs as they are."""
    return lambda operands, values, shapes, dtype: np.asarray(function(*values))


def _folded(function: Callable[..., Any]) -> _Compute:
    """Return the rule for a function of two numbers that is applied to all inputs, one after the other."""
    return lambda operands, values, shapes, dtype: np.asarray(reduce(function, values))


def _moved(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], _: str
) -> Numbers:
    return values[0].reshape(shapes[0])


def _divided(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    first, second = values
    if first.dtype.kind == "f":
        return np.asarray(first / second)
    # Towards zero, as C does; the divisor is known to be neither 0 nor -1.
    return np.asarray(np.sign(first) * np.sign(second) * (np.abs(first) // np.abs(second)))


def _remainder(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    return np.asarray((np.fmod if operands.attribute("fmod", 0) else np.mod)(*values))


def _cast(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers | None:
    (value,) = values
    if value.dtype.kind == "f" and dtype not in ("float32", "bool"):
        if not (np.abs(value) < _LARGEST_CAST).all():  # nor NaN
            return None
        value = np.trunc(value)
    return value.astype(dtype)


def _clipped(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    found = np.maximum(values[0], values[1]) if operands.has(1) else values[0]
    return np.asarray(np.minimum(found, values[2]) if operands.has(2) else found)


def _constant(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    return stored_numbers(operands.attributes["value"])


def _filled(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    value = operands.attributes.get("value")
    number = 0 if value is None else stored_numbers(value).reshape(-1)[0]
    return np.full(shapes[0], number, dtype)


def _ranged(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers | None:
    if any(value.dtype.kind != "i" for value in values):
        return None
    return np.arange(*(int(value.reshape(-1)[0]) for value in values), dtype=dtype)


def _gathered(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    data, indices = values
    axis = operands.attribute("axis", 0)
    size = data.shape[axis]
    if indices.size and not -size <= indices.min() <= indices.max() < size:
        raise Misfit(f"takes the places {indices.reshape(-1)[:4].tolist()} out of {size}")
    return np.take(data, indices, axis)


def _sliced(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    starts, ends = operands.integers(1), operands.integers(2)
    axes = operands.integers(3) if operands.has(3) else range(len(starts))
    steps = operands.integers(4) if operands.has(4) else [1] * len(starts)
    parts = [slice(None)] * values[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[axis] = slice(start, end, step)
    return values[0][tuple(parts)]


def _joined(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    return np.concatenate(values, operands.attribute("axis", 0))


def _expanded(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    return np.broadcast_to(values[0], shapes[0])


def _shape(
    operands: Operands, values: list[Numbers], shapes: Sequence[TensorShape], dtype: str
) -> Numbers:
    shape = operands.shape(0)
    end = operands.attribute("end", len(shape))
    return np.array(shape[operands.attribute("start", 0) : end], np.int64)


def stored_numbers(tensor: OnnxTensor) -> Numbers:
    """Return the numbers of a tensor of the file."""
    stored = np.frombuffer(tensor.data, np.dtype(tensor.dtype).newbyteorder("<"))
    return stored.astype(tensor.dtype).reshape(tensor.shape)


COMPUTED: Mapping[str, _Compute] = {
    "Abs": _by(np.abs),
    "Add": _by(np.add),
    "Cast": _cast,
    "Ceil": _by(np.ceil),
    "Clip": _clipped,
    "Concat": _joined,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Div": _divided,
    "Equal": _by(np.equal),
    "Expand": _expanded,
    "Floor": _by(np.floor),
    "Gather": _gathered,
    "Identity": _by(np.asarray),
    "Max": _folded(np.maximum),
    "Min": _folded(np.minimum),
    "Mod": _remainder,
    "Mul": _by(np.multiply),
    "Neg": _by(np.negative),
    "Range": _ranged,
    "Reshape": _moved,
    "Shape": _shape,
    "Size": lambda operands, values, shapes, dtype: np.asarray(math.prod(operands.shape(0))),
    "Slice": _sliced,
    "Squeeze": _moved,
    "Sub": _by(np.subtract),
    "Unsqueeze": _moved,
    "Where": _by(np.where),
}
"""The rule of each operation."""
