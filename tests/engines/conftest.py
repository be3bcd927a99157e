"""Exports that engines load without torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from multihot.workflows.export import export


@pytest.fixture(scope="module")
def model(exported_model: Path) -> Path:
    """An export of `tiny_model`; read it, never change it."""
    return exported_model


@pytest.fixture(scope="module")
def hierarchical_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, where `fear` implies `love`."""
    folder = tmp_path_factory.mktemp("hierarchy")
    path = shutil.copytree(tiny_model, folder / "trained") / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "hierarchy": {"fear": ["love"]}}), "utf-8")
    export(folder / "trained", folder / "model", to="onnx")
    return folder / "model"
