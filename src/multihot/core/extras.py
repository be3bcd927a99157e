"""Whether optional packages are there, asked without importing them."""

from __future__ import annotations

import importlib.util

from multihot.errors import MissingExtraError

__all__ = ["require_network", "require_scipy", "require_training"]


def require_network(purpose: str) -> None:
    """Raise `MissingExtraError` unless what runs a network is installed; `purpose` needs it."""
    _require(("torch", "transformers"), purpose)


def require_scipy(purpose: str) -> None:
    """Raise `MissingExtraError` unless SciPy is installed; `purpose` needs it."""
    _require(("scipy",), purpose)


def require_training() -> None:
    """Raise `MissingExtraError` unless the packages of the `train` extra are installed."""
    _require(("torch", "transformers", "accelerate", "tomli_w"), "Training")


def _require(packages: tuple[str, ...], purpose: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "train", purpose)
