"""The figures of the lesson are those that the code draws, in every language."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(PICTURES))
    names = ("lesson_figures", "lesson_data", "lesson_words")
    return {name: importlib.import_module(name) for name in names}


def test_every_figure_is_what_the_script_draws(scripts: dict[str, ModuleType]) -> None:
    drawn = scripts["lesson_figures"].drawn()

    assert {path: path.read_text("utf-8") for path in drawn} == drawn


def test_every_language_has_the_same_words(scripts: dict[str, ModuleType]) -> None:
    words = scripts["lesson_words"].WORDS

    assert {
        language for language, table in words.items() if set(table) != set(words["en"])
    } == set()


@pytest.mark.slow
def test_the_attention_in_the_figure_is_the_starters(scripts: dict[str, ModuleType]) -> None:
    stored = scripts["lesson_figures"].measured()["attention"]
    found = scripts["lesson_data"].attention()

    assert found["tokens"] == stored["tokens"]
    assert np.abs(np.subtract(found["weights"], stored["weights"])).max() <= 0.02
