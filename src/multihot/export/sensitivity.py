"""Which linear layers cost accuracy in int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multihot.export.int8 import Int8Model, to_int8
from multihot.export.layer_inputs import LayerInputs

if TYPE_CHECKING:
    import onnx

__all__ = ["Sensitivity", "convert_within"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sensitivity:
    """The chosen model and how it was found."""

    chosen: Int8Model
    error: float
    """Standard deviation of the difference of its logits to those of fp32."""
    first_error: float
    """The same with every layer in int8."""
    alone: dict[str, float]
    """The same with one kind of layer alone in int8; empty when all layers were good enough."""


def convert_within(
    model: onnx.ModelProto,
    run_logits: Callable[[onnx.ModelProto], FloatArray],
    *,
    scheme: str,
    largest_error: float,
    measured: LayerInputs | None = None,
) -> Sensitivity:
    """Convert to int8, and keep kinds of layers in fp32 until the logits are close enough.

    A kind is what has one name in all blocks, such as `output.dense`. When all of them together are
    too far from fp32, each kind is measured alone, and the worst ones stay in fp32, one more at a
    time.

    Parameters
    ----------
    model, scheme, measured
        As for `to_int8`.
    run_logits
        Computes the logits of validation texts with a model. *Shape:* (N, L).
    largest_error
        Standard deviation of the differences of logits that is allowed.
    """
    exact = run_logits(model)

    def converted(keep: Sequence[str]) -> tuple[Int8Model, float]:
        found = to_int8(model, keep=keep, scheme=scheme, measured=measured)
        return found, float(np.std(run_logits(found.model) - exact))

    chosen, error = converted(())
    first, alone, keep = error, dict[str, float](), list[str]()
    if error > largest_error:
        kinds: dict[str, list[str]] = {}
        for name in chosen.converted:
            kinds.setdefault(_kind(name), []).append(name)
        for kind, members in kinds.items():
            others = [name for name in chosen.converted if name not in members]
            alone[kind] = converted(others)[1]
        for kind in sorted(kinds, key=lambda each: -alone[each]):
            if error <= largest_error:
                break
            keep += kinds[kind]
            chosen, error = converted(keep)
    return Sensitivity(chosen, error, first, alone)


def _kind(name: str) -> str:
    """Return what follows the number of the block in a layer's name."""
    parts = name.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[numbers[-1] + 1 :]) if numbers else name
