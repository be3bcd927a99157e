"""Vectors of texts from an encoder that was trained for no labels, such as the starter.

Letters: `N` texts, `D` width of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from multihot.core.extras import require_network
from multihot.core.labels import LabelSpace
from multihot.data.in_memory import as_texts
from multihot.data.tokens import tokenize
from multihot.inference.vectors import of_length_one

__all__ = ["load_encoder_vectors"]

_LONGEST = 256  # tokens; more say little about what a text is about

Vectors = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def load_encoder_vectors(encoder: str, *, device: str = "auto") -> Vectors:
    """Return what turns N texts into vectors of length 1, *shape* (N, D), float32.

    `encoder` is `starter`, a folder or a hub name. Raises `EncoderError` or `MissingExtraError` as
    training does.
    """
    require_network("Comparing texts with label names")
    from multihot.inference.torch_backend import TorchBackend
    from multihot.models.devices import choose_device, choose_precision
    from multihot.models.encoder import (
        length_limit,
        load_encoder_tokenizer,
        locate_encoder,
        resolve_pooling,
    )
    from multihot.models.network import build_network

    source = locate_encoder(encoder)
    tokenizer, settings = load_encoder_tokenizer(source.folder)
    nothing = LabelSpace(("no label",))
    network = build_network(source.folder, nothing, resolve_pooling("auto", source), seed=0)
    chosen = choose_device(device)
    precision = choose_precision("fp32", chosen)
    backend = TorchBackend(network, len(nothing), chosen, precision, frozen=True)
    limit = length_limit(network.config, settings) or _LONGEST

    def vectors(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        tokenized = tokenize(tokenizer, as_texts(texts), min(limit, _LONGEST))
        return of_length_one(backend.text_vectors(tokenized))

    return vectors
