"""`multihot decide`, and `predict` with a model that abstains."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from emotions import write_jsonl
from multihot.cli.main import main
from multihot.inference.artifact import load_artifact


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> str:
    return str(shutil.copytree(tiny_model, tmp_path / "model"))


def test_goal_thresholds_and_calibration_are_fitted_again(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = str(write_jsonl(tmp_path / "new.jsonl"))

    words = ["--goal", "precision>=0.9", "--thresholds", "shrunk", "--calibration", "platt"]
    assert main(["decide", model, rows, *words]) == 0

    out, err = capfd.readouterr()
    assert "precision>=0.9" in out
    assert "Cross-fitted gain: " in out
    assert "tuned for" in out
    assert "Only 48 rows" in err
    assert f"The new decision is in {Path(model) / 'thresholds.json'}." in err
    decision = load_artifact(model).decision
    assert (decision.goal, decision.kind) == ("precision>=0.9", "shrunk")
    assert decision.calibration is not None
    assert decision.fit_report is not None


def test_json_and_costs_from_a_file(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = str(write_jsonl(tmp_path / "new.jsonl"))
    (tmp_path / "costs.toml").write_text("joy = [1, 9]\n", "utf-8")

    words = ["--goal", "cost", "--costs", str(tmp_path / "costs.toml"), "--json"]
    assert main(["decide", model, rows, *words]) == 0

    document = json.loads(capfd.readouterr().out)
    keys = ["rows", "before", "after", "labels", "fit_report", "notes", "promises"]
    assert list(document) == keys
    assert document["rows"] == 48
    assert document["after"]["goal"] == "cost=1:1"
    assert load_artifact(model).decision.costs == ((1, 1), (1, 9), (1, 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--goal", "precision"], "put it into quotes: 'precision>=0.9'"),
        (["--thresholds", "tuned"], "expected global, per_label, shrunk, by_frequency=T"),
        (["--thresholds", "7"], "'threshold' is 7.0; expected a number between 0 and 1"),
        (["--calibration", "magic"], "expected one of none, temperature"),
        (["--empty-set-rule", "guess"], "'empty_set_rule' is 'guess'"),
        (["--costs", "missing.toml"], "costs=missing.toml: the file cannot be read"),
    ],
)
def test_wrong_words_change_nothing_and_are_explained(
    model: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    rows = str(write_jsonl(tmp_path / "new.jsonl"))
    before = (Path(model) / "thresholds.json").read_bytes()

    assert main(["decide", model, rows, *words]) == 2

    assert message in capfd.readouterr().err
    assert (Path(model) / "thresholds.json").read_bytes() == before


def test_a_file_of_costs_with_an_unknown_label_is_named(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = str(write_jsonl(tmp_path / "new.jsonl"))
    costs = tmp_path / "mine.toml"
    costs.write_text("yoj = [1, 9]\n", "utf-8")

    assert main(["decide", model, rows, "--goal", "cost", "--costs", str(costs)]) == 2

    assert f"costs={costs} names labels that are not known here: yoj" in capfd.readouterr().err


def test_predict_marks_texts_on_which_the_model_abstains(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = str(write_jsonl(tmp_path / "new.jsonl"))
    assert main(["decide", model, rows, "--empty-set-rule", "abstain"]) == 0
    capfd.readouterr()

    assert main(["predict", model, "--input", rows]) == 0
    table = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert main(["predict", model, "--json", "--threshold", "1", "so happy"]) == 0
    line = json.loads(capfd.readouterr().out)
    assert main(["predict", model, "--threshold", "1", "so happy"]) == 0

    assert "-> abstained" in capfd.readouterr().out
    assert line["abstained"] is True
    assert all((row["predicted_labels"] == "") == (row["abstained"] == "true") for row in table)
    assert {row["abstained"] for row in table} == {"true", "false"}
