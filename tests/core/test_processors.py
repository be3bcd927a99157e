"""Limits of containers, as both versions of control groups write them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from multihot.core import processors


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_a_container_may_use_as_many_processors_as_its_limit_says(
    files: dict[str, str], limit: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_CONTROL_GROUP", tmp_path / "none")
    without = processors.usable_processors()
    monkeypatch.setattr(processors, "_CONTROL_GROUP", tmp_path)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")

    rounded_up = without if limit is None else min(without, -int(-limit // 1))
    assert processors.usable_processors() == rounded_up


@pytest.mark.parametrize(
    ("given", "loaded", "load", "expected"),
    [
        ({}, False, 1.1, "1000"),
        ({}, False, 0.1, None),
        ({"OMP_WAIT_POLICY": "active"}, False, 1.1, None),
        ({}, True, 1.1, None),
    ],
)
def test_threads_sleep_soon_beside_busy_programs_unless_somebody_chose_or_torch_is_there(
    given: dict[str, str],
    loaded: bool,
    load: float,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", dict(given))
    monkeypatch.setattr(sys, "modules", {"torch": object()} if loaded else {})

    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))

    processors.sleep_while_waiting()

    assert os.environ.get("GOMP_SPINCOUNT") == expected
