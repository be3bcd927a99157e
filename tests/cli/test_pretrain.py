"""`multihot pretrain` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotions import write_jsonl
from factories import Stop
from multihot.cli.main import main
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.recipes import build_options, parse_assignments
from multihot.workflows.pretrain import pretrain
from small_corpus import QUICK, write_corpus


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIHOT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def command(tiny_encoder: Path, tmp_path: Path) -> list[str]:
    """The command of a run of a second."""
    corpus = write_corpus(tmp_path / "texts.jsonl")
    pairs = [f"{key}={value}" for key, value in QUICK.items() if key != "encoder_size"]
    output = ["--output", str(tmp_path / "model")]
    return [
        "pretrain",
        str(corpus),
        *output,
        "--size",
        "1x64",
        "--tokenizer",
        str(tiny_encoder),
        *pairs,
    ]


@pytest.mark.slow
def test_a_run_prints_its_report_and_the_next_command(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    printed = capsys.readouterr()

    assert "MLM top-1 accuracy" in printed.out
    assert "12 steps" in printed.out
    assert f"multihot train TRAIN_FILE --encoder {tmp_path / 'model'}" in printed.err

    left = tmp_path / "model" / "run" / "checkpoints" / "step-000012"
    left.mkdir(parents=True)  # as by a kill between the last file and the cleaning
    assert main([*command, "--resume", "--json"]) == 0
    assert not left.parent.exists()
    again = capsys.readouterr()
    assert "already finished" in again.err
    report = json.loads(again.out)
    assert report["steps"] == 12
    assert report["probe"] is None
    assert set(report["metrics"]["mlm_top1"]) == {"value", "low", "high"}


@pytest.mark.slow
def test_a_probe_follows_a_finished_run(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(  # as where the starter is not installed
        importlib.util, "find_spec", lambda name: None if name.startswith("gt_all") else find(name)
    )
    rows = [str(write_jsonl(tmp_path / "train.jsonl")), str(write_jsonl(tmp_path / "dev.jsonl"))]
    settings = ["probe.epochs=1", "probe.threads=1", "probe.goal=jaccard", "snapshots=1"]
    assert main([*command, *settings, "--probe", *rows]) == 0
    printed = capsys.readouterr()

    assert "jaccard" in printed.out
    for name in ("random", "step-3", "end"):
        assert f"\n{name} " in printed.out
    assert main([*command, *settings, "--probe", *rows, "--resume", "--json"]) == 0
    probe = json.loads(capsys.readouterr().out)["probe"]
    assert [row["start"]["name"] for row in probe["rows"]] == ["random", "step-3", "end"]
    assert probe["metric"] == "jaccard"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (["--hours", "1"], "'hours' is 1.0"),
        (["epoch=3"], "'epochs'"),
        (["--encoder", "starter"], "--encoder starter"),
        (["nowhere.txt"], "nowhere.txt: "),
        (["--recipe", "none.toml"], "none.toml: "),
        (["--probe", "a.csv", "b.csv"], "a.csv"),
        (["encoder_size=9x9"], "multiple of 64"),
    ],
)
def test_invalid_input_is_named_and_exits_with_code_2(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    named: str,
) -> None:
    assert main([*command, *changes]) == 2
    printed = capsys.readouterr()

    assert named in printed.err
    assert printed.out == ""
    assert not (tmp_path / "model").exists()


def test_a_corpus_and_an_output_are_needed(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", *command[2:]]) == 2
    assert "No corpus given" in capsys.readouterr().err
    assert main([argument for argument in command if argument not in command[2:4]]) == 2
    assert "--output DIR is missing" in capsys.readouterr().err


def test_an_option_given_as_a_flag_is_answered_with_its_key_value_form(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--masking-rate", "0.3"])

    assert "options are written key=value, for example masking_rate=0.3" in capsys.readouterr().err


@pytest.mark.slow
def test_flags_override_the_recipe(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('encoder_size = "2x64"\nmasking_rate = 0.3\ntotal_steps = 50\n')
    assert main([*command, "--recipe", str(recipe)]) == 0

    written = (tmp_path / "model" / "run" / "recipe.toml").read_text()
    assert 'encoder_size = "1x64"' in written
    assert "masking_rate = 0.3" in written
    assert "total_steps = 12" in written


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_without_its_options(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, output = command[1], tmp_path / "model"
    pairs = [word for word in command if "=" in word]
    tokenizer = command[command.index("--tokenizer") + 1]
    values = {**parse_assignments(pairs), "encoder_size": "1x64", "tokenizer": tokenizer}
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], output, build_options(PretrainOptions, values), listener=Stop(5))

    assert main(["pretrain", corpus, "--output", str(output), "--resume"]) == 0
    assert "12 steps" in capsys.readouterr().out
