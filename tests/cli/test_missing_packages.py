"""Commands where torch and transformers are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from emotions import write_jsonl

WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "accelerate"):
    sys.modules[name] = None
from multihot.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TORCH, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("more", [[], ["--resume"], ["--linear-baseline"], ["--folds", "3"]])
def test_training_names_the_extra_and_writes_nothing(more: list[str], tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "train.jsonl")

    done = run("train", str(file), "--output", str(tmp_path / "model"), *more)

    assert done.returncode == 2, done.stderr
    assert "Training needs the package 'torch'" in done.stderr
    assert "pip install 'multihot[train]'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_file_is_inspected_whatever_of_the_starter_is_installed(tmp_path: Path) -> None:
    done = run("inspect", str(write_jsonl(tmp_path / "train.jsonl")))

    assert done.returncode == 0, done.stderr
    assert "words per text, median" in done.stdout


def test_an_encoder_without_a_built_tokenizer_names_the_extra(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    for path in tiny_encoder.iterdir():
        if path.name != "tokenizer.json":
            (folder / path.name).write_bytes(path.read_bytes())

    file = write_jsonl(tmp_path / "train.jsonl")
    done = run("inspect", str(file), "--encoder", str(folder))

    assert done.returncode == 2, done.stderr
    assert "An encoder needs the package 'transformers'" in done.stderr
