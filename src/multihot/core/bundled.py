"""The data set that is part of the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_data"]


def demo_data() -> dict[str, Path]:
    """Return the paths of the bundled `train`, `validation` and `test` files."""
    folder = Path(__file__).parents[1] / "demo_data"
    return {part: folder / f"{part}.jsonl" for part in ("train", "validation", "test")}
