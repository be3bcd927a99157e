"""The short form of the kill campaign: every command that writes, killed twice from a fixed seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a killed command is a fork")
def test_killed_commands_end_with_the_files_of_undisturbed_ones() -> None:
    words = [str(SCRIPT), "--campaign", "--kills", "14", "--seed", "3", "--no-row"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)

    last = done.stdout.splitlines()[-1]
    assert done.returncode == 0, done.stdout + done.stderr
    assert last.startswith("14 kills, ")
    assert last.endswith(" inside a save: all well")
    assert int(last.split()[2]) >= 7
