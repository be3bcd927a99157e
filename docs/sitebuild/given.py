"""The files that pages begin with: the bundled data set in several forms, and small models of it.

Each is made once in a folder that pages, and the processes of one test run, share.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["Given"]

ROOT = Path(__file__).parents[2]
PARTS = {"train": "train", "dev": "validation", "validation": "validation", "test": "test"}
FORMS = ("csv", "jsonl", "tsv", "txt")


class Given:
    """Lays files into the folder of a page."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def lay(self, folder: Path, names: str) -> None:
        """Lay what `names` lists: NAME, or NAME=KIND."""
        for each in names.split():
            name, _, kind = each.partition("=")
            source = self._made(kind or _kind(name))
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)

    def _made(self, kind: str) -> Path:
        path = self._cache / kind
        with (self._cache / f".{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                unfinished = self._cache / f"_{kind}"
                _maker(kind)(self, unfinished)
                unfinished.rename(path)
        return path

    def model(self, path: Path, *options: str) -> None:
        """Train the starter encoder for an epoch."""
        train, dev = self._made("train.csv"), self._made("dev.csv")
        sizes = ("epochs=1", "batch_size=16", "learning_rate=3e-4", "max_length=64")
        _multihot(
            "train", str(train), "--validation", str(dev), "--output", str(path), *sizes, *options
        )

    def export(self, path: Path) -> None:
        """Export the model to ONNX."""
        dev = str(self._made("dev.csv"))
        _multihot("export", str(self._made("model")), dev, "--to", "onnx", "--output", str(path))


def _kind(name: str) -> str:
    path = Path(name)
    if path.parent.name == "runs":
        return "model"
    if path.parent.name in ("exported", "served"):
        return "export"
    return path.name


def _maker(kind: str) -> Callable[[Given, Path], None]:
    part, _, form = kind.partition(".")
    if part in PARTS and form in FORMS:
        return lambda _, path: _write_part(PARTS[part], form, path)
    makers: dict[str, Callable[[Given, Path], None]] = {
        "model": Given.model,
        "other-model": lambda given, path: given.model(path, "seed=1"),
        "cls-model": lambda given, path: given.model(path, "pooling=cls"),
        "export": Given.export,
        "corpus": lambda _, path: _write_corpus(path),
    }
    if kind not in makers:
        raise KeyError(f"'{kind}' is given by nothing; {', '.join(makers)}, train.csv ... are.")
    return makers[kind]


def _rows(part: str) -> list[dict[str, object]]:
    file = ROOT / "src" / "multihot" / "demo_data" / f"{part}.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _write_part(part: str, form: str, path: Path) -> None:
    if form == "jsonl":
        shutil.copyfile(ROOT / "src" / "multihot" / "demo_data" / f"{part}.jsonl", path)
        return
    rows = _rows(part)
    labels = sorted({str(name) for row in _rows("train") for name in row["labels"]})  # type: ignore[attr-defined]
    names = ["ID", "Tweet", *labels] if form in ("tsv", "txt") else ["id", "text", *labels]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="," if form == "csv" else "\t", lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            marks = [int(name in row["labels"]) for name in labels]  # type: ignore[operator]
            writer.writerow([row["id"], row["text"], *marks])


def _write_corpus(path: Path) -> None:
    """Write the texts of the bundled data set as documents of twenty sentences."""
    texts = [str(row["text"]) for part in ("train", "validation", "test") for row in _rows(part)]
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, len(texts), 20):
            paragraphs = texts[start : start + 20]
            file.write(json.dumps({"id": f"d{start}", "paragraphs": paragraphs}) + "\n")


def _multihot(*arguments: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "multihot", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
