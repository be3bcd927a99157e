"""Pretraining heads that are computed only where they are needed: masked tokens and first tokens.

transformers' own models predict every token over the whole vocabulary, where one in seven is
needed. Here the encoder runs, the rows that count are picked out of its output, and the family's own
head modules run on these; no weight is copied or renamed.

Letters: `B` texts or pairs, `S` tokens of the longest, `T` tokens of all together, `M` masked
tokens, `V` vocabulary, `D` width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multihot.errors import EncoderError
from multihot.models.packed.encoder import encoder_inputs, narrow_last_layer, read_vectors
from multihot.models.packed.layout import Packing
from multihot.models.packed.self_test import enable_packed
from multihot.models.pretraining.loss import LossParts, next_sentence_loss, vocabulary_loss

__all__ = [
    "HEADS",
    "PretrainingNetwork",
    "PretrainingOutput",
    "enable_packed_pretraining",
    "pretraining_loss",
]

_Head = tuple[Callable[[Tensor], Tensor], nn.Linear]
"""What runs on token vectors, and the linear layer over the vocabulary behind it."""


def _bert(model: Any) -> _Head:
    return model.cls.predictions.transform, model.cls.predictions.decoder


def _roberta(model: Any) -> _Head:
    head = model.lm_head
    return lambda hidden: head.layer_norm(F.gelu(head.dense(hidden))), head.decoder


def _electra(model: Any) -> _Head:
    return model.generator_predictions, model.generator_lm_head


def _distilbert(model: Any) -> _Head:
    def transform(hidden: Tensor) -> Tensor:
        vectors: Tensor = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
        return vectors

    return transform, model.vocab_projector


def _modernbert(model: Any) -> _Head:
    return model.head, model.decoder


HEADS: dict[str, Callable[[Any], _Head]] = {
    "bert": _bert,
    "camembert": _roberta,
    "distilbert": _distilbert,
    "electra": _electra,
    "modernbert": _modernbert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
}
"""Where each family (`model_type` of its configuration) keeps its masked-language-model head."""


@dataclass(frozen=True)
class PretrainingOutput:
    """The outputs of the heads.

    Attributes
    ----------
    mlm_logits
        *Shape:* (M, V); `None` when labels were given.
    mlm_loss
        Summed cross-entropy of the masked tokens, a float32 scalar; `None` without labels.
    nsp_logits
        *Shape:* (B, 2); `None` without a next-sentence head.
    """

    mlm_logits: Tensor | None
    mlm_loss: Tensor | None
    nsp_logits: Tensor | None


class PretrainingNetwork(nn.Module):
    """A transformers model with a masked-language-model head and maybe a next-sentence head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        config: Any = model.config
        if config.model_type not in HEADS:
            raise EncoderError(
                f"{type(model).__name__} is of the family '{config.model_type}', whose masked-language-"
                f"model head is not known here; known are {', '.join(sorted(HEADS))}."
            )
        self.model = model
        self.config = config
        narrow_last_layer(self.transformer)

    @property
    def transformer(self) -> Any:
        """The encoder inside the model."""
        return self.model.base_model

    @property
    def has_next_sentence(self) -> bool:
        """Whether there is a next-sentence head."""
        return hasattr(getattr(self.model, "cls", None), "seq_relationship")

    def forward(
        self,
        input_ids: Tensor,
        layout: Tensor | Packing,
        token_type_ids: Tensor | None = None,
        *,
        masked_positions: Tensor,
        masked_labels: Tensor | None = None,
    ) -> PretrainingOutput:
        """Run the encoder on all tokens and the heads on those that count.

        Parameters
        ----------
        input_ids
            *Shape:* (T,), int64, when packed, or (B, S).
        layout
            The packing; or the attention mask, *shape* (B, S), int64, 1 = token.
        token_type_ids
            *Shape:* that of `input_ids`, int64: 0 in the first text of a pair, 1 in the second. Not
            handed on to families that have none; `None` is 0 everywhere.
        masked_positions
            *Shape:* (M,), int64, into the flattened `input_ids`.
        masked_labels
            *Shape:* (M,), int64, the true tokens. With them the summed loss is computed, without
            ever holding all logits in float32; without them the logits are returned.
        """
        firsts, hidden = self._encode(input_ids, layout, token_type_ids, masked_positions)
        transform, decoder = HEADS[self.config.model_type](self.model)
        masked = transform(hidden)
        logits, loss = None, None
        if masked_labels is None:
            logits = decoder(masked)
        else:
            loss = vocabulary_loss(masked, decoder.weight, decoder.bias, masked_labels)
        return PretrainingOutput(logits, loss, self._next_sentence(firsts))

    def next_sentence(
        self, input_ids: Tensor, layout: Tensor | Packing, token_type_ids: Tensor
    ) -> Tensor:
        """Return logits of pairs, (B, 2); column 0: the second follows the first. See `forward`."""
        nothing = input_ids.new_zeros(0)
        logits = self._next_sentence(self._encode(input_ids, layout, token_type_ids, nothing)[0])
        if logits is None:
            raise EncoderError(f"{type(self.model).__name__} has no next-sentence head.")
        return logits

    def _encode(
        self,
        input_ids: Tensor,
        layout: Tensor | Packing,
        token_type_ids: Tensor | None,
        masked_positions: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the vectors of the first tokens, (B, D), and of the masked ones, (M, D)."""
        encoder = self.transformer
        if getattr(self.config, "type_vocab_size", 0) < 2:
            token_type_ids = None
        if isinstance(layout, Packing):
            read = torch.cat([layout.firsts, masked_positions])
            layout = replace(layout, read=read)
            inputs = encoder_inputs(encoder, input_ids, layout, token_type_ids)
            vectors = read_vectors(encoder, encoder(**inputs).last_hidden_state[0], read)
            return vectors[: len(layout.firsts)], vectors[len(layout.firsts) :]
        inputs = {"input_ids": input_ids, "attention_mask": layout}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        hidden = encoder(**inputs).last_hidden_state
        return hidden[:, 0], hidden.flatten(0, 1).index_select(0, masked_positions)

    def _next_sentence(self, firsts: Tensor) -> Tensor | None:
        if not self.has_next_sentence:
            return None
        model: Any = self.model
        # The pooler reads position 0 of every row, so each pair is a row of one token here.
        pooled = self.transformer.pooler(firsts[:, None])
        logits: Tensor = model.cls.seq_relationship(pooled)
        return logits


def pretraining_loss(
    output: PretrainingOutput, masked_labels: Tensor, is_random: Tensor
) -> LossParts:
    """Return the summed losses of a batch with their counts.

    Parameters
    ----------
    output
        Of `PretrainingNetwork`, with or without labels given to it.
    masked_labels
        *Shape:* (M,), int64.
    is_random
        *Shape:* (B,), int64: 0 = the second text follows the first, 1 = it is a random one. Without
        a next-sentence head only their number counts.
    """
    mlm = output.mlm_loss
    if mlm is None:
        assert output.mlm_logits is not None  # one of the two is always there
        mlm = F.cross_entropy(output.mlm_logits.float(), masked_labels, reduction="sum")
    nsp = None if output.nsp_logits is None else next_sentence_loss(output.nsp_logits, is_random)
    return LossParts(mlm, len(masked_labels), nsp, len(is_random))


def enable_packed_pretraining(
    network: PretrainingNetwork,
    *,
    gradients: bool = True,
    autocast: Callable[[], contextlib.AbstractContextManager[object]] | None = None,
) -> str | None:
    """Let the network run packed batches; return `None`, or one sentence why it cannot.

    Both heads and token types are part of the check; see `models.packed.self_test.check_packed`.
    """
    probe = _Probe(network).train(network.training)
    return enable_packed(probe, gradients=gradients, autocast=autocast)


class _Probe(nn.Module):
    """Returns what the self-test compares, one row of logits per text: of its two ends, and NSP's."""

    def __init__(self, network: PretrainingNetwork) -> None:
        super().__init__()
        self.network = network

    @property
    def transformer(self) -> Any:
        return self.network.transformer

    def forward(self, input_ids: Tensor, layout: Tensor | Packing) -> Tensor:
        if isinstance(layout, Packing):
            positions, ends = layout.positions, layout.cu_seq_lens[1:].long() - 1
            firsts = layout.firsts
        else:  # a single text
            positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
            firsts, ends = positions[0, :1], positions[0, -1:]
        output = self.network(
            input_ids, layout, positions % 2, masked_positions=torch.cat([firsts, ends])
        )
        first, last = output.mlm_logits.chunk(2)
        logits = [first, last, *([] if output.nsp_logits is None else [output.nsp_logits])]
        return torch.cat(logits, dim=1)
