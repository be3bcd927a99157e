"""`multihot doctor`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from importing.checkpoints import change_json, write_checkpoint, write_rows
from multihot.cli.main import main


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "bert")


def _softmax(folder: Path) -> None:
    change_json(folder / "config.json", lambda table: table.pop("problem_type"))


def test_a_sound_checkpoint_ends_with_0(
    checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(checkpoint)]) == 0

    out, err = capfd.readouterr()
    assert "3 labels (joy, anger, rain), texts of up to 64 tokens" in out
    assert "No problem was found (1 note)." in out
    assert err == ""


def test_problems_end_with_3_and_say_what_why_and_what_to_do(
    checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _softmax(checkpoint)

    assert main(["doctor", str(checkpoint)]) == 3

    lines = capfd.readouterr().out.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("error"))
    assert "problem_type_missing" in lines[first]
    assert "softmax" in lines[first + 1]
    assert lines[first + 2].endswith("(--fix does it)")


def test_json_is_one_document_also_with_fix(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _softmax(checkpoint)
    output = tmp_path / "copy"

    assert main(["doctor", str(checkpoint), "--fix", "--output", str(output), "--json"]) == 0

    document = json.loads(capfd.readouterr().out)
    assert list(document) == [
        "checkpoint",
        "kind",
        "family",
        "labels",
        "max_length",
        "problems",
        "findings",
        "was_loaded",
        "label_order",
        "output",
        "corrected",
        "decision",
    ]
    assert list(document["findings"][0]) == [
        "code",
        "severity",
        "file",
        "what",
        "why",
        "do",
        "fix",
    ]
    assert (document["problems"], document["corrected"]) == (1, ["problem_type_missing"])
    assert document["output"] == str(output)
    assert main(["doctor", str(output)]) == 0


def test_with_a_file_a_model_is_written_and_what_is_left_ends_with_3(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = str(write_rows(tmp_path / "rows.csv"))
    output = str(tmp_path / "model")

    words = ["--fix", "--output", output, "--goal", "macro_f1", "--thresholds", "per_label"]
    code = main(["doctor", str(checkpoint), rows, *words])

    # Its head knows nothing of these labels.
    err = capfd.readouterr().err
    assert code == 3
    assert "Not corrected: scores_do_not_fit." in err
    assert main(["doctor", output]) == 0
    assert main(["predict", output, "i am happy"]) == 0


def test_a_copy_is_written_also_when_nobody_reads_the_findings(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        code = main(["doctor", str(checkpoint), "--fix", "--output", str(tmp_path / "copy")])

    assert code == 0
    assert (tmp_path / "copy" / "config.json").exists()


def test_what_blocks_is_said_and_nothing_is_written(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(b"")

    words = ["--fix", "--output", str(tmp_path / "copy"), "--json"]
    assert main(["doctor", str(checkpoint), *words]) == 3

    out, err = capfd.readouterr()
    assert "--fix cannot correct pickle_only" in err
    assert json.loads(out)["output"] is None
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fix"], "--fix needs --output"),
        (["--output", "x"], "--output is written by --fix"),
        (["--goal", "macro_f1"], "--goal is for --fix with a file"),
        (["a.csv", "b.csv"], "Give one file"),
        (["missing.csv"], "missing.csv"),
        (["epochs=3"], "'epochs' is not an option of this command"),
    ],
)
def test_options_that_do_not_go_together_are_explained(
    checkpoint: Path, capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["doctor", str(checkpoint), *words]) == 2

    assert message in capfd.readouterr().err


def test_what_is_no_checkpoint_ends_with_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in (tmp_path, tmp_path / "missing", "no-such-model-anywhere"):
        assert main(["doctor", str(name)]) == 2
        assert capfd.readouterr().err.startswith("multihot doctor: ")
