"""The installed command in processes of its own: what no test inside one process can show."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emotions import LABELS, NAMES, QUICK, TEXTS, write_jsonl
from multihot.cli.main import main
from multihot.errors import ArtifactError
from multihot.inference.artifact import load_artifact
from multihot.inference.predictor import Predictor

RECIPE = [f"{name}={value}" for name, value in QUICK.items()]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "multihot", *map(str, arguments)]


def run(*arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_help_is_instant_because_nothing_heavy_is_imported() -> None:
    script = (
        "import sys; from multihot.cli.main import main; import multihot; "
        "codes = [main(['--help']), main(['--version']), main(['nonsense'])]; "
        "loaded = {'torch', 'numpy', 'transformers', 'tokenizers', 'rich'} & set(sys.modules); "
        "sys.exit(f'{codes} {loaded}' if loaded or codes != [0, 0, 2] else 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_installed_script_is_the_same_command() -> None:
    script = Path(sys.executable).with_name("multihot")
    if not script.exists():
        pytest.skip("the package is not installed with its script")

    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("--help").stdout


@pytest.mark.slow
def test_from_a_file_to_labels_in_three_commands(tiny_encoder: Path, tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl")
    dev = write_jsonl(tmp_path / "dev.jsonl", slice(0, 24))
    rest = write_jsonl(tmp_path / "rest.jsonl", slice(24, 48))
    model = tmp_path / "model"

    trained = run(
        *("train", train, "--validation", dev, "--encoder", tiny_encoder, "--output", model),
        *RECIPE,
    )
    assert (trained.returncode, trained.stdout) == (0, ""), trained.stderr

    evaluated = run("evaluate", model, rest, "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    report = json.loads(evaluated.stdout)
    assert report["metrics"]["jaccard"]["value"] == 1
    assert report["fitted_here"] is False
    assert list(report["labels"]) == list(LABELS)

    predicted = run("predict", model, "--input", "-", "--json", text="\n".join(TEXTS) + "\n")
    assert predicted.returncode == 0, predicted.stderr
    assert [json.loads(line)["labels"] for line in predicted.stdout.splitlines()] == NAMES


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_model(
    tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = write_jsonl(tmp_path / "train.jsonl")
    recipe = [*RECIPE, "epochs=20", "--encoder", str(tiny_encoder)]
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    assert main(["train", str(train), "--output", str(undisturbed), *recipe]) == 0

    process = subprocess.Popen(
        command("train", train, "--output", disturbed, *recipe),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Epoch 2 of 20"):
            process.send_signal(signal.SIGINT)
            break
    words = process.communicate(timeout=120)[1]

    assert process.returncode == 130, words
    assert "Stopped by SIGINT after step" in words
    assert "--resume" in words
    assert "Traceback" not in words
    assert not (disturbed / "thresholds.json").exists()
    with pytest.raises(ArtifactError, match=r"not finished: run it again with --resume"):
        load_artifact(disturbed)

    capfd.readouterr()

    assert main(["train", str(train), "--output", str(disturbed), *recipe, "--resume"]) == 0
    assert "Resuming after step" in capfd.readouterr().err
    np.testing.assert_array_equal(
        Predictor.load(disturbed, device="cpu").scores(TEXTS),
        Predictor.load(undisturbed, device="cpu").scores(TEXTS),
    )
