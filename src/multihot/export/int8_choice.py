"""The int8 form of a model that decides nearly as the model does: which layers, by validation texts.

Letters: `N` texts, `L` labels, `S` tokens of the longest text of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.instruction_set import instruction_set
from multihot.data.batches import length_sorted_batches, make_batch
from multihot.data.tokens import TokenizedTexts
from multihot.export.int8 import Int8Model, scheme_for
from multihot.export.layer_inputs import measure_layer_inputs
from multihot.export.sensitivity import convert_within
from multihot.inference.onnx_file import INPUTS

__all__ = ["choose_int8"]

FloatArray = npt.NDArray[np.float32]

_ERRORS = (0.03, 0.012, 0.005)
"""Standard deviations of the differences of logits that are tried one after the other."""

_MOST_TEXTS = 400  # that are measured, and scanned
_TOKEN_BUDGET = 512


def choose_int8(
    model: Any,
    texts: TokenizedTexts,
    pad_token_id: int,
    is_near: Callable[[FloatArray], bool],
) -> Int8Model:
    """Return a model in int8, with more layers in fp32 until its logits are near enough, or none helps.

    Parameters
    ----------
    model
        `onnx.ModelProto` in fp32.
    texts
        N validation texts.
    pad_token_id
        What fills up shorter texts.
    is_near
        Says so of logits of the first texts, *shape* (at most 400, L).
    """
    some = texts.selected(np.arange(min(_MOST_TEXTS, len(texts))))
    batches = list(_batches(some, pad_token_id))
    arrays = [(batch.input_ids, _mask(batch)) for _, batch in batches]
    measured = measure_layer_inputs(model, arrays)

    def run_logits(other: Any) -> FloatArray:
        return _logits(other, batches, len(some))

    for largest_error in _ERRORS:
        chosen = convert_within(
            model,
            run_logits,
            scheme=scheme_for(instruction_set()),
            largest_error=largest_error,
            measured=measured,
        ).chosen
        if is_near(run_logits(chosen.model)):
            break
    return chosen


def _batches(texts: TokenizedTexts, pad_token_id: int) -> Iterator[tuple[Any, Any]]:
    for rows in length_sorted_batches(texts.lengths, _TOKEN_BUDGET):
        yield rows, make_batch(texts, rows, pad_token_id, packed=False)


def _mask(batch: Any) -> npt.NDArray[np.int64]:
    mask: npt.NDArray[np.int64] = batch.attention_mask
    return mask


def _logits(model: Any, batches: list[tuple[Any, Any]], num_texts: int) -> FloatArray:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: dict[int, FloatArray] = {}
    for rows, batch in batches:
        inputs = dict(zip(INPUTS, (batch.input_ids, _mask(batch)), strict=True))
        (logits,) = session.run(["logits"], inputs)
        found |= dict(zip(rows.tolist(), logits, strict=True))
    return np.stack([found[row] for row in range(num_texts)])
