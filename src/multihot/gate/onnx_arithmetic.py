"""Which shapes the arithmetic of ONNX makes, from the shapes that it takes, and what it costs.

Versions 18 to 23 of the operations. Shapes that an operation does not take are refused here, so that no
kernel has to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from multihot.gate.onnx_operands import (
    Misfit,
    Operands,
    ShapeRule,
    TensorShape,
    broadcast,
    checked_axis,
)

__all__ = ["ARITHMETIC", "multiply_adds"]


def _require_stretchable(shape: TensorShape, to: TensorShape, index: int) -> None:
    if broadcast(shape, to) != to:
        raise Misfit(f"has an input {index} of the shape {shape}, which does not fit {to}")


def _same(operands: Operands) -> list[TensorShape]:
    return [operands.shape(0)]


def _stretched(operands: Operands) -> list[TensorShape]:
    found = operands.shape(0)
    for index in range(1, len(operands.shapes)):
        found = broadcast(found, operands.shape(index))
    return [found]


def _pair(operands: Operands) -> list[TensorShape]:
    if len(operands.shapes) != 2:
        raise Misfit(f"takes {len(operands.shapes)} inputs")
    return [broadcast(operands.shape(0), operands.shape(1))]


def _chosen(operands: Operands) -> list[TensorShape]:
    if len(operands.shapes) != 3:
        raise Misfit(f"takes {len(operands.shapes)} inputs")
    return _stretched(operands)


def _divided(operands: Operands) -> list[TensorShape]:
    found = _pair(operands)
    # A processor stops the whole program that divides whole numbers by 0, or the least one by -1.
    if operands.dtypes[0] not in _FLOATS and np.isin(operands.numbers(1), (0, -1)).any():
        raise Misfit("divides whole numbers by 0 or -1")
    return found


def _clip(operands: Operands) -> list[TensorShape]:
    for index in (1, 2):
        if operands.has(index) and operands.shape(index) != ():
            raise Misfit(f"has a limit of the shape {operands.shape(index)}")
    return [operands.shape(0)]


def _along_axis(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    checked_axis(operands.attribute("axis", -1), len(shape))
    return [shape]


def _cumulative(operands: Operands) -> list[TensorShape]:
    if math.prod(operands.shape(1)) != 1:
        raise Misfit("names no single dimension")
    return [operands.shape(0)]


def _normalized(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    axis = checked_axis(operands.attribute("axis", -1), len(shape))
    for index in (1, 2):
        if (index == 1 or operands.has(index)) and operands.shape(index) != shape[axis:]:
            raise Misfit(
                f"has an input {index} of the shape {operands.shape(index)}, which does not fit {shape}"
            )
    reduced = shape[:axis] + (1,) * (len(shape) - axis)
    return [shape, reduced, reduced]


def _product(first: TensorShape, second: TensorShape) -> TensorShape:
    """Return the shape of a matrix product, with stacks of matrices and vectors as in numpy."""
    if not first or not second:
        raise Misfit("multiplies a matrix with a single number")
    left = first if len(first) > 1 else (1, *first)
    right = second if len(second) > 1 else (*second, 1)
    if left[-1] != right[-2]:
        raise Misfit(f"multiplies matrices of the shapes {first} and {second}, which do not fit")
    rows = left[-2:-1] if len(first) > 1 else ()
    columns = right[-1:] if len(second) > 1 else ()
    return broadcast(left[:-2], right[:-2]) + rows + columns


def _matmul(operands: Operands) -> list[TensorShape]:
    return [_product(operands.shape(0), operands.shape(1))]


def _matmul_integer(operands: Operands) -> list[TensorShape]:
    _require_parameters(operands, columns=(3,), single=(2,))
    return [_product(operands.shape(0), operands.shape(1))]


def _matmul_to_float(operands: Operands) -> list[TensorShape]:
    _require_parameters(operands, columns=(3, 5), single=(2, 4))
    found = _product(operands.shape(0), operands.shape(1))
    if operands.has(6) and operands.shape(6) != found[-1:]:
        raise Misfit(f"has a bias of the shape {operands.shape(6)}, which does not fit {found}")
    return [found]


def _require_parameters(
    operands: Operands, *, columns: tuple[int, ...], single: tuple[int, ...]
) -> None:
    """Refuse scales and zero points that are neither one number nor, of the weights, one per column."""
    weights = operands.shape(1)
    for index in (*columns, *single):
        if not operands.has(index):
            continue
        shape = operands.shape(index)
        is_one = shape in ((), (1,))
        if not is_one and (index in single or len(weights) != 2 or shape != weights[-1:]):
            raise Misfit(f"has an input {index} of the shape {shape}, which does not fit {weights}")


def _gemm(operands: Operands) -> list[TensorShape]:
    first, second = operands.shape(0), operands.shape(1)
    if len(first) != 2 or len(second) != 2:
        raise Misfit(f"multiplies matrices of the shapes {first} and {second}, which do not fit")
    first = first[::-1] if operands.attribute("transA", 0) else first
    second = second[::-1] if operands.attribute("transB", 0) else second
    found = _product(first, second)
    if operands.has(2):
        _require_stretchable(operands.shape(2), found, 2)
    return [found]


def _bias(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    if operands.shape(1) != shape[-1:] or not shape:
        raise Misfit(f"has a bias of the shape {operands.shape(1)}, which does not fit {shape}")
    return [shape]


def _quantized(operands: Operands) -> list[TensorShape]:
    shape, scale = operands.shape(0), operands.shape(1)
    if operands.attribute("block_size", 0):
        raise Misfit("has scales of blocks")
    if scale not in ((), (1,)):
        axis = checked_axis(operands.attribute("axis", 1), len(shape))
        if scale != shape[axis : axis + 1]:
            raise Misfit(f"has scales of the shape {scale}, which do not fit {shape}")
    if operands.has(2) and operands.shape(2) != scale:
        raise Misfit(f"has zero points of the shape {operands.shape(2)} and scales of {scale}")
    return [shape]


def _dynamically_quantized(operands: Operands) -> list[TensorShape]:
    return [operands.shape(0), (), ()]


def _windows(operands: Operands, kernel: TensorShape, num_channels: int) -> TensorShape:
    """Return the shape of what a window makes that is moved over the last dimensions."""
    shape = operands.shape(0)
    rank = len(kernel)
    if operands.attribute("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise Misfit("pads by itself")
    strides = operands.attribute("strides", (1,) * rank)
    dilations = operands.attribute("dilations", (1,) * rank)
    pads = operands.attribute("pads", (0,) * 2 * rank)
    if (
        len(shape) != rank + 2
        or (len(strides), len(dilations), len(pads)) != (rank, rank, 2 * rank)
        or min((*strides, *dilations, *kernel), default=0) < 1
        or min(pads) < 0
    ):
        raise Misfit(f"moves a window of {kernel} over {shape} in a way that is not known here")
    spans = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, kernel, strict=True)]
    if any(pad >= span for pad, span in zip(pads, spans * 2, strict=True)):
        raise Misfit(f"pads by {pads} for a window of {kernel}")
    found = [shape[0], num_channels]
    for axis, size in enumerate(shape[2:]):
        room = size + pads[axis] + pads[axis + rank] - spans[axis]
        if room < 0:
            raise Misfit(f"moves a window of {kernel} over {shape}, which is smaller")
        found.append(room // strides[axis] + 1)
    return tuple(found)


def _convolved(operands: Operands) -> list[TensorShape]:
    shape, weights = operands.shape(0), operands.shape(1)
    groups = operands.attribute("group", 1)
    if (
        len(weights) != len(shape)
        or len(shape) < 3
        or groups < 1
        or weights[0] % groups
        or weights[1] * groups != shape[1]
        or operands.attribute("kernel_shape", weights[2:]) != weights[2:]
    ):
        raise Misfit(f"convolves {shape} with {weights} in {groups} groups, which do not fit")
    if operands.has(2) and operands.shape(2) != weights[:1]:
        raise Misfit(f"has a bias of the shape {operands.shape(2)}, which does not fit {weights}")
    return [_windows(operands, weights[2:], weights[0])]


def _pooled(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    if operands.attribute("ceil_mode", 0) or operands.num_outputs > 1 or len(shape) < 3:
        raise Misfit("pools in a way that is not known here")
    return [_windows(operands, operands.attribute("kernel_shape", ()), shape[1])]


def _fourier(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    is_said = operands.has(2) or "axis" in operands.attributes
    if not is_said or len(shape) < 2 or shape[-1] > 2 or operands.attribute("onesided", 0):
        raise Misfit(f"transforms the shape {shape} in a way that is not known here")
    axis = operands.integer(2) if operands.has(2) else operands.attribute("axis", 0)
    axis = checked_axis(axis, len(shape))
    if axis == len(shape) - 1:
        raise Misfit("transforms along real and imaginary parts")
    length = operands.integer(1) if operands.has(1) else shape[axis]
    if length != shape[axis]:
        raise Misfit(f"transforms {shape[axis]} numbers to {length}")
    return [(*shape[:-1], 2)]


def _reduced(operands: Operands) -> list[TensorShape]:
    shape = operands.shape(0)
    axes: TensorShape = operands.integers(1) if operands.has(1) else ()
    if "axes" in operands.attributes:
        raise Misfit("names its dimensions as old versions did")
    if not axes and operands.attribute("noop_with_empty_axes", 0):
        return [shape]
    chosen = {checked_axis(axis, len(shape)) for axis in axes} or set(range(len(shape)))
    if operands.attribute("keepdims", 1):
        return [tuple(1 if axis in chosen else size for axis, size in enumerate(shape))]
    return [tuple(size for axis, size in enumerate(shape) if axis not in chosen)]


def multiply_adds(operands: Operands, written: int) -> int:
    """Return how many multiplications with additions an operation does, or numbers it reads or writes.

    Parameters
    ----------
    operands
        What it takes.
    written
        Numbers that it makes.
    """
    op = operands.op
    if op == "Conv":
        return written * math.prod(operands.shape(1)[1:])
    if op in _PRODUCTS:
        is_turned = op == "Gemm" and operands.attribute("transA", 0)
        return written * operands.shape(0)[0 if is_turned else -1]
    if op == "MaxPool":
        return written * math.prod(operands.attribute("kernel_shape", ()))
    if op == "DFT":
        return written * _FOURIER_STEPS
    return math.prod(operands.shape(0)) if op in _SUMS else written


_FOURIER_STEPS = 64  # multiplications for a number of a fast transform, of any length up to 2**20
_PRODUCTS = frozenset({"Gemm", "MatMul", "MatMulInteger", "com.microsoft.MatMulIntegerToFloat"})
_SUMS = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"})
_FLOATS = frozenset({"float16", "float32", "float64"})
_UNARY = (
    "Abs Neg Exp Log Sqrt Reciprocal Sin Cos Tanh Sigmoid Relu Gelu Erf Floor Ceil Round Sign Not IsNaN "
    "IsInf Identity Cast"
)
_PAIRS = "Add Sub Mul Pow Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor"
ARITHMETIC: Mapping[str, ShapeRule] = {
    **dict.fromkeys(_UNARY.split(), _same),
    **dict.fromkeys(_PAIRS.split(), _pair),
    **dict.fromkeys(_SUMS, _reduced),
    "Clip": _clip,
    "Conv": _convolved,
    "CumSum": _cumulative,
    "DFT": _fourier,
    "DequantizeLinear": _quantized,
    "DynamicQuantizeLinear": _dynamically_quantized,
    "Div": _divided,
    "Gemm": _gemm,
    "LayerNormalization": _normalized,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "Max": _stretched,
    "MaxPool": _pooled,
    "Min": _stretched,
    "Mod": _divided,
    "QuantizeLinear": _quantized,
    "Softmax": _along_axis,
    "Where": _chosen,
    "com.microsoft.BiasGelu": _bias,
    "com.microsoft.MatMulIntegerToFloat": _matmul_to_float,
}
"""By operation; Microsoft's own ones have their domain before the name."""
