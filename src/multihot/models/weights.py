"""Load a transformers model from safetensors and name the weights that it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from multihot.errors import EncoderError
from multihot.models.encoder import quiet_transformers

__all__ = ["load_weights", "refuse_lost"]


def load_weights(auto_class: Any, folder: Path, config: Any) -> tuple[Any, list[str]]:
    """Return the model in float32 and the names of weights that are new random numbers.

    A weight is new when the checkpoint lacks it or has it in another shape. Weights tied to another
    one are not named. Raises `EncoderError` when transformers cannot load the folder.
    """
    try:
        with quiet_transformers():
            model, loading = auto_class.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the caller refuses or explains them
            )
    except (ValueError, OSError, RuntimeError, SafetensorError) as error:
        raise EncoderError(f"{folder}: transformers cannot load this encoder: {error}") from None
    return model, sorted(
        [*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])]
    )


def refuse_lost(folder: Path, lost: list[str]) -> None:
    """Raise `EncoderError` when weights are lost that no new head explains."""
    if lost:
        raise EncoderError(
            f"{folder}: {len(lost)} weights are not in the checkpoint or have another shape, for "
            f"example {', '.join(lost[:3])}. They would be random numbers; use a complete one."
        )
