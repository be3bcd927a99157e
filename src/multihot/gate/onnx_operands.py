"""What an operation of ONNX takes, as the rules of shapes see it.

Nothing is computed but sizes; the few tensors whose numbers are sizes themselves (the target of a
reshape, the limits of a range) come with their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

__all__ = ["Misfit", "Operands", "ShapeRule", "TensorShape", "broadcast", "checked_axis"]

TensorShape = tuple[int, ...]
T = TypeVar("T")


class Misfit(Exception):
    """Shapes that an operation does not take, or a shape that is not known before it runs."""


@dataclass(slots=True)
class Operands:
    """What an operation takes."""

    op: str
    attributes: Mapping[str, Any]
    shapes: Sequence[TensorShape | None]
    """`None` where an input is left out."""
    dtypes: Sequence[str]
    values: Sequence[NDArray[Any] | None]
    """The numbers, where they are known before anything runs."""
    num_outputs: int

    def has(self, index: int) -> bool:
        """Return whether an input is there."""
        return index < len(self.shapes) and self.shapes[index] is not None

    def shape(self, index: int) -> TensorShape:
        """Return the shape of an input that must be there."""
        found = self.shapes[index] if index < len(self.shapes) else None
        if found is None:
            raise Misfit(f"lacks its input {index}")
        return found

    def numbers(self, index: int) -> NDArray[Any]:
        """Return the numbers of an input that decides about a size."""
        self.shape(index)
        found = self.values[index]
        if found is None:
            raise Misfit(
                f"depends on the numbers of its input {index}, which follow from the texts or cannot be "
                "computed beforehand"
            )
        return found

    def integers(self, index: int) -> TensorShape:
        """Return the whole numbers of an input that decides about a size."""
        found = self.numbers(index)
        if found.ndim > 1 or found.dtype.kind != "i":
            raise Misfit(f"has an input {index} that is no list of whole numbers")
        return tuple(found.reshape(-1).tolist())

    def integer(self, index: int) -> int:
        """Return the one whole number of an input that decides about a size."""
        found = self.integers(index)
        if len(found) != 1:
            raise Misfit(f"has an input {index} that is no single number")
        return found[0]

    def attribute(self, name: str, default: T) -> T:
        """Return an attribute, which must be of the type of its default; a tuple holds whole numbers."""
        found = self.attributes.get(name, default)
        if type(found) is not type(default) or (
            isinstance(found, tuple) and any(type(each) is not int for each in found)
        ):
            raise Misfit(f"has the attribute '{name}' of another type")
        return found


ShapeRule = Callable[[Operands], list[TensorShape]]


def broadcast(first: TensorShape, second: TensorShape) -> TensorShape:
    """Return the shape of two tensors that are stretched to each other."""
    if first == second:
        return first
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    if not shorter:
        return longer
    ahead = len(longer) - len(shorter)
    found = list(longer[:ahead])
    for one, other in zip(longer[ahead:], shorter, strict=True):
        if one not in (other, 1) and other != 1:
            raise Misfit(f"combines the shapes {first} and {second}, which do not fit")
        found.append(other if one == 1 else one)
    return tuple(found)


def checked_axis(axis: int, rank: int) -> int:
    """Return the number of a dimension that may be counted from the last one."""
    if not -rank <= axis < rank:
        raise Misfit(f"names the dimension {axis} of {rank}")
    return axis % rank
