"""What tests of foreign APIs share: labels and texts that are hard for clients, and a server with a token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from served import serving

TOKEN = "0123456789abcdef0123456789abcdef"
LABELS = ("harassment/threatening", 'so "sad" 难过', "model_config")
MAX_LENGTH = 32
TEXTS = (
    "the happy people believe",
    "sad day today",
    "afraid and happy",
    "year",
    "",
    "Ünïcödé 难过 \\u0041 \N{GRINNING FACE}",
    "happy sad afraid " * 40,
)
"""The last one is longer than the model reads."""


@dataclass(frozen=True)
class Told:
    """What `multihot predict` says of TEXTS."""

    scores: list[dict[str, float]]
    """With six decimals."""
    labels: list[list[str]]


@contextmanager
def answering(*models: Path, options: tuple[str, ...] = (), token: str = TOKEN) -> Iterator[str]:
    """Serve models for the block; yield the address."""
    with serving(*models, options=options, env={"MULTIHOT_TOKEN": token}) as served:
        yield served.url


def code_of_page(name: str, address: str) -> str:
    """Return the Python of a page, asking the server at an address."""
    page = Path(__file__).parents[1] / "docs" / "en" / "how-to" / name
    blocks = re.findall(
        r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    code = "\n".join(blocks)
    assert "127.0.0.1:8000" in code
    return code.replace("127.0.0.1:8000", address.removeprefix("http://"))
