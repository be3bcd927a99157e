"""The log of a run: one line an entry, no step twice, numbers that JSON has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from multihot.errors import MissingExtraError, OptionError, StorageError, TrainingError
from multihot.training.metrics_log import MetricsLog, Throughput, open_trackers, require_trackers


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_entry_is_on_disk_at_once(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", last_step=0)

    log.write({"step": 1, "loss": 0.5})
    assert entries(log.path) == [{"step": 1, "loss": 0.5}]
    log.write({"step": 2, "validation": True})
    assert entries(log.path)[1] == {"step": 2, "validation": True}
    log.close()


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", last_step=0)

    log.write({"step": 1, "loss": float("nan"), "gradient_norm": float("inf"), "f1": None})

    assert entries(log.path) == [{"step": 1, "loss": None, "gradient_norm": None, "f1": None}]


def test_a_resumed_log_has_no_step_twice_and_no_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step}) for step in (10, 20, 20, 30)]
    path.write_text("\n".join([*lines, '{"step": 4', "[1]", '{"loss": 1}', "\0\0"]))

    log = MetricsLog(path, last_step=20)
    log.write({"step": 30, "loss": 0.1})

    assert [entry["step"] for entry in entries(path)] == [10, 20, 20, 30]
    assert entries(path)[-1] == {"step": 30, "loss": 0.1}


def test_a_log_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", last_step=0)
    log.path.unlink()
    log.path.mkdir()

    with pytest.raises(StorageError, match=r"Cannot write .*metrics.jsonl"):
        log.write({"step": 1})


def test_trackers_get_the_numbers_and_the_step(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Recorder:
        def log(self, numbers: dict[str, Any], step: int) -> None:
            seen.append((numbers, step))

        def end_training(self) -> None:
            seen.append("closed")

    log = MetricsLog(tmp_path / "metrics.jsonl", last_step=0, trackers=Recorder())
    log.write({"step": 3, "loss": 0.5, "macro_f1": None, "note": "words"})
    log.close()

    assert seen == [({"step": 3, "loss": 0.5}, 3), "closed"]


def test_no_tracker_needs_no_accelerate(tmp_path: Path) -> None:
    require_trackers(())

    assert open_trackers((), tmp_path, "run") is None


def test_an_unknown_tracker_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        OptionError, match=r"'tensorbord' is unknown; accelerate knows .*tensorboard"
    ):
        require_trackers(("tensorbord",))


def test_a_tracker_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OptionError, match="'wandb' is not installed; pip install wandb"):
        require_trackers(("wandb",))

    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(MissingExtraError, match=r"pip install 'multihot\[tracking\]'"):
        require_trackers(("tensorboard",))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
def test_tensorboard_gets_its_files_below_the_run(tmp_path: Path) -> None:
    trackers = open_trackers(("tensorboard",), tmp_path, "model")
    log = MetricsLog(tmp_path / "metrics.jsonl", last_step=0, trackers=trackers)
    log.write({"step": 1, "loss": 0.5})
    log.close()

    (events,) = tmp_path.rglob("events.out.tfevents.*")
    assert events.stat().st_size > 0
    assert events.parent == tmp_path / "model"


def test_speed_and_time_left_follow_the_clock() -> None:
    clock = Clock()
    throughput = Throughput(total_steps=100, clock=clock)
    # A resumed run starts at step 50; only its own two steps count.
    for _ in range(2):
        clock.now += 5
        throughput.add(num_tokens=1000)

    assert throughput.tokens_per_second == pytest.approx(200)
    assert throughput.seconds_left(52) == pytest.approx(48 * 5)


def test_speed_before_the_first_tick_divides_by_nothing() -> None:
    throughput = Throughput(total_steps=10, clock=Clock())

    assert throughput.tokens_per_second == 0
    assert throughput.seconds_left(0) == 0


def test_lines_that_no_log_has_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    others = [b"[1]", b'{"step": "1"}', b'{"step": true}', b"\xff\xfe", b"[" * 20_000, b"{}"]
    path.write_bytes(b"\n".join([*others, b'{"step": 1, "loss": 2.5}']))

    assert entries(MetricsLog(path, last_step=3).path) == [{"step": 1, "loss": 2.5}]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_log_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")

    with pytest.raises(TrainingError, match="named pipe"):
        MetricsLog(tmp_path / "metrics.jsonl", last_step=0)
