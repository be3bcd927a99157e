from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from emotions import write_jsonl
from multihot.cli.main import main


def test_words_their_weights_and_the_sum_are_printed(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(tiny_model), "i am happy today .", "so\x1b[2J\u202e sad"]) == 0

    out, err = capfd.readouterr()
    assert out.startswith("joy: given (score ")
    assert "  for      happy +" in out
    assert "the logit is +" in out
    assert not {"\x1b", "\u202e"} & set(out)
    assert r"so\x1b[2J\u202e sad" in out
    assert err == ""


def test_json_has_a_number_for_each_word_and_the_evidence(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = str(write_jsonl(tmp_path / "train.jsonl"))
    command = ["explain", str(tiny_model), "i am happy", "--json", "--all-labels"]

    assert main([*command, "--evidence", train, "--top", "2"]) == 0

    (found,) = json.loads(capfd.readouterr().out)["texts"]
    assert found["words"] == [["i", 0, 1], ["am", 2, 4], ["happy", 5, 10]]
    assert list(found["labels"]) == ["fear", "joy", "love"]
    joy = found["labels"]["joy"]
    assert len(joy["values"]) == 3
    assert joy["complete"] is True
    assert joy["sum"] == pytest.approx(joy["logit"] - joy["baseline_logit"], abs=0.05)
    assert [one["labels"] for one in found["evidence"]] == [["joy"], ["joy"]]


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(
    tiny_model: Path,
    settings: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: True)

    assert main(["explain", str(tiny_model), "i am happy \x1b[2J"]) == 0

    out = capsys.readouterr().out
    assert ("mhappy\x1b[0m" in out) is coloured
    assert ("\x1b" in out) is coloured
    assert "\x1b[2J" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["MODEL"], "Nothing to explain"),
        (["no", "a text"], "no: there is no such folder"),
        (["MODEL", "a text", "--label", "jooy"], "Did you mean 'joy'?"),
        (["MODEL", "a text", "--label", "joy", "--all-labels"], "not both"),
        (["MODEL", "a text", "--method", "lime"], "method is 'lime'; expected one of"),
        (["MODEL", "a text", "--evidence", "no.csv"], "no.csv: There is no such file"),
        (["MODEL", "new.csv"], "'new.csv' looks like the name of a file, and would be explained"),
        (["MODEL", "a text", "--top", "0"], "--top 0; expected at least 1."),
    ],
)
def test_a_wrong_command_is_explained(
    tiny_model: Path, arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [str(tiny_model) if word == "MODEL" else word for word in arguments]

    assert main(["explain", *given]) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert words in err


def test_a_label_asked_for_twice_is_explained_once_and_a_text_of_blanks_is_remarked(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["explain", str(tiny_model), "--label", "joy", "--label", "joy", "--", "new.csv", " "]

    assert main(command) == 0

    out, err = capfd.readouterr()
    assert out.count("joy: ") == 2
    assert "Text 2 of 2 has no word" in err
    assert main([*command[:2], "--json", *command[2:]]) == 0
    assert "Text 2 of 2 has no word" in capfd.readouterr().err


def test_a_model_of_many_labels_explains_those_near_their_thresholds_and_says_so(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("multihot.cli.explain._MOST_LABELS", 2)

    assert main(["explain", str(tiny_model), "i am happy", "--all-labels", "--json"]) == 0

    out, err = capfd.readouterr()
    assert len(json.loads(out)["texts"][0]["labels"]) == 2
    assert "Of 3 labels, the 2 of each text are explained" in err
    assert "--label NAME explains others" in err
