"""The int8 form of a model that decides nearly as the model does: which layers, by validation texts.

Letters: `N` texts, `L` labels, `S` tokens of the longest text of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.instruction_set import instruction_set
from multihot.core.runtimes import import_onnxruntime
from multihot.data.batches import length_sorted_batches, make_batch
from multihot.data.tokens import TokenizedTexts
from multihot.export.int8 import Int8Model, scheme_for, to_int8
from multihot.export.layer_inputs import measure_layer_inputs
from multihot.export.onnx_nodes import linear_layers
from multihot.inference.onnx_file import INPUTS

__all__ = ["choose_int8"]

FloatArray = npt.NDArray[np.float32]

_JUDGED_TEXTS = 2000  # whose decisions are compared
_MEASURED_TEXTS = 400  # whose activations are summed up
_SCANNED_TEXTS = 128  # with each layer alone in int8
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
        Says so of logits of the first texts, *shape* (at most 2,000, L).
    """
    judged, seen, scanned = (
        list(_batches(texts, most, pad_token_id))
        for most in (_JUDGED_TEXTS, _MEASURED_TEXTS, _SCANNED_TEXTS)
    )
    measured = measure_layer_inputs(model, [(batch.input_ids, _mask(batch)) for _, batch in seen])
    scheme = scheme_for(instruction_set())

    def converted(keep: Sequence[str]) -> tuple[Int8Model, bool]:
        found = to_int8(model, keep=keep, scheme=scheme, measured=measured)
        return found, is_near(_logits(found.model, judged))

    chosen, near = converted(())
    if near:
        return chosen
    exact = _logits(model, scanned)
    harm: dict[str, float] = {}
    sizes = {layer.name: layer.weight.size for layer in linear_layers(model.graph).values()}
    for name in chosen.converted:
        others = [each for each in chosen.converted if each != name]
        alone = to_int8(model, keep=others, scheme=scheme, measured=measured).model
        error = float(np.var(_logits(alone, scanned) - exact))
        harm[name] = error / sizes[name]  # what it costs by what it saves
    order = sorted(harm, key=lambda name: -harm[name])
    fewest, most = 1, len(order)
    while fewest < most:  # the smallest number of layers in fp32 that is enough
        middle = (fewest + most) // 2
        if converted(order[:middle])[1]:
            most = middle
        else:
            fewest = middle + 1
    return converted(order[:fewest])[0]


def _batches(texts: TokenizedTexts, most: int, pad_token_id: int) -> Iterator[tuple[Any, Any]]:
    for rows in length_sorted_batches(texts.lengths[:most], _TOKEN_BUDGET):
        yield rows, make_batch(texts, rows, pad_token_id, packed=False)


def _mask(batch: Any) -> npt.NDArray[np.int64]:
    mask: npt.NDArray[np.int64] = batch.attention_mask
    return mask


def _logits(model: Any, batches: list[tuple[Any, Any]]) -> FloatArray:
    onnxruntime = import_onnxruntime()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: dict[int, FloatArray] = {}
    for rows, batch in batches:
        inputs = dict(zip(INPUTS, (batch.input_ids, _mask(batch)), strict=True))
        (logits,) = session.run(["logits"], inputs)
        found |= dict(zip(rows.tolist(), logits, strict=True))
    return np.stack([found[row] for row in range(len(found))])
