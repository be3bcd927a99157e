from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from emotions import LABELS, write_jsonl
from multihot.cli.main import main


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", slice(24, 48))


def test_the_page_and_the_numbers_come_from_one_evaluation(
    tiny_model: Path, rows: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page, document = tmp_path / "report.html", tmp_path / "report.json"
    train = write_jsonl(tmp_path / "train.jsonl", slice(0, 26))
    arguments = ["report", str(tiny_model), str(rows), "--train", str(train)]

    assert main([*arguments, "--output", str(page), "--json"]) == 0

    out, err = capfd.readouterr()
    assert f"Report: {page}" in err
    found = json.loads(out)
    assert main(["evaluate", str(tiny_model), str(rows), "--json"]) == 0
    evaluation = json.loads(capfd.readouterr().out)
    for label in found["evaluation"]["labels"].values():
        del label["reliability"]
    assert found["evaluation"] == evaluation
    assert [file["rows"] for file in found["data"]["files"]] == [26, 24]
    assert found["data"]["leaks"][0]["equal"]["rows"] == 2
    assert found["details"]["joy"]["threshold_spread"] is not None
    assert set(found["shifts_from_fitting"]) == set(LABELS)
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert "Since the decision was fitted" in page.read_text("utf-8")

    assert main([*arguments, "--output", str(document)]) == 0
    written = json.loads(document.read_text("utf-8"))
    assert written["details"] == found["details"]


def test_files_alone_are_inspected(
    rows: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "data.html"

    assert main(["report", str(rows), str(rows), "--output", str(page), "--json"]) == 0

    found = json.loads(capfd.readouterr().out)
    assert found["model"] is None
    assert len(found["data"]["files"]) == 2
    assert "Texts in two files" in page.read_text("utf-8")


def test_what_is_missing_is_said_before_anything_is_computed(
    tiny_model: Path, rows: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"text": "happy today"}\n', "utf-8")
    page = tmp_path / "report.html"
    page.write_text("mine", "utf-8")
    model, file, new = str(tiny_model), str(rows), str(tmp_path / "new.html")
    for arguments, expected in (
        ([model, str(bare), "--output", new], "label"),
        ([model, file, "--label", "no-such", "--output", new], "Unknown label 'no-such'"),
        ([model, "--output", new], "give it one file of labelled texts"),
        ([file, model, "--output", new], "give the model first"),
        ([file, "--train", file, "--output", new], "--train belongs to a model"),
        ([model, file, "--output", "report.pdf"], ".html or .json"),
        ([model, file, "--output", str(page)], "--force"),
        ([str(tmp_path), file, "--output", new], "no thresholds.json"),
        ([model, file, "--train", "no.csv", "--output", new], "no.csv: There is no such file"),
    ):
        assert main(["report", *arguments]) == 2
        assert expected in capfd.readouterr().err
    assert page.read_text("utf-8") == "mine"
    assert not Path(new).exists()


def test_a_place_that_cannot_be_written_is_told_before_the_model_is_read(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    page = rows / "new" / "report.html"
    locked = tmp_path / "locked" / "report.html"
    locked.parent.mkdir()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked.parent and may(path, mode))

    assert main(["report", "no-model", str(rows), "--output", str(page)]) == 1
    assert f"Cannot write {page}: {rows} is no folder" in capfd.readouterr().err
    assert main(["report", "no-model", str(rows), "--output", str(locked)]) == 1
    assert f"the folder {locked.parent} may not be written to" in capfd.readouterr().err


def test_a_model_without_validation_facts_says_so(
    tiny_model: Path, rows: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    _copy(tiny_model, model)
    content = json.loads((model / "thresholds.json").read_text("utf-8"))
    content |= {"fitted_on": None, "threshold_kind": "fixed"}
    content.pop("fit_report", None)
    (model / "thresholds.json").write_text(json.dumps(content), "utf-8")

    assert main(["report", str(model), str(rows), "--json"]) == 0

    out, err = capfd.readouterr()
    assert "stores no validation facts" in err
    found = json.loads(out)
    assert found["model"]["fitted_on"] is None
    assert {found["details"][name]["threshold_spread"] for name in LABELS} == {None}


def test_words_behind_errors_are_marked(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "wrong.jsonl", tmp_path / "report.html"
    lines = [json.dumps({"text": "i am so happy today", "labels": [name]}) for name in LABELS]
    file.write_text("\n".join(lines), "utf-8")
    arguments = ["report", str(tiny_model), str(file), "--reasons", "--json"]

    assert main([*arguments, "--output", str(page)]) == 0

    found = json.loads(capfd.readouterr().out)
    error = next(each for each in found["errors"] if each["label"] == "joy")
    assert error["kind"] == "extra"
    strongest = max(error["reasons"], key=lambda part: part[2])
    assert found["rows"][error["row"]]["text"][strongest[0] : strongest[1]] == "happy"
    assert '<mark class="for strong">happy</mark>' in page.read_text("utf-8")


def _copy(model: Path, target: Path) -> None:
    from multihot.inference.artifact import copy_artifact

    copy_artifact(model, target)
