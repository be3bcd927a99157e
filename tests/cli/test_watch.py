"""`multihot watch`."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from emotions import TEXTS, write_jsonl
from multihot.cli.main import main


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> str:
    return str(shutil.copytree(tiny_model, tmp_path / "model"))


def written(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return str(path)


def test_a_trained_model_knows_the_rows_that_it_is_compared_with(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = written(tmp_path / "new.jsonl", list(TEXTS))

    assert main(["watch", model, texts, "--json"]) == 0

    document = json.loads(capfd.readouterr().out)
    assert list(document) == [
        "rows",
        "fitted_rows",
        "source",
        "level",
        "decide_again",
        "measures",
        "labels",
        "too_rare",
    ]
    assert document["rows"] == len(TEXTS)
    assert document["decide_again"] is False
    assert list(document["measures"]) == [
        "without_label",
        "with_unknown_tokens",
        "truncated",
        "median_length",
        "pieces_per_word",
    ]


def test_other_texts_are_told_and_checked(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = [f"{word} 你好 {word}" for word in ("zyx", "wvu") for _ in range(150)]
    texts = written(tmp_path / "new.jsonl", other)

    assert main(["watch", model, texts, "--check"]) == 3

    out, _ = capfd.readouterr()
    assert "300 texts, compared with" in out
    assert "Changed: " in out
    assert "run 'multihot decide' on them" in out


def test_texts_come_from_standard_input_too(
    model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(TEXTS)))

    assert main(["watch", model, "-"]) == 0

    assert f"{len(TEXTS)} texts" in capfd.readouterr().out


def test_a_model_without_facts_says_so_and_decide_adds_them(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = Path(model) / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    del content["fitting_facts"]
    path.write_text(json.dumps(content), "utf-8")
    texts = written(tmp_path / "new.jsonl", list(TEXTS))

    assert main(["watch", model, texts]) == 2
    assert "has no 'fitting_facts'" in capfd.readouterr().err

    assert main(["decide", model, str(write_jsonl(tmp_path / "rows.jsonl"))]) == 0
    assert main(["watch", model, texts]) == 0


def test_a_file_without_texts_is_refused(
    model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    assert main(["watch", model, "-"]) == 2

    assert "There is no text" in capfd.readouterr().err


def test_a_seed_below_0_is_refused(model: str, tmp_path: Path) -> None:
    assert main(["watch", model, written(tmp_path / "new.jsonl", ["a text"]), "--seed", "-1"]) == 2


def test_blank_lines_of_standard_input_are_empty_texts(
    model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"  \n\n"), encoding="utf-8"))

    assert main(["watch", model, "-", "--json"]) == 0

    assert json.loads(capfd.readouterr().out)["rows"] == 2
