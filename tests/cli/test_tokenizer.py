from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpora import stories, write_documents
from multihot.cli.main import main
from multihot.data.tokens import load_tokenizer


def _command(folder: Path, *more: str) -> list[str]:
    corpus = str(write_documents(folder / "a.jsonl", stories(40)))
    return ["tokenizer", corpus, "--vocab-size", "120", "--output", str(folder / "out"), *more]


def test_figures_go_to_stdout_and_notes_to_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(_command(tmp_path)) == 0

    out, err = capfd.readouterr()
    assert "pieces per word" in out
    assert "Corpus: 1 file, 1 of JSON lines." in err
    assert f"Saved the tokenizer to {tmp_path / 'out'}." in err
    tokenizer = load_tokenizer(tmp_path / "out" / "tokenizer.json")
    assert (
        tokenizer.encode("The OLD man").tokens[1:-1] == tokenizer.encode("the old man").tokens[1:-1]
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }


def test_cased_and_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(_command(tmp_path, "--cased", "--json", "--held-out", "0.3")) == 0

    found = json.loads(capfd.readouterr().out)
    assert found["vocabulary_size"] == 120
    assert found["unknown_rate"] == 0
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text("utf-8"))
    assert config["do_lower_case"] is False


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["nothing.txt"], "nothing.txt: There is no such file or folder"),
        (["--held-out", "1.5"], "--held-out 1.5; expected a number between 0 and 1"),
        (["--vocab-size", "7"], "vocab_size=7 is too small"),
        (["--encoding", "klingon"], "encoding=klingon is not a text encoding"),
    ],
)
def test_a_wrong_command_is_explained(
    tmp_path: Path, more: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(_command(tmp_path, *more)) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert text in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_folder_with_content_is_not_overwritten(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("")

    assert main(_command(tmp_path)) == 2
    assert "exists and is not empty" in capfd.readouterr().err
