"""A small exported model whose labels have the names that clients find hardest."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from factories import rows
from multihot.core.labels import LabelSpace
from multihot.core.options import TrainOptions
from multihot.core.recipes import build_options
from multihot.data.examples import Examples
from multihot.workflows.export import export
from multihot.workflows.train import train

LABELS = ("harassment/threatening", 'so "sad" 难过', "model_config")
TEXTS = (
    "the happy people believe",
    "sad day today",
    "afraid and happy",
    "year",
    "",
    "Ünïcödé 难过 \\u0041 \U0001f600",
    "happy sad afraid " * 40,
)
"""The last one is longer than the model reads."""


@dataclass(frozen=True)
class Told:
    """What `multihot predict` says of TEXTS."""

    scores: list[dict[str, float]]
    labels: list[list[str]]


def _renamed(examples: Examples) -> Examples:
    assert examples.labels is not None
    return replace(examples, labels=replace(examples.labels, space=LabelSpace(LABELS)))


@pytest.fixture(scope="session")
def exported(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an ONNX export with the name `ec`; read it, never change it."""
    folder = tmp_path_factory.mktemp("served")
    options = build_options(
        TrainOptions,
        {
            "encoder": str(tiny_encoder),
            "epochs": 6,
            "batch_size": 8,
            "learning_rate": 0.01,
            "pooling": "mean",
            "max_length": 32,
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
