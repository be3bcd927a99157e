"""Which shapes the operations of ONNX make that move numbers without computing: reshapes, slices, ranges.

These are what a changed file would make gigabytes with, so every number that says how large something
is has to be known before anything runs. Versions 18 to 23 of the operators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from multihot.gate.onnx_model import OnnxTensor
from multihot.gate.onnx_operands import (
    Misfit,
    Operands,
    ShapeRule,
    TensorShape,
    broadcast,
    checked_axis,
)

__all__ = ["LAYOUTS", "SIZE_INPUTS"]

SIZE_INPUTS: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "DFT": (1, 2),
    "Div": (1,),
    "Expand": (1,),
    "Mod": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceProd": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
}
"""Inputs whose numbers decide about sizes, or whether a division of whole numbers is one by zero."""

_LARGEST = 1 << 53  # of the limits of a range; larger numbers are not exact in every type


def _reshaped(operands: Operands) -> list[TensorShape]:
    shape, target = operands.shape(0), operands.integers(1)
    keeps_zeros = operands.attribute("allowzero", 0)
    found = [
        shape[axis] if size == 0 and not keeps_zeros and axis < len(shape) else size
        for axis, size in enumerate(target)
    ]
    if found.count(-1) == 1:
        known = -math.prod(found)
        if known < 1 or math.prod(shape) % known:
            raise Misfit(f"reshapes {shape} to {target}, which does not fit")
        found[found.index(-1)] = math.prod(shape) // known
    if min(found, default=0) < 0 or math.prod(found) != math.prod(shape):
        raise Misfit(f"reshapes {shape} to {target}, which does not fit")
    return [tuple(found)]


def _flattened(operands: Operands) -> list[TensorShape]:
    shape, axis = operands.shape(0), operands.attribute("axis", 1)
    axis = len(shape) if axis == len(shape) else checked_axis(axis, len(shape))
    return [(math.prod(shape[:axis]), math.prod(shape[axis:]))]


def _squeezed(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    if not operands.has(1):
        return [tuple(size for size in shape if size != 1)]
    chosen = {checked_axis(axis, len(shape)) for axis in operands.integers(1)}
    if any(shape[axis] != 1 for axis in chosen):
        raise Misfit(f"leaves out the dimensions {sorted(chosen)} of {shape}, which are not 1")
    return [tuple(size for axis, size in enumerate(shape) if axis not in chosen)]


def _unsqueezed(operands: Operands) -> list[TensorShape]:
    shape, axes = operands.shape(0), operands.integers(1)
    rank = len(shape) + len(axes)
    chosen = {checked_axis(axis, rank) for axis in axes}
    if len(chosen) != len(axes):
        raise Misfit(f"adds the dimensions {axes} to {shape}, one of them twice")
    sizes = iter(shape)
    return [tuple(1 if axis in chosen else next(sizes) for axis in range(rank))]


def _transposed(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    order = operands.attribute("perm", tuple(reversed(range(len(shape)))))
    if sorted(order) != list(range(len(shape))):
        raise Misfit(f"orders the dimensions of {shape} as {order}")
    return [tuple(shape[axis] for axis in order)]


def _joined(operands: Operands) -> list[TensorShape]:
    first = operands.shape(0)
    axis = checked_axis(operands.attribute("axis", 0), len(first))
    total = 0
    for index in range(len(operands.shapes)):
        shape = operands.shape(index)
        if len(shape) != len(first) or (
            shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]
        ):
            raise Misfit(f"joins the shapes {first} and {shape}, which do not fit")
        total += shape[axis]
    return [(*first[:axis], total, *first[axis + 1 :])]


def _split(operands: Operands) -> list[TensorShape]:
    shape, number = operands.shape(0), operands.num_outputs
    axis = checked_axis(operands.attribute("axis", 0), len(shape))
    if operands.has(1):
        sizes = operands.integers(1)
    else:
        part = -(-shape[axis] // number)
        sizes = (part,) * (number - 1) + (shape[axis] - part * (number - 1),)
    if (
        len(sizes) != number
        or operands.attribute("num_outputs", number) != number
        or min(sizes) < 0
        or sum(sizes) != shape[axis]
    ):
        raise Misfit(f"splits {shape} into {sizes}, which does not fit")
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _sliced(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    starts, ends = operands.integers(1), operands.integers(2)
    axes = operands.integers(3) if operands.has(3) else tuple(range(len(starts)))
    steps = operands.integers(4) if operands.has(4) else (1,) * len(starts)
    chosen = [checked_axis(axis, len(shape)) for axis in axes]
    if not len(starts) == len(ends) == len(chosen) == len(steps) == len(set(chosen)) or 0 in steps:
        raise Misfit(f"slices {shape} from {starts} to {ends} in steps of {steps}")
    found = list(shape)
    for axis, start, end, step in zip(chosen, starts, ends, steps, strict=True):
        found[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
    return [tuple(found)]


def _gathered(operands: Operands) -> list[TensorShape]:
    shape, indices = operands.shape(0), operands.shape(1)
    axis = checked_axis(operands.attribute("axis", 0), len(shape))
    return [shape[:axis] + indices + shape[axis + 1 :]]


def _gathered_elements(operands: Operands) -> list[TensorShape]:
    shape, indices = operands.shape(0), operands.shape(1)
    axis = checked_axis(operands.attribute("axis", 0), len(shape))
    if len(indices) != len(shape) or any(
        indices[other] > shape[other] for other in range(len(shape)) if other != axis
    ):
        raise Misfit(f"takes elements {indices} out of {shape}, which do not fit")
    return [indices]


def _gathered_places(operands: Operands) -> list[TensorShape]:
    shape, indices = operands.shape(0), operands.shape(1)
    shared = operands.attribute("batch_dims", 0)
    width = indices[-1] if indices else 0
    if (
        not 0 <= shared < min(len(shape), len(indices))
        or not 1 <= width <= len(shape) - shared
        or shape[:shared] != indices[:shared]
    ):
        raise Misfit(f"takes places {indices} out of {shape}, which do not fit")
    return [indices[:-1] + shape[shared + width :]]


def _scattered_places(operands: Operands) -> list[TensorShape]:
    shape, indices, updates = operands.shape(0), operands.shape(1), operands.shape(2)
    width = indices[-1] if indices else 0
    if not 1 <= width <= len(shape) or updates != indices[:-1] + shape[width:]:
        raise Misfit(f"puts {updates} into {shape} at {indices}, which do not fit")
    return [shape]


def _scattered_elements(operands: Operands) -> list[TensorShape]:
    shape, indices = operands.shape(0), operands.shape(1)
    checked_axis(operands.attribute("axis", 0), len(shape))
    if len(indices) != len(shape) or operands.shape(2) != indices:
        raise Misfit(f"puts {operands.shape(2)} into {shape} at {indices}, which do not fit")
    if any(one > other for one, other in zip(indices, shape, strict=True)):
        raise Misfit(f"puts {indices} elements into {shape}, which do not fit")
    return [shape]


def _expanded(operands: Operands) -> list[TensorShape]:
    target = operands.integers(1)
    if min(target, default=0) < 0:
        raise Misfit(f"stretches to the shape {target}")
    return [broadcast(operands.shape(0), target)]


def _tiled(operands: Operands) -> list[TensorShape]:
    shape, repeats = operands.shape(0), operands.integers(1)
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise Misfit(f"repeats {shape} {repeats} times")
    return [tuple(size * times for size, times in zip(shape, repeats, strict=True))]


def _filled(operands: Operands) -> list[TensorShape]:
    shape = operands.integers(0)
    value = operands.attributes.get("value")
    is_number = isinstance(value, OnnxTensor) and value.num_values == 1
    if min(shape, default=0) < 0 or not (is_number or value is None):
        raise Misfit(f"makes the shape {shape} of no single number")
    return [shape]


def _ranged(operands: Operands) -> list[TensorShape]:
    limits = [operands.numbers(index) for index in range(3)]
    if any(limit.size != 1 for limit in limits) or len(set(operands.dtypes)) != 1:
        raise Misfit("counts between limits that are no single numbers of one type")
    start, end, step = (limit.reshape(-1)[0].item() for limit in limits)
    if step == 0 or not all(abs(limit) < _LARGEST for limit in (start, end, step)):
        raise Misfit(f"counts from {start} to {end} in steps of {step}")
    return [(max(0, math.ceil((end - start) / step)),)]


def _padded(operands: Operands) -> list[TensorShape]:
    shape, pads = operands.shape(0), operands.integers(1)
    axes = operands.integers(3) if operands.has(3) else tuple(range(len(shape)))
    chosen = [checked_axis(axis, len(shape)) for axis in axes]
    if (
        len(pads) != 2 * len(chosen)
        or len(set(chosen)) != len(chosen)
        or operands.attribute("mode", b"constant") != b"constant"
    ):
        raise Misfit(f"pads {shape} by {pads} in a way that is not known here")
    found = list(shape)
    for place, axis in enumerate(chosen):
        found[axis] += pads[place] + pads[place + len(chosen)]
        if found[axis] < 0:
            raise Misfit(f"pads {shape} by {pads}")
    return [tuple(found)]


def _shape(operands: Operands) -> list[TensorShape]:
    rank = len(operands.shape(0))
    start, end = operands.attribute("start", 0), operands.attribute("end", rank)
    return [(len(range(*slice(start, end).indices(rank))),)]


def _size(operands: Operands) -> list[TensorShape]:
    operands.shape(0)
    return [()]


def _constant(operands: Operands) -> list[TensorShape]:
    value = operands.attributes.get("value")
    if not isinstance(value, OnnxTensor) or len(operands.attributes) != 1:
        raise Misfit("is a constant of a kind that is not known here")
    return [value.shape]


LAYOUTS: Mapping[str, ShapeRule] = {
    "Concat": _joined,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Expand": _expanded,
    "Flatten": _flattened,
    "Gather": _gathered,
    "GatherElements": _gathered_elements,
    "GatherND": _gathered_places,
    "Pad": _padded,
    "Range": _ranged,
    "Reshape": _reshaped,
    "ScatterElements": _scattered_elements,
    "ScatterND": _scattered_places,
    "Shape": _shape,
    "Size": _size,
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Tile": _tiled,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
"""By operation."""
