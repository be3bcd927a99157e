"""A real server over a small exported model, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from factories import rows
from multihot.core.labels import LabelSpace
from multihot.data.examples import Examples
from served import Served, serving
from shapes import LABELS, MAX_LENGTH, TEXTS, Told


@pytest.fixture(scope="module")
def server(exported_model: Path) -> Iterator[Served]:
    """A server of one model with the limits that users get; shared by the tests of a module."""
    with serving(exported_model) as served:
        yield served


def _renamed(examples: Examples) -> Examples:
    assert examples.labels is not None
    return replace(examples, labels=replace(examples.labels, space=LabelSpace(LABELS)))


@pytest.fixture(scope="session")
def exported(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an ONNX export with the name `ec` and hard labels; read it, never change it."""
    from multihot.core.options import TrainOptions
    from multihot.core.recipes import build_options
    from multihot.workflows.export import export
    from multihot.workflows.train import train

    folder = tmp_path_factory.mktemp("served")
    options = build_options(
        TrainOptions,
        {
            "encoder": str(tiny_encoder),
            "epochs": 6,
            "batch_size": 8,
            "learning_rate": 0.01,
            "pooling": "mean",
            "max_length": MAX_LENGTH,
            "precision": "fp32",
            "device": "cpu",
            "threads": 1,
            "seed": 2,
        },
    )
    train(_renamed(rows(64, 0)), _renamed(rows(40, 1)), options, folder / "model")
    export(folder / "model", folder / "ec", to="onnx")
    return folder / "ec"


@pytest.fixture(scope="session")
def told(exported: Path) -> Told:
    """Return what the command line says of TEXTS."""
    done = subprocess.run(
        [sys.executable, "-m", "multihot", "predict", str(exported), "--json", "--", *TEXTS],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return Told([each["scores"] for each in found], [each["labels"] for each in found])
