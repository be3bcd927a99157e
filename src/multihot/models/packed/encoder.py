"""Run a transformers encoder on one row of texts without padding.

transformers lets a library register an attention function by name. Ours reads the layout of the
batch (`Packing`) from the keyword arguments that the encoders hand through to every layer, so
nothing is global and threads do not disturb each other. Everything but attention works token by
token and needs no change. Without a layout the function is transformers' own SDPA, so a network
runs padded batches as before.

An encoder that does not use the interface computes *wrong* numbers without an error on a row of
several texts; `models.packed.self_test` must have passed before anything here is trusted. The
last layer works only for the tokens whose vectors a head reads. A head on [CLS] reads one vector
of a text, a masked-language-model head one in seven. Keys and values of the last layer need all
tokens; its output projection and its feed-forward block, three quarters of its arithmetic, need
only those that are read. Attention takes no part of it: the tokens are dropped between it and the
block behind it. Nothing changes on padded batches, which stay the reference that
`models.packed.self_test` compares with.

Letters: `B` texts, `S` tokens of the longest, `T` tokens of all together, `R` tokens that are read,
`H` heads, `D` width.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from multihot.models.encoder import first_position, quiet_transformers
from multihot.models.packed.attention import packed_attention
from multihot.models.packed.layout import PACKING, Packing

__all__ = [
    "ATTENTION",
    "encoder_inputs",
    "is_packable",
    "keep_first_tokens",
    "narrow_last_layer",
    "read_vectors",
    "register",
    "set_attention",
]

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


ATTENTION = "multihot_packed"
"""The name under which transformers knows `packed_attention`."""


def register() -> None:
    """Make `packed_attention` known to transformers; harmless for every other model."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, _mask)


def is_packable(encoder: Any) -> bool:
    """Return whether the encoder declares that it takes its attention from the interface."""
    return bool(getattr(encoder, "_supports_attention_backend", False))


def set_attention(encoder: Any, name: str) -> str:
    """Make an encoder use the attention called `name`; return the name it used before."""
    before = str(encoder.config._attn_implementation)
    with quiet_transformers():
        encoder.set_attn_implementation(name)
    return before


def encoder_inputs(
    encoder: Any, input_ids: Tensor, packing: Packing, token_type_ids: Tensor | None = None
) -> dict[str, Any]:
    """Return the keyword arguments that run an encoder on one row.

    Parameters
    ----------
    encoder
        A transformers model that uses `ATTENTION`.
    input_ids
        *Shape:* (T,), int64.
    packing
        Where the texts lie.
    token_type_ids
        *Shape:* (T,), int64: 0 in the first text of a pair, 1 in the second; `None` for single texts.
    """
    config = encoder.config
    if config._attn_implementation != ATTENTION:
        raise RuntimeError(f"This encoder runs '{config._attn_implementation}', not '{ATTENTION}'.")
    positions = packing.positions
    if offset := first_position(config):
        # As these families number positions: padding ids inside a text are not counted.
        counted = input_ids != config.pad_token_id
        before = torch.cumsum(counted, dim=0)
        skipped = (before - counted.long())[packing.firsts]
        positions = (before - skipped[packing.rows]) * counted + offset - 1
    inputs = {"input_ids": input_ids, "position_ids": positions}
    if token_type_ids is not None:
        inputs["token_type_ids"] = token_type_ids
    filled = {name: packing.fill_up(values)[None] for name, values in inputs.items()}
    return {**filled, PACKING: packing}


def keep_first_tokens(encoder: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
    """Forward hook of an encoder under a family's own head: leave one vector per text.

    The heads read position 0 of every row, or the pooler's output. On packed inputs they are given
    B rows of one token, (B, 1, D), and the pooler's output for these; on padded ones nothing changes.
    The packing must name the first tokens as those that are read.
    ModernBERT can be configured to average instead; an average of one token is that token.
    """
    packing = kwargs.get(PACKING)
    if packing is None:
        return output
    hidden = output.last_hidden_state[0]
    config: Any = encoder.config
    if getattr(config, "classifier_pooling", "cls") == "mean":
        sums = hidden.new_zeros(len(packing.firsts), hidden.shape[-1])
        lengths = packing.cu_seq_lens.diff()[:, None]
        kept = sums.index_add(0, packing.rows, hidden[: len(packing.rows)]) / lengths
    else:
        kept = read_vectors(encoder, hidden, packing.firsts)
    output["last_hidden_state"] = kept[:, None]
    if output.get("pooler_output") is not None:
        pooler: Any = encoder.pooler
        output["pooler_output"] = pooler(kept[:, None])
    return output


def _mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
    """Make the mask of a padded batch; a packed one has no `attention_mask` and needs none here."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None:
        return None
    return sdpa_mask(*args, attention_mask=attention_mask, **kwargs)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend when transformers calls; see `packed_attention`. *Shapes:* (1, H, T, D) -> (1, T, H, D)."""
    packing: Packing | None = kwargs.pop(PACKING, None)
    if packing is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        kwargs.update(dropout=dropout, scaling=scaling, sliding_window=sliding_window)
        padded: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return padded
    if packing.on_attention is not None:
        packing.on_attention()
    # transformers' window counts the token itself, as flash attention's wrapper there does.
    window = None if sliding_window is None else sliding_window - 1
    attended = packed_attention(
        query.squeeze(0).transpose(0, 1),
        key.squeeze(0).transpose(0, 1),
        value.squeeze(0).transpose(0, 1),
        packing,
        window=window,
        dropout=dropout,
        scale=scaling,
    )
    return attended[None], None
