"""A short form of the campaign against tampered folders: nothing of it may end badly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tampering import changes

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "tampered.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_tampered_folders_are_refused_or_served_as_if_untouched() -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(CAMPAIGN),
            "--changes",
            "60",
            "--runs-each",
            "1",
            "--no-row",
            "--no-strace",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert "bad=0" in done.stdout, f"{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    assert done.returncode == 0


def test_there_are_many_kinds_of_changes_each_with_a_name_of_its_own() -> None:
    names = [(each.kind, each.name, each.target) for each in changes()]

    assert len(names) >= 3800
    assert len({kind for kind, _, _ in names}) >= 530
    assert len(set(names)) == len(names)
