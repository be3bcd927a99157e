"""The lesson's own claim is what its script prints from the stored rows."""

from __future__ import annotations

from pathlib import Path

from lesson import lesson_table

CHAPTER = Path(__file__).parents[2] / "docs/en/tutorials/step-by-step/06-fine-tuning.md"


def test_the_table_of_the_lesson_is_what_the_script_prints() -> None:
    assert "\n".join(lesson_table()) in CHAPTER.read_text("utf-8")
