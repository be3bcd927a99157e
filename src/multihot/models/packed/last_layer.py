"""Let the last layer of an encoder work only for the tokens whose vectors a head reads.

A head on [CLS] reads one vector of a text, a masked-language-model head one in seven. Keys and
values of the last layer need all tokens; its output projection and its feed-forward block, three
quarters of its arithmetic, need only those that are read. Attention takes no part of it: the tokens
are dropped between it and the block behind it. Nothing changes on padded batches, which stay the
reference that `models.packed.self_test` compares with.

Letters: `T` tokens of all texts together, `R` tokens that are read, `D` width.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor, nn

from multihot.models.packed.layout import PACKING, Packing

__all__ = ["narrow_last_layer", "read_vectors"]

_FAMILIES = frozenset({"bert", "camembert", "electra", "roberta", "xlm-roberta"})
"""Whose layers are `attention.self`, then `attention.output` with the residual, then the block."""


def narrow_last_layer(encoder: nn.Module) -> None:
    """Make the last layer heed `Packing.read`, where the family's layers are known; else nothing.

    Done once per encoder, when a network is made of it. State, names and copies stay as they are. The
    `forward` of one module is replaced, since transformers offers no hook between attention and the
    block behind it; the self-test of packed execution compares the result with the whole layer's.
    """
    config: Any = encoder.config
    if config.model_type in _FAMILIES and not config.is_decoder:
        attention = _last_attention(encoder)
        attention.forward = MethodType(_attend, attention)


def read_vectors(encoder: nn.Module, hidden: Tensor, read: Tensor) -> Tensor:
    """Return the vectors of the tokens `read` from the output for a packing that names them.

    Parameters
    ----------
    encoder
        The encoder that ran, after `narrow_last_layer`.
    hidden
        *Shape:* (R, D) from a narrowed encoder, else (T, D) or longer by the filler.
    read
        *Shape:* (R,), int64, into the row.
    """
    config: Any = encoder.config
    narrowed = config.model_type in _FAMILIES and "forward" in vars(_last_attention(encoder))
    return hidden if narrowed else hidden.index_select(0, read)


def _last_attention(encoder: Any) -> Any:
    return encoder.encoder.layer[-1].attention


def _attend(
    attention: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """Stand in for the family's `attention.forward`. *Shapes:* (1, T, D) -> (1, R, D)."""
    attended, weights = attention.self(hidden_states, attention_mask=attention_mask, **kwargs)
    packing: Packing | None = kwargs.get(PACKING)
    if packing is not None and packing.read is not None:
        attended = attended.index_select(1, packing.read)
        hidden_states = hidden_states.index_select(1, packing.read)
    return attention.output(attended, hidden_states), weights
