from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from multihot.core.block_output import (
    BlockOutput,
    BlockRecord,
    check_beginning,
    partial_path,
    read_block_record,
    record_path,
)
from multihot.errors import OptionError

FRESH = BlockRecord({"model": "a" * 64, "rows": 30}, 0, 30)
WHOLE = "header\n" + "".join(f"row {number}\n" for number in range(30))

WRITER = """
import os, signal, sys
from pathlib import Path
from multihot.core.block_output import BlockOutput, BlockRecord

left = int(sys.argv[2])

def dying(original):
    def call(*arguments, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **more)
    return call

os.fsync, os.replace = dying(os.fsync), dying(os.replace)
fresh = BlockRecord({"model": "a" * 64, "rows": 30}, 0, 30)
with BlockOutput(Path(sys.argv[1]), fresh, resume=True) as output:
    if not output.record.finished:
        if not output.record.sha256:
            output.write("header\\n")
            output.end_header()
        for begin in range(output.record.done_rows, 30, 10):
            for row in range(begin, begin + 10):
                output.write(f"row {row}\\n")
            output.commit(10)
        output.finish()
"""


def write(path: Path, blocks: range, *, resume: bool = False, ends: bool = False) -> None:
    with BlockOutput(path, FRESH, resume=resume) as output:
        if not output.record.sha256:
            output.write("header\n")
            output.end_header()
        for block in blocks:
            output.write("".join(f"row {row}\n" for row in range(block * 10, block * 10 + 10)))
            output.commit(10)
        if ends:
            output.finish()


@pytest.mark.slow
def test_whatever_moment_it_is_killed_at_it_continues_to_the_same_file(tmp_path: Path) -> None:
    for moment in range(1, 40):
        path = tmp_path / f"{moment}.csv"
        codes = []
        # The second process is killed a little later than the first, the third not at all.
        for left in (moment, moment + 3, 0):
            command = [sys.executable, "-c", WRITER, str(path), str(left)]
            codes.append(subprocess.run(command, check=False).returncode)
        assert codes[-1] == 0
        assert path.read_text("utf-8") == WHOLE
        assert read_block_record(record_path(path)).finished
        assert sorted(each.name for each in tmp_path.glob(f"{moment}.csv*")) == [
            f"{moment}.csv",
            f"{moment}.csv.record.json",
        ]
        if codes == [0, 0, 0]:
            assert moment > 10  # every moment of a run has been tried
            return
    raise AssertionError("no run came to its end")


def test_what_a_kill_left_behind_the_last_block_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write(path, range(1))
    with partial_path(path).open("a", encoding="utf-8") as handle:
        handle.write("row 10\nrow 1")

    write(path, range(1, 3), resume=True, ends=True)

    assert path.read_text("utf-8") == WHOLE


def test_blocks_that_were_changed_are_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write(path, range(2))
    partial = partial_path(path)
    partial.write_text(partial.read_text("utf-8").replace("row 3", "row 4"), "utf-8")
    before = partial.read_bytes()

    with pytest.raises(OptionError, match="changed"):
        write(path, range(2, 3), resume=True)
    assert partial.read_bytes() == before


def test_an_output_made_from_something_else_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write(path, range(1))
    other = BlockRecord({"model": "b" * 64, "rows": 30}, 0, 30)

    with pytest.raises(OptionError, match=r"the model folder is aaaaaaaaaaaa\.\.\. there and bbbb"):
        BlockOutput(path, other, resume=True)
    write(path, range(1, 3), resume=True, ends=True)
    assert path.read_text("utf-8") == WHOLE


def test_only_one_process_writes_an_output(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with (
        BlockOutput(path, FRESH, resume=True),
        pytest.raises(OptionError, match="another process"),
    ):
        BlockOutput(path, FRESH, resume=True)


def test_what_is_there_is_only_touched_when_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write(path, range(1))
    with pytest.raises(OptionError, match="10 of 30 rows"):
        check_beginning(path, "--output", resume=False, force=False)
    write(path, range(1, 3), resume=True, ends=True)
    with pytest.raises(OptionError, match="exists"):
        check_beginning(path, "--output", resume=False, force=False)
    with pytest.raises(OptionError, match="one of them"):
        check_beginning(path, "--output", resume=True, force=True)
    record_path(path).unlink()
    with pytest.raises(OptionError, match="exists without"):
        check_beginning(path, "--output", resume=True, force=False)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format_version": 2}', "\x00"])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "out.csv"
    write(path, range(1))
    record_path(path).write_text(content, "utf-8")

    with pytest.raises(OptionError, match="no record"):
        BlockOutput(path, FRESH, resume=True)


def test_a_record_says_what_is_certain(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write(path, range(2))

    content = json.loads(record_path(path).read_text("utf-8"))
    assert (content["done_rows"], content["num_rows"], content["header_bytes"]) == (20, 30, 7)
    assert content["done_bytes"] == partial_path(path).stat().st_size
    assert content["finished"] is False
