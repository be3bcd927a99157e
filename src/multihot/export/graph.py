"""A network as a graph of ONNX, by torch's own exporter.

Letters: `N` texts, `S` tokens of the longest, `L` labels.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from multihot.core.text_tables import cut
from multihot.errors import EncoderError
from multihot.export.first_token import compute_first_token_only
from multihot.inference.onnx_file import INPUTS
from multihot.models.encoder import quiet_transformers

__all__ = ["OPSET", "onnx_model"]

OPSET = 20
"""Version of ONNX's operations: the first with Gelu; 23 has Attention, which is not faster here."""

_EXAMPLE_LENGTHS = (9, 5)  # a length of 1 would become part of the graph


class _Padded(nn.Module):
    """A network that is called with the arrays that an export takes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits, (N, L), of two int64 arrays (N, S)."""
        logits: Tensor = self.network(input_ids, attention_mask).float()
        return logits


def onnx_model(network: Any) -> Any:
    """Return an `onnx.ModelProto` with `input_ids` and `attention_mask` (N, S) to `logits` (N, L).

    Both sizes are open. Nothing of the machine that exports is left in it, such as paths.

    Parameters
    ----------
    network
        As `models.stored_network.load_network` returns it, on the processor; it is set to evaluation.

    Raises
    ------
    EncoderError
        torch cannot export this family.
    """
    network.eval().requires_grad_(False)
    added = network.shortest_text - 1  # labels before every text
    lengths = [length + added for length in _EXAMPLE_LENGTHS]
    # Of one token, which every vocabulary has; padding is what the mask says.
    token = 2 if getattr(network.config, "pad_token_id", None) == 1 else 1
    ids = torch.full((len(lengths), max(lengths)), token, dtype=torch.int64)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    with _silence():
        try:
            program: Any = torch.onnx.export(
                _Padded(network).eval(),
                (ids, mask),
                input_names=list(INPUTS),
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(INPUTS, sizes),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            model = program.model_proto
        except Exception as reason:  # noqa: BLE001 - the library raises its own
            family = network.config.model_type
            raise EncoderError(
                f"torch {torch.__version__} cannot export the family '{family}': {_reason(reason)} Use "
                "the model with torch, or start from another encoder."
            ) from None
    network.eval()
    compute_first_token_only(model)
    return _bare(model)


def _bare(model: Any) -> Any:
    """Take out of a model what says how it came about, and what runs without."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    used = {name for node in model.graph.node for name in node.input}
    unused = [tensor for tensor in model.graph.initializer if tensor.name not in used]
    for tensor in unused:
        model.graph.initializer.remove(tensor)
    return model


def _reason(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return cut(next(iter(str(cause).splitlines()), type(cause).__name__)) + "."


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what torch and onnxscript print and log to themselves; failures are raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            quiet_transformers(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
