"""Real servers over small exported models, and Chromium in front of them; `make test-browser` runs these."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.recipes import build_options
from multihot.data.examples import Examples
from served import Served, serving

CUES = ("happy", "sad", "afraid")
HARD_LABELS = ("joy", "<img src=x onerror=window.broken=1>", "难过 \u202e$(x)")
"""One for each cue: what a page must show as it is, and may not obey."""
MANY_LABELS = tuple(f"topic {number}" for number in range(500))
MAX_LENGTH = 32

OpenPage = Callable[..., Page]


def labelled_rows(labels: tuple[str, ...], seed: int) -> Examples:
    """Return texts of cues; label number n follows cue n modulo 3."""
    random = np.random.default_rng(seed)
    truth = random.random((48, len(CUES))) < 0.5
    texts = [
        " ".join(["today", *(cue for cue, given in zip(CUES, row, strict=True) if given)])
        for row in truth
    ]
    values = truth[:, np.arange(len(labels)) % len(CUES)].astype(np.float32)
    return Examples(
        texts=texts,
        labels=LabelMatrix(LabelSpace(labels), values),
        ids=[f"row-{number}" for number in range(len(texts))],
        source="rows.csv",
        data=DataOptions(text_column="text", encoding="utf-8"),
        notes=(),
        lines=list(range(2, len(texts) + 2)),
    )


def _export(encoder: Path, folder: Path, name: str, labels: tuple[str, ...], epochs: int) -> Path:
    from multihot.workflows.export import export
    from multihot.workflows.train import train

    asked = {
        "encoder": str(encoder),
        "epochs": epochs,
        "batch_size": 8,
        "learning_rate": 0.01,
        "pooling": "mean",
        "max_length": MAX_LENGTH,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
        "seed": 2,
    }
    trained = folder / f"{name}-trained"
    train(
        labelled_rows(labels, 0),
        labelled_rows(labels, 1),
        build_options(TrainOptions, asked),
        trained,
    )
    export(trained, folder / name, to="onnx")
    return folder / name


@pytest.fixture(scope="session")
def models(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of an export with three hard labels and of one with 500; never change them."""
    folder = tmp_path_factory.mktemp("page")
    return (
        _export(tiny_encoder, folder, "moods", HARD_LABELS, 8),
        _export(tiny_encoder, folder, "topics", MANY_LABELS, 1),
    )


@pytest.fixture(scope="session")
def server(models: tuple[Path, Path]) -> Iterator[Served]:
    """A server of both models."""
    with serving(*models) as served:
        yield served


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return Chromium: what CHROMIUM names, else the one of the system."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert found is not None, "Chromium is missing: 'make test-browser' installs it."
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has no sandbox
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=options)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser, server: Served) -> Iterator[OpenPage]:
    """Return what opens the page in a browser of its own; it has to be free of errors at the end."""
    complaints: list[str] = []
    contexts = []

    def open_it(url: str | None = None, *, ready: bool = True, **options: object) -> Page:
        context = browser.new_context(**{"locale": "en-US", **options})  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(url or server.url)
        if ready:
            page.wait_for_selector("#sliders li", state="attached")
        return page

    yield open_it
    for context in contexts:
        context.close()
    refused = "Failed to load resource"  # what a browser says of any answer that is not 200
    assert [each for each in complaints if not each.startswith(refused)] == []
