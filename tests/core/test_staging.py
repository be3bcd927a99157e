"""What is written aside, and what killed processes left of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from multihot.core.files import write_text
from multihot.core.staging import (
    check_new_folder,
    put_in_place,
    remove_leftovers,
    staged_file,
    staged_folder,
)
from multihot.errors import OptionError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows tells nothing about a process")


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_a_process_that_is_gone_left_beside_a_file_is_removed(
    tmp_path: Path, gone: int
) -> None:
    for name in (f".a.csv.{gone}.tmp", f".a.csv.{gone}-1.tmp"):
        (tmp_path / name).write_text("half", "utf-8")
    (tmp_path / f".a.csv.{gone}.0123abcd").mkdir()
    (tmp_path / f".a.csv.{gone}.0123abcd" / "part").touch()

    write_text(tmp_path / "a.csv", "new")

    assert names(tmp_path) == {"a.csv"}


def test_only_names_of_our_own_form_are_removed(tmp_path: Path, gone: int) -> None:
    kept = {
        f".b.csv.{gone}.tmp",
        f"a.csv.{gone}.tmp",
        f".a.csv.{gone}.tmp2",
        f".a.csv.{gone}.0123abcd",  # a file where a folder would be ours
        ".a.csv.tmp",
        ".a.csv.x1.tmp",
    }
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / f".a.csv.{gone}-2.tmp").mkdir()
    (tmp_path / f".a.csv.{gone}-3.tmp").symlink_to(tmp_path / ".a.csv.tmp")

    remove_leftovers(tmp_path / "a.csv")

    assert names(tmp_path) == {*kept, f".a.csv.{gone}-2.tmp", f".a.csv.{gone}-3.tmp"}


def test_what_a_process_still_writes_stays(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        theirs = tmp_path / f".a.csv.{process.pid}.tmp"
        theirs.touch()

        remove_leftovers(tmp_path / "a.csv")

        assert theirs.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")
def test_a_number_that_another_process_has_by_now_protects_nothing(tmp_path: Path) -> None:
    mine = tmp_path / f".a.csv.{os.getpid()}.tmp"
    mine.touch()
    long_ago = time.time() - 10**7
    os.utime(mine, (long_ago, long_ago))

    remove_leftovers(tmp_path / "a.csv")

    assert not mine.exists()


def test_what_is_locked_stays_whatever_its_number(tmp_path: Path, gone: int) -> None:
    # A process in another container or on another machine has a number that means nothing here.
    with staged_file(tmp_path / "a.csv") as temporary, staged_folder(tmp_path / "a.csv") as stage:
        theirs = temporary.rename(tmp_path / f".a.csv.{gone}.tmp")
        folder = stage.rename(tmp_path / f".a.csv.{gone}.0123abcd")

        remove_leftovers(tmp_path / "a.csv")

        assert theirs.exists()
        assert folder.exists()
    remove_leftovers(tmp_path / "a.csv")
    assert names(tmp_path) == set()


def test_two_that_write_the_same_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with staged_file(tmp_path / "a") as first, staged_file(tmp_path / "a") as second:
        first.write_text("first", "utf-8")
        second.write_text("second", "utf-8")

        assert first.read_text("utf-8") == "first"
        assert names(tmp_path) == {first.name, second.name}
    assert names(tmp_path) == set()


def test_a_staged_folder_replaces_an_empty_one_and_joins_a_full_one(tmp_path: Path) -> None:
    target = tmp_path / "parts"
    target.mkdir()
    for content in ("old", "new"):
        with staged_folder(target) as stage:
            (stage / "sub").mkdir()
            (stage / "sub" / "a").write_text(content, "utf-8")
            put_in_place(stage, target)
        (target / "other").touch()

    assert (target / "sub" / "a").read_text("utf-8") == "new"
    assert names(target) == {"sub", "other"}
    assert names(tmp_path) == {"parts"}


def test_a_folder_can_be_written_where_nothing_or_an_empty_one_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full" / "mine").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "circle").symlink_to("circle")

    for name in ("new", "empty", "link"):
        check_new_folder(tmp_path / name)
    for name in ("full", "file", "nowhere", "circle"):
        with pytest.raises(OptionError, match=str(tmp_path / name)):
            check_new_folder(tmp_path / name)


def test_a_link_to_an_empty_folder_stays_and_leads_to_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "empty").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "empty")

    with staged_folder(tmp_path / "link") as stage:
        (stage / "a").write_text("new", "utf-8")
        put_in_place(stage, tmp_path / "link")

    assert (tmp_path / "elsewhere" / "empty" / "a").read_text("utf-8") == "new"
    assert names(tmp_path) == {"elsewhere", "link"}


@pytest.mark.parametrize("name", [".", "../here"])
def test_the_current_folder_can_be_written_and_stays_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = os.stat(".").st_ino

    with staged_folder(Path(name)) as stage:
        (stage / "a").touch()
        put_in_place(stage, Path(name))

    assert names(Path.cwd()) == {"a"}
    assert os.stat(tmp_path / "here").st_ino == before


def test_the_root_of_the_file_system_is_no_place_to_write() -> None:
    with pytest.raises(OptionError), staged_folder(Path("/")):
        raise AssertionError("nothing is staged there")


def test_a_name_that_was_put_in_place_is_not_given_to_another_that_it_could_be_removed_from(
    tmp_path: Path,
) -> None:
    with staged_file(tmp_path / "a") as first:
        first.replace(tmp_path / "a")
        second = staged_file(tmp_path / "a")
        later = second.__enter__()
    assert later.is_file()
    second.__exit__(None, None, None)
