"""How many processors there are: limits of containers, and what other programs leave."""

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
    monkeypatch.setattr(processors, "busy_elsewhere", lambda: round(load))

    processors.sleep_while_waiting()

    assert os.environ.get("GOMP_SPINCOUNT") == expected


_STAT = (
    "cpu  1 1 1 1 1 1 1 0 0 0\ncpu0 {ticks} 0 0 500 7 0 0 0 0 0\ncpu9999 800 0 0 0 0 0 0 0 0 0\n"
)


@pytest.mark.parametrize(("ticks", "busy"), [(100, 0), (100_000, None)])
def test_processors_are_busy_that_counted_time_meanwhile(
    ticks: int, busy: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stat"
    path.write_text(_STAT.format(ticks=100))
    monkeypatch.setattr(processors, "_PROCESSOR_TIMES", path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(
        processors.time, "sleep", lambda _: path.write_text(_STAT.format(ticks=ticks))
    )

    found = processors.busy_elsewhere()

    assert found == busy if busy is not None else found > 0


def test_where_nobody_counts_processor_time_the_load_of_the_last_minute_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_PROCESSOR_TIMES", tmp_path / "none")
    monkeypatch.setattr(os, "getloadavg", lambda: (2.2, 0.0, 0.0), raising=False)

    assert processors.busy_elsewhere() == 2
