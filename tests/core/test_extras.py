from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from multihot.core.extras import require_network, require_training
from multihot.errors import MissingExtraError


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `package` look as if it were not installed."""
    find = importlib.util.find_spec

    def find_spec(name: str, parent: str | None = None) -> ModuleSpec | None:
        return None if name == package else find(name, parent)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_a_network_needs_torch_and_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    without("transformers", monkeypatch)

    with pytest.raises(MissingExtraError, match="Filling needs the package 'transformers'"):
        require_network("Filling")


@pytest.mark.parametrize("package", ["torch", "transformers", "accelerate", "tomli_w"])
def test_each_package_of_the_train_extra_is_asked_for(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(package, monkeypatch)

    with pytest.raises(
        MissingExtraError, match=rf"Training needs the package '{package}'.*multihot\[train\]"
    ):
        require_training()
