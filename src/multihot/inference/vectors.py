"""One vector of each text, from the encoder of a trained model: near texts have near vectors.

Letters: `N` texts, `D` width of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from multihot.errors import OptionError
from multihot.inference.predictor import Predictor

__all__ = ["of_length_one", "text_vectors"]


def text_vectors(
    predictor: Predictor, texts: Sequence[str], purpose: str
) -> npt.NDArray[np.float32]:
    """Return vectors of length 1, so that their products are cosines. *Shape:* (N, D), float32.

    They come from the last layer of the encoder as it was trained: the mean of the tokens, or with
    `cls` pooling the first one. Raises `OptionError`, naming the purpose, for an export, which returns
    logits only.
    """
    if predictor.artifact.exported is not None:
        raise OptionError(
            f"{purpose} needs the encoder's vectors, and {predictor.artifact.folder} is "
            "an export, which has none: give the model that it was made from."
        )
    from multihot.inference.torch_backend import TorchBackend

    backend = predictor.backend
    if not isinstance(backend, TorchBackend):
        raise OptionError(f"{purpose} needs a model that torch runs.")
    return of_length_one(backend.text_vectors(predictor.tokenized(texts)))


def of_length_one(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return vectors scaled to length 1; one of zeros stays. *Shape:* (N, D)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
