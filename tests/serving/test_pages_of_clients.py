"""The pages on other clients run as they are written; every API chooses a model by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest

from emotions import LABELS as EMOTIONS
from shapes import LABELS, answering, code_of_page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(exported: Path, exported_model: Path) -> Iterator[str]:
    with answering(exported, exported_model, token="") as url:
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


TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["i am happy"]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/moderations", {"model": "emotions", "input": "i am happy"}),
        ("/models/emotions", {"inputs": "i am happy"}),
        ("/v2/models/emotions/infer", {"inputs": [TENSOR]}),
        ("/v1/systemone", {"model": "emotions", "state": "i am happy"}),
    ],
)
def test_a_model_is_chosen_by_its_name(path: str, body: dict[str, Any], address: str) -> None:
    questions = {name: {"type": "noul"} for name in EMOTIONS} if "systemone" in path else None
    expected = httpx2.post(
        f"{address}/v1/predict", json={"model": "emotions", "texts": ["i am happy"]}
    ).json()

    found = httpx2.post(
        address + path, json={**body, **({"questions": questions} if questions else {})}
    )

    assert found.status_code == 200
    assert found.headers["multihot-decision"] == expected["decision"]
    scores = expected["results"][0]["scores"]
    for score in scores.values():
        assert str(score) in found.text
