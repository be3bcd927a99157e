"""A real server over a small exported model, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from served import Served, serving


@pytest.fixture(scope="session")
def exported_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `tiny_model` in ONNX; read it, never change it."""
    from multihot.workflows.export import export

    folder = tmp_path_factory.mktemp("served") / "emotions"
    export(tiny_model, folder, to="onnx")
    return folder


@pytest.fixture(scope="module")
def server(exported_model: Path) -> Iterator[Served]:
    """A server of one model with the limits that users get; shared by the tests of a module."""
    with serving(exported_model) as served:
        yield served
