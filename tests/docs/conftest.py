"""The models and files that pages begin with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sitebuild.given import Given


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Return what lays them; the processes of one run share it."""
    place = tmp_path_factory.getbasetemp()
    shared = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    return Given(Path(os.environ.get("MULTIHOT_GIVEN", shared / "given")))
