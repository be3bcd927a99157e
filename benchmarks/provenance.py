"""What every row in `results/` carries: command, commit, hardware, versions, date."""

from __future__ import annotations

import csv
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "results"
_PACKAGES = ("torch", "transformers", "numpy", "scikit-learn")


def provenance() -> dict[str, str]:
    """Return the birth certificate of a figure measured now."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": _git("rev-parse", "--short", "HEAD")
        + ("+" if _git("status", "-s", "src") else ""),
        "hardware": hardware(),
        "versions": " ".join(f"{name}={version(name)}" for name in _PACKAGES),
        "command": "python " + shlex.join(_without_folder(word) for word in sys.argv),
    }


def _without_folder(word: str) -> str:
    """Name files and folders, also those of NAME=PATH, without the folder they happen to lie in."""
    before, sign, place = word.rpartition("=")
    outside = Path(place).exists() and not Path(place).resolve().is_relative_to(RESULTS.parent)
    return f"{before}{sign}{Path(place).name}" if outside else word


def hardware() -> str:
    """Return core count, processor and its instructions for 8-bit products in a few words."""
    import os

    from multihot.core.instruction_set import instruction_set

    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} x {model} ({instruction_set()})"


def stored_rows(file_name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV in `results/`; none where it does not exist."""
    path = RESULTS / file_name
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def append_row(file_name: str, row: Mapping[str, object]) -> Path:
    """Append one row to a CSV in `results/`; columns the file lacks are added at its end."""
    path = RESULTS / file_name
    rows: list[Mapping[str, object]] = [*stored_rows(file_name), row]
    columns = list(dict.fromkeys(name for one in rows for name in one))
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)
    return path


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=RESULTS.parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
