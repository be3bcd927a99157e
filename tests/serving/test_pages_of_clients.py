"""The pages on other clients run as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from shapes import LABELS, answering, code_of_page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    with answering(exported, token="") as url:
        yield url


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("use-it-from-the-openai-client.md", "scores"),
        ("put-it-behind-teis-shape.md", "label"),
        ("kserve-and-triton-clients.md", "names"),
    ],
)
def test_the_page_runs(
    page: str,
    found: str,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    names: dict[str, Any] = {}

    exec(code_of_page(page, address), names)

    assert found in names
    assert len(capsys.readouterr().out.splitlines()) == (len(LABELS) if "tei" in page else 2)
