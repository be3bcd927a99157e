from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from emotions import LABELS, write_jsonl
from multihot.cli.main import main


def test_files_are_inspected_together(
    tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = write_jsonl(tmp_path / "train.jsonl")
    dev = write_jsonl(tmp_path / "dev.jsonl", slice(0, 12))
    arguments = ["inspect", str(train), str(dev), "--encoder", str(tiny_encoder)]

    assert main(arguments) == 0

    out, err = capfd.readouterr()
    assert all(label in out for label in LABELS)
    assert err == ""
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["files"][0]["rows"] == 48


def test_a_model_is_summarised(tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_model)]) == 0
    assert "mean pooling" in capfd.readouterr().out
    assert main(["inspect", str(tiny_model), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["labels"] == list(LABELS)
    assert found["fitted_rows"] == 24


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["no.csv"], "no.csv: There is no such file"),
        (["data.header=false"], "Give at least one file or model folder to inspect"),
        (["ROWS", "data.text_column=x"], "There is no column 'x' (data.text_column)"),
        (["ROWS", "data.text_colum=x"], "Did you mean 'data.text_column'?"),
        (["ROWS", "--encoder", "no/such"], "no/such"),
        (["HERE"], "This is a folder"),
        (["ROWS", "--max-length", "0"], "max_length=0; expected a number of tokens, more than 0"),
        (["PIPE"], "pipe.csv: This is a pipe or a device; a file is expected"),
        (["MODEL", "MODEL"], "is a model folder: inspect one model at a time"),
        (["ROWS", "MODEL"], "is a model folder: inspect one model at a time, without files"),
        (
            ["MODEL", "data.header=false"],
            "data.KEY=VALUE, --encoder and --max-length apply to data files",
        ),
        (
            ["MODEL", "--max-length", "9"],
            "data.KEY=VALUE, --encoder and --max-length apply to data files",
        ),
        (["MODEL", "--encoder", "starter"], "apply to data files only"),
    ],
)
def test_a_wrong_command_is_explained(
    tiny_model: Path,
    tmp_path: Path,
    arguments: list[str],
    text: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if "PIPE" in arguments:
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no named pipes here")
        os.mkfifo(tmp_path / "pipe.csv")
    places = {
        "ROWS": str(write_jsonl(tmp_path / "rows.jsonl")),
        "HERE": str(tmp_path),
        "MODEL": str(tiny_model),
        "PIPE": str(tmp_path / "pipe.csv"),
    }

    code = main(["inspect", *(places.get(word, word) for word in arguments)])

    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    assert err.splitlines()[-1].startswith("multihot inspect: ")
    assert text in err
