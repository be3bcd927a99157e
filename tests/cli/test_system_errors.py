"""What the system refuses is one sentence and an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from emotions import write_jsonl
from multihot.cli.main import main
from multihot.inference.artifact import load_artifact

ROWS = "text,a,b\n" + "".join(f"text number {n},{n % 2},{int(n % 3 == 0)}\n" for n in range(60))
NOBODY = 65534
LONG = "x" * 5000


def message(capfd: pytest.CaptureFixture[str]) -> str:
    """Return what was said, which explains itself."""
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert "internal error" not in err
    return err


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that users without any rights can enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    (folder / "ok.csv").write_text(ROWS, "utf-8")
    (folder / "hidden.csv").write_text(ROWS, "utf-8")
    (folder / "hidden.csv").chmod(0)
    (folder / "locked").mkdir()
    (folder / "locked").chmod(0)
    (folder / "fixed").mkdir()
    (folder / "fixed").chmod(0o555)
    yield folder
    (folder / "locked").chmod(0o777)
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
@pytest.mark.parametrize(
    ("words", "code", "place"),
    [
        (["inspect", "hidden.csv"], 2, "hidden.csv"),
        (["inspect", "locked/x.csv"], 2, "locked/x.csv"),
        (["predict", "locked/model", "text"], 2, "locked/model"),
        (["split", "ok.csv", "--output", "fixed/parts"], 1, "fixed/parts"),
        (["split", "ok.csv", "--output", "locked/parts"], 2, "locked/parts"),
        (["split", "locked/x.csv", "--output", "parts"], 2, "locked/x.csv"),
    ],
)
def test_a_refused_file_is_named(
    shared_folder: Path, words: list[str], code: int, place: str
) -> None:
    command = [sys.executable, "-m", "multihot", *words]
    if os.geteuid() == 0:  # whom nothing is refused
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
    done = subprocess.run(
        command,
        cwd=shared_folder,
        env={**os.environ, "HOME": str(shared_folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "multihot " not in done.stderr:
        pytest.skip("another user cannot read this package")

    last = done.stderr.splitlines()[-1]
    assert done.returncode == code
    assert last.startswith(f"multihot {words[0]}: ")
    assert place in last
    assert "Permission denied" in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", f"{LONG}.csv"],
        ["inspect", LONG],
        ["predict", LONG, "text"],
        ["predict", "model", "--input", "ok.csv", "--output", f"{LONG}.csv"],
        ["split", f"{LONG}.csv", "--output", "parts"],
        ["split", "ok.csv", "--output", LONG],
        ["split", "ok.csv", "--output", "parts", "--parts", f"{LONG}=1,b=1"],
        ["evaluate", LONG, "ok.csv"],
        ["tokenizer", LONG, "--output", "new"],
    ],
)
def test_a_name_that_is_too_long_is_cut_in_a_sentence(
    tmp_path: Path,
    words: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ok.csv").write_text(ROWS, "utf-8")

    assert main(words) in (1, 2)

    err = message(capfd)
    assert "too long" in err
    assert LONG not in err
    assert [path.name for path in tmp_path.iterdir()] == ["ok.csv"]


def test_an_output_may_be_named_as_long_as_the_system_allows(
    tiny_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"{'y' * 251}.csv"

    assert main(["predict", str(tiny_model), "text", "--output", str(target)]) == 0
    assert target.is_file()


@pytest.mark.parametrize("ending", ["csv", "xlsx", "csv.gz"])
def test_a_disk_that_fills_up_in_a_split_leaves_nothing(
    tmp_path: Path,
    ending: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    resource = pytest.importorskip("resource")
    pandas = pytest.importorskip("pandas")
    rows = [(os.urandom(40).hex(), n % 2, int(n % 3 == 0)) for n in range(2000)]
    table = pandas.DataFrame(rows, columns=["text", "a", "b"])
    if ending == "xlsx":
        pytest.importorskip("openpyxl")
        table.to_excel(tmp_path / "all.xlsx", index=False)
    else:
        table.to_csv(tmp_path / f"all.{ending}", index=False)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # as a disk without more room
    try:
        code = main(["split", str(tmp_path / f"all.{ending}"), "--output", str(tmp_path / "parts")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert code == 1
    err = message(capfd)
    assert f"Cannot write {tmp_path / 'parts'}" in err
    assert "free some space" in err
    assert [path.name for path in tmp_path.iterdir()] == [f"all.{ending}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["predict", "model", "--input", "all.csv", "--output", "o.csv", "--force"], "o.csv"),
        (["predict", "model", "--input", "all.csv", "--output", "o.jsonl", "--force"], "o.jsonl"),
        (["predict", "model", "--input", "all.csv", "--output", "o.xlsx", "--force"], "o.xlsx"),
        (["evaluate", "model", "all.jsonl", "--reliability", "o.png", "--force"], "o.png"),
        (["decide", "model", "all.jsonl", "--goal", "micro_f1"], "model/thresholds.json"),
        (["split", "all.csv", "--output", "parts", "--force"], "parts/train.csv"),
        (["tokenizer", "corpus.txt", "--output", "new", "--vocab-size", "60"], "new"),
    ],
)
def test_a_disk_that_fills_up_leaves_the_old_output_and_nothing_beside_it(
    words: list[str],
    output: str,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = pytest.importorskip("resource")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "model")
    names = load_artifact("model").decision.space.names
    rows = [
        [f"text number {n}", *(str(int(n % 3 == k)) for k in range(len(names)))] for n in range(60)
    ]
    lines = [",".join(row) for row in [["text", *names], *rows]]
    Path("all.csv").write_text("\n".join(lines) + "\n", "utf-8")
    write_jsonl(tmp_path / "all.jsonl")
    Path("corpus.txt").write_text("\n\n".join(" ".join(lines) + str(n) for n in range(60)), "utf-8")
    if "/" not in output and output != "new":
        Path(output).write_text("old", "utf-8")
    assert main(["split", "all.csv", "--output", "parts"]) == 0
    Path("scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", "scratch")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))  # as a disk without more room
    try:
        code = main(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"Cannot write {output.partition('/')[0]}" in last
    assert "free some space" in last
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["help"], 1),
        (["version"], 1),
        (["train", "--help"], 1),
        (["options"], 1),
        (["completion", "bash"], 1),
        (["inspect", "ok.csv"], 1),
        (["inspect", "ok.csv", "--json"], 1),
        (["split", "ok.csv", "--output", "parts", "--json"], 1),
        (["predict", "model"], 2),
    ],
)
def test_a_full_standard_output_is_an_error_and_full_messages_are_none(
    tmp_path: Path, words: list[str], code: int
) -> None:
    (tmp_path / "ok.csv").write_text(ROWS, "utf-8")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "multihot", *words],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        silent = subprocess.run(
            [sys.executable, "-m", "multihot", *words, *(["--force"] if "split" in words else [])],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=full,
            check=False,
        )

    assert done.returncode == code
    if code == 1:
        (said,) = [line for line in done.stderr.splitlines() if "standard output" in line]
        assert said.startswith("multihot")
        assert said.endswith(": standard output cannot be written: No space left on device.")
    assert "Traceback" not in done.stderr
    assert silent.returncode == (0 if code == 1 else code)


def test_a_table_that_vanishes_while_it_is_split_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "all.csv").write_text(ROWS, "utf-8")

    def vanish(*_: object) -> None:
        raise FileNotFoundError(
            errno.ENOENT, "No such file or directory", str(tmp_path / "all.csv")
        )

    monkeypatch.setattr("multihot.workflows.split.copy_rows", vanish)

    assert main(["split", str(tmp_path / "all.csv"), "--output", str(tmp_path / "parts")]) == 2
    assert f"{tmp_path / 'all.csv'}: The file cannot be read: No such file" in message(capfd)
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]


def test_a_cache_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from multihot.data.array_store import cache_folder
    from multihot.errors import OptionError

    monkeypatch.setenv("MULTIHOT_CACHE", "~no-such-user-here/cache")

    with pytest.raises(OptionError, match="MULTIHOT_CACHE=~no-such-user-here"):
        cache_folder()


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_what_is_written_does_not_depend_on_who_reads_the_messages(
    tmp_path: Path, closed: str
) -> None:
    (tmp_path / "corpus.txt").write_text(
        "\n\n".join(["six words are enough for this"] * 60), "utf-8"
    )
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "multihot", "tokenizer", "corpus.txt", "--output", "new"],
        cwd=tmp_path,
        check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: writer},
    )
    os.close(writer)

    assert done.returncode == 0
    assert not done.stderr or b"Traceback" not in done.stderr
    assert (tmp_path / "new" / "vocab.txt").exists()


def test_a_system_that_starts_no_thread_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from multihot.cli import inspect

    def refused(arguments: object) -> int:
        raise RuntimeError("can't start new thread")  # as `threading` says it

    monkeypatch.setattr(inspect, "run", refused)

    assert main(["inspect", "all.csv"]) == 1
    assert "ulimit -u" in message(capfd)
