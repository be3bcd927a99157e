"""`multihot audit` killed or interrupted before each of its steps on disk: nothing is torn, nothing is lost."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from multihot.cli.main import main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")

AUDIT = ("audit", "train.csv", "--scores", "scores.jsonl", "--output", "a", "--resume")
APPLY = ("audit", "train.csv", "--apply", "filled.csv", "--output", "new.csv", "--force")
STOPPING = """
import os, shutil, signal, sys
import multihot.workflows.apply_corrections, multihot.workflows.audit
from multihot.cli.main import main

number, base, *words = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def stop_before(step):
    done = 0
    def look(event, values):
        nonlocal done
        is_step = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")
        if is_step or event == "open" and values[2] is not None and values[2] & writing:
            done += 1
            if done == step:
                os.kill(os.getpid(), int(number))
    sys.addaudithook(look)

step, code = 0, None
while code != 0:
    step += 1
    shutil.copytree(base, f"{step}")
    child = os.fork()
    if child == 0:
        os.chdir(f"{step}")
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1), os.dup2(log, 2)
        stop_before(step)
        code = 70
        try:
            code = main(words)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code)
"""
"""Runs a command in copies of a folder named 1, 2, ..., stopped before its n-th step there, until it ends."""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with scores, and a filled table of an earlier audit of it."""
    folder = tmp_path / "base"
    folder.mkdir()
    monkeypatch.chdir(folder)
    generator = np.random.default_rng(3)
    truth = generator.random((60, 2)) < 0.4
    given = truth.copy()
    given[20:22] = ~truth[20:22]
    truth[40:42] = True  # of two texts that nobody has labelled
    lines = ["text,joy,sad", *(f"text {row},{a:d},{b:d}" for row, (a, b) in enumerate(given))]
    lines[41:43] = ["text 40,,", "text 41,,"]
    scores = truth * 0.9 + 0.05 + generator.uniform(-0.02, 0.02, truth.shape)
    rows = [{"scores": {"joy": joy, "sad": sad}} for joy, sad in scores.tolist()]
    Path("train.csv").write_text("\n".join(lines) + "\n", "utf-8")
    Path("scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert main([*AUDIT[:4], "--output", "earlier"]) == 0
    with Path("earlier/corrections.csv").open(encoding="utf-8", newline="") as handle:
        table = list(csv.DictReader(handle))
    assert len(table) > 3
    for row in table[:3]:
        row["corrected"] = row["suggested"]
    with Path("filled.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    shutil.rmtree("earlier")
    return folder


def stopped(base: Path, number: int, words: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Return the folders in which a command was stopped, with its exit code, and one where it was not."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", STOPPING, str(int(number)), str(base), *words],
        cwd=base.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    codes = [int(line) for line in done.stdout.split()]
    assert len(codes) > 8
    assert codes[-1] == 0
    return [(base.parent / str(step), code) for step, code in enumerate(codes, start=1)]


def contents(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds, without the times in a record."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "log.txt":
            content = path.read_bytes()
            if path.name.endswith(".changes.jsonl"):
                entries = [json.loads(line) | {"time": ""} for line in content.splitlines()]
                content = json.dumps(entries).encode()
            found[str(path.relative_to(folder))] = content
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("is_second", [False, True])
def test_applying_leaves_the_old_files_or_the_new_ones_and_goes_on(
    base: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_second: bool
) -> None:
    if is_second:  # a copy with fewer decisions is there, with its record
        table = Path("filled.csv").read_text("utf-8")
        fewer = "".join(table.splitlines(keepends=True)[:2])
        Path("filled.csv").write_text(fewer, "utf-8")
        assert main(list(APPLY)) == 0
        Path("filled.csv").write_text(table, "utf-8")
    before = contents(base)
    *early, (whole, _) = stopped(base, number, APPLY)
    expected = contents(whole)
    assert expected.keys() - before.keys() <= {"new.csv", "new.csv.changes.jsonl"}

    for folder, code in early:
        found = contents(folder)
        is_killed = number == signal.SIGKILL
        assert code == (-number if is_killed else 130)
        kept = {name: value for name, value in found.items() if not name.startswith(".")}
        assert is_killed or kept == found
        for name, content in kept.items():
            assert content in (before.get(name), expected[name])
        if kept.get("new.csv") == expected["new.csv"]:
            assert kept["new.csv.changes.jsonl"] == expected["new.csv.changes.jsonl"]
        monkeypatch.chdir(folder)
        assert main(list(APPLY)) == 0
        assert contents(folder) == expected


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_audit_has_a_whole_table_or_none_and_resumes(
    base: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    *early, (whole, _) = stopped(base, number, AUDIT)
    expected = contents(whole)

    for folder, code in early:
        assert code == (-number if number == signal.SIGKILL else 130)
        found = contents(folder)
        is_finished = "a/audit.json" in found
        assert found.get("a/corrections.csv", b"") in (b"", expected["a/corrections.csv"])
        monkeypatch.chdir(folder)
        assert main(list(AUDIT)) == (2 if is_finished else 0)
        assert is_finished or contents(folder) == expected


def test_a_table_that_was_filled_in_before_its_audit_ended_is_not_replaced(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(AUDIT)) == 0
    Path("a/audit.json").unlink()  # as if it had been killed after the table
    assert main(list(AUDIT)) == 0
    Path("a/audit.json").unlink()
    shutil.copy("filled.csv", "a/corrections.csv")
    filled = Path("filled.csv").read_bytes()

    assert main(list(AUDIT)) == 2

    assert "has been filled in" in capsys.readouterr().err
    assert Path("a/corrections.csv").read_bytes() == filled
