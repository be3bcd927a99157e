"""Whether optional packages are there, asked without importing them."""

from __future__ import annotations

import importlib.util

from multihot.errors import MissingExtraError

__all__ = ["require_training"]


def require_training() -> None:
    """Raise `MissingExtraError` unless the packages of the `train` extra are installed."""
    for package in ("torch", "transformers", "accelerate", "tomli_w"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "train", "Training")
