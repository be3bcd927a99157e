"""`multihot pretrain` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotions import write_jsonl
from multihot.cli.main import main
from small_corpus import QUICK, write_corpus


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIHOT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def words(tiny_encoder: Path, tmp_path: Path) -> list[str]:
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


def test_a_run_prints_its_report_and_what_comes_next(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    said = capsys.readouterr()

    assert "MLM top-1 accuracy" in said.out
    assert "12 steps" in said.out
    assert "Held out, after step 12: masked tokens right" in said.err
    assert f"multihot train TRAIN_FILE --encoder {tmp_path / 'model'}" in said.err

    assert main([*words, "--resume", "--json"]) == 0
    again = capsys.readouterr()
    assert "is already finished." in again.err
    report = json.loads(again.out)
    assert report["steps"] == 12
    assert report["probe"] is None
    assert set(report["metrics"]["mlm_top1"]) == {"value", "low", "high"}


@pytest.mark.slow
def test_a_probe_follows_a_finished_run(
    words: list[str],
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
    assert main([*words, *settings, "--probe", *rows]) == 0
    said = capsys.readouterr()

    assert "jaccard" in said.out
    for name in ("random", "step-3", "end"):
        assert f"Probe: fine-tuning from {name}." in said.err
        assert f"\n{name} " in said.out
    assert main([*words, *settings, "--probe", *rows, "--resume", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["probe"]
    assert [row["start"]["name"] for row in found["rows"]] == ["random", "step-3", "end"]
    assert found["metric"] == "jaccard"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--hours", "1"], "Option 'hours' is 1.0; expected none beside total_steps"),
        (["epoch=3"], "Unknown option 'epoch'. Did you mean 'epochs'?"),
        (["--encoder", "starter"], "--encoder starter has its size: give one of them only"),
        (["nowhere.txt"], "nowhere.txt: There is no such file or folder."),
        (["--recipe", "none.toml"], "none.toml: there is no such recipe."),
        (["--probe", "a.csv", "b.csv"], "a.csv"),
        (["encoder_size=9x9"], "the width must be a multiple of 64"),
    ],
)
def test_wrong_input_is_a_sentence_and_exit_code_2(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    message: str,
) -> None:
    assert main([*words, *changes]) == 2
    said = capsys.readouterr()

    assert message in said.err
    assert said.out == ""
    assert not (tmp_path / "model").exists()


def test_a_corpus_and_an_output_are_needed(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", *words[2:]]) == 2
    assert "There is no corpus: give files or folders of texts." in capsys.readouterr().err
    assert main([word for word in words if word not in words[2:4]]) == 2
    assert "--output DIR is missing" in capsys.readouterr().err


def test_an_option_written_as_a_flag_is_explained(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--masking-rate", "0.3"])

    assert "options are written key=value, for example masking_rate=0.3" in capsys.readouterr().err


def test_flags_and_recipe_are_laid_over_each_other(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('encoder_size = "2x64"\nmasking_rate = 0.3\ntotal_steps = 50\n')
    assert main([*words, "--recipe", str(recipe)]) == 0

    written = (tmp_path / "model" / "run" / "recipe.toml").read_text()
    assert 'encoder_size = "1x64"' in written
    assert "masking_rate = 0.3" in written
    assert "total_steps = 12" in written
