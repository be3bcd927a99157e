from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from emotions import LABELS, write_jsonl
from multihot.cli.main import main


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", slice(24, 48))


def test_the_report_goes_to_stdout_and_the_rest_to_stderr(
    tiny_model: Path, rows: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tiny_model), str(rows)]) == 0

    out, err = capfd.readouterr()
    assert re.search(r"jaccard +1\.000 \(0\.862 to 1\.000\)", out)
    assert all(label in out for label in LABELS)
    assert "24 texts." in out
    assert "Texts: column 'text'; ids: column 'id'." in err


def test_json_is_one_document_on_stdout(
    tiny_model: Path, rows: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tiny_model), str(rows), "--json"]) == 0

    out, err = capfd.readouterr()
    found = json.loads(out)
    assert found["rows"] == 24
    assert found["fitted_here"] is False
    jaccard = found["metrics"]["jaccard"]
    assert jaccard == {"value": 1.0, "low": pytest.approx(0.862, abs=1e-3), "high": 1.0, "error": 0}
    assert list(found["labels"]) == list(LABELS)
    assert "24 texts." in err


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_reliability_diagrams_are_drawn(
    tiny_model: Path, rows: Path, tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / f"r.{ending}"
    arguments = ["evaluate", str(tiny_model), str(rows), "--json", "--reliability", str(picture)]

    assert main(arguments) == 0

    out, err = capfd.readouterr()
    assert f"Reliability diagrams: {picture}" in err
    assert set(json.loads(out)["labels"]["joy"]["reliability"][0]) >= {"mean_score", "share_true"}
    drawn = picture.read_bytes()
    assert main(arguments) == 2
    assert "--force" in capfd.readouterr().err
    assert picture.read_bytes() == drawn
    assert main([*arguments, "--force"]) == 0
    assert picture.read_bytes()[:5] == {"png": b"\x89PNG\r", "svg": b"<?xml"}[ending]
    assert [path.name for path in tmp_path.glob(".*")] == []
    (tmp_path / f"folder.{ending}").mkdir()
    assert main([*arguments[:-1], str(tmp_path / f"folder.{ending}"), "--force"]) == 2


def test_a_file_that_is_held_in_memory_is_said_aloud(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "1", "text": "happy today", "labels": ["joy"]}\n' * 2, "utf-8")

    assert main(["evaluate", str(tiny_model), str(path), "--json", "data.group_by=id"]) == 0

    out, err = capfd.readouterr()
    assert json.loads(out)["rows"] == 1
    assert "The whole file is held in memory: data.group_by needs all rows." in err


def test_rows_that_fitted_the_thresholds_are_said_aloud(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(tmp_path / "dev.jsonl", slice(0, 24))

    assert main(["evaluate", str(tiny_model), str(path), "--json"]) == 0

    out, err = capfd.readouterr()
    assert json.loads(out)["fitted_here"] is True
    assert "The decision was fitted on 24 of these texts: the figures are optimistic." in err


def test_a_threshold_for_this_call_is_used(
    tiny_model: Path, rows: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--threshold", "0", str(tiny_model), str(rows), "--json"]) == 0

    found = json.loads(capfd.readouterr().out)
    assert found["metrics"]["micro_recall"]["value"] == 1
    assert {label["threshold"] for label in found["labels"].values()} == {0}


def test_how_a_file_is_read_can_be_changed(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Tweet;fear;joy;love\nhappy today;0;1;0\nlove you;0;0;1\n", "utf-8")
    arguments = ["evaluate", str(tiny_model), str(path), "--json", "data.text_column=Tweet"]

    assert main(arguments) == 2
    assert "There is no column 'labels' (data.label_column)" in capfd.readouterr().err
    assert main([*arguments, "data.label_column=none"]) == 0
    assert json.loads(capfd.readouterr().out)["labels"]["joy"]["support"] == 1


@pytest.mark.parametrize("content", ["fear\njoy\nlove\n", "love\njoy\nfear\n"])
def test_indices_keep_their_meaning_from_anywhere(
    tiny_encoder: Path,
    tmp_path: Path,
    content: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A names file is given once, to training; the model remembers what the indices meant."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir()
    elsewhere.mkdir()
    order = content.split()
    texts = {"scared": "fear", "happy": "joy", "in love": "love"}
    lines = [f'{{"text": "{text}", "labels": [{order.index(n)}]}}' for text, n in texts.items()]
    (work / "names.txt").write_text(content, "utf-8")
    (work / "t.jsonl").write_text("\n".join(lines * 4), "utf-8")
    monkeypatch.chdir(work)
    arguments = ["--encoder", str(tiny_encoder), "--validation", "t.jsonl", "--output", "m"]
    arguments += ["data.label_names=names.txt", "epochs=1", "device=cpu", "threads=1"]
    assert main(["train", "t.jsonl", *arguments]) == 0
    (work / "names.txt").unlink()
    monkeypatch.chdir(elsewhere)
    (elsewhere / "names.txt").write_text("no\nsuch\nnames\n", "utf-8")
    capfd.readouterr()

    assert main(["evaluate", str(work / "m"), str(work / "t.jsonl"), "--json"]) == 0

    out, err = capfd.readouterr()
    assert list(json.loads(out)["labels"]) == order
    assert json.loads(out)["rows_fitted"] == 12
    assert "They are 0-based indices into 3 label names." in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no", "ROWS"], "no: there is no such folder; expected a model folder"),
        (["HERE", "ROWS"], "has no thresholds.json, so it is no finished model"),
        (["MODEL", "no.csv"], "no.csv: There is no such file"),
        (
            ["MODEL", "ROWS", "epochs=1"],
            "'epochs' is not an option of this command; only data.KEY=VALUE is",
        ),
        (["MODEL", "ROWS", "data=1"], "'data' is a table; set 'data.NAME' instead"),
        (["MODEL", "ROWS", "more"], "'more' is not an option: write key=value"),
        (["MODEL", "ROWS", "--threshold", "2"], "'threshold' is 2.0; expected a number between"),
        (["MODEL", "ROWS", "--threshold", "nan"], "'threshold' is nan"),
        (
            ["MODEL", "ROWS", "--reliability", "r.txt"],
            "expected a name that ends in .png, .svg, .pdf",
        ),
        (["MODEL", "ROWS", "--device", "gpu"], "device='gpu' is not a device"),
        (["MODEL", "ROWS", "data.text_column=x"], "There is no column 'x' (data.text_column)"),
    ],
)
def test_a_wrong_command_is_explained(
    tiny_model: Path,
    rows: Path,
    arguments: list[str],
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    places = {"MODEL": str(tiny_model), "ROWS": str(rows), "HERE": str(rows.parent)}

    code = main(["evaluate", *(places.get(word, word) for word in arguments)])

    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    assert err.splitlines()[-1].startswith("multihot evaluate: ")
    assert words in err
    assert "Traceback" not in err


def test_a_label_that_the_model_does_not_know_is_named_with_its_line(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"text": "a", "labels": ["joy"]}\n{"text": "b", "labels": ["anger"]}\n', "utf-8"
    )

    assert main(["evaluate", str(tiny_model), str(path)]) == 2
    assert "t.jsonl:2, column 'labels': The label 'anger' is not among" in capfd.readouterr().err
