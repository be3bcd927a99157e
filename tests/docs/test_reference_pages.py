"""The pages that are written from the code say what the code says: python -m sitebuild.reference."""

from __future__ import annotations

import pytest

from sitebuild.reference import FOLDER, GENERATED


@pytest.mark.parametrize("name", GENERATED)
def test_a_page_written_from_the_code_is_up_to_date(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10000")  # restored afterwards

    assert (FOLDER / name).read_text("utf-8") == GENERATED[name](), (
        "run: PYTHONPATH=src:docs python -m sitebuild.reference"
    )
