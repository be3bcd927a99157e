"""The files that pages begin with: the bundled data set in several forms, and small models of it.

Each is made once in a folder that pages, and the processes of one test run, share.
"""

from __future__ import annotations

import csv
import fcntl
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sitebuild.pages import ROOT

__all__ = ["Given"]

PARTS = {"train": "train", "dev": "validation", "validation": "validation", "test": "test"}
FEW = {"few": ("train", 96), "few-dev": ("validation", 48), "few-test": ("test", 48)}
"""Rows for pages that train: an epoch of them takes a second or two."""
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

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return what `make` has made under a name; the first who asks makes it, and others wait."""
        path = self._cache / name
        with (self._cache / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                unfinished = self._cache / f"_{name}"
                shutil.rmtree(unfinished, ignore_errors=True)
                make(unfinished)
                unfinished.rename(path)
        return path

    def _made(self, kind: str) -> Path:
        return self.once(kind, lambda path: _maker(kind)(self, path))

    def model(self, path: Path, *options: str) -> None:
        """Train the starter encoder for an epoch."""
        train, dev = self._made("train.csv"), self._made("dev.csv")
        sizes = (
            "epochs=1",
            "batch_size=16",
            "learning_rate=3e-4",
            "max_length=64",
            "initial_head=random",  # so that the figures of pages stay
        )
        _multihot(
            "train", str(train), "--validation", str(dev), "--output", str(path), *sizes, *options
        )

    def export(self, path: Path) -> None:
        """Export the model to ONNX."""
        dev = str(self._made("dev.csv"))
        _multihot("export", str(self._made("model")), dev, "--to", "onnx", "--output", str(path))

    def checkpoint(self, path: Path) -> None:
        """Write a checkpoint as another tool would: `transformers` files and nothing of ours."""
        dev = str(self._made("few-dev.csv"))
        model = str(self._made("cls-model"))
        _multihot("export", model, dev, "--to", "transformers", "--output", str(path))
        for name in ("README.md", "parity.json", "thresholds.json"):
            (path / name).unlink()

    def encoder(self, path: Path) -> None:
        """Pretrain a tiny encoder for a few steps."""
        corpus = str(self._made("corpus.jsonl"))
        sizes = ("--size", "tiny", "vocab_size=1000", "total_steps=20", "held_out_rows=32")
        _multihot("pretrain", corpus, "--output", str(path), *sizes)


def _kind(name: str) -> str:
    path = Path(name)
    if path.parent.name == "runs":
        return "model"
    if path.parent.name in ("exported", "served"):
        return "export"
    return path.name


def _maker(kind: str) -> Callable[[Given, Path], None]:
    part, _, form = kind.partition(".")
    if form in FORMS and (part in PARTS or part in FEW):
        name, count = FEW.get(part) or (PARTS[part], None)
        return lambda _, path: _write_part(name, form, path, count)
    makers: dict[str, Callable[[Given, Path], None]] = {
        "model": Given.model,
        "other-model": lambda given, path: given.model(path, "seed=1"),
        "cls-model": lambda given, path: given.model(path, "pooling=cls"),
        "export": Given.export,
        "checkpoint": Given.checkpoint,
        "encoder": Given.encoder,
        "corpus.jsonl": lambda _, path: _write(path, _corpus().encode()),
        "corpus.jsonl.gz": lambda _, path: _write(path, gzip.compress(_corpus().encode())),
    }
    if kind not in makers:
        raise KeyError(f"'{kind}' is given by nothing; {', '.join(makers)}, train.csv ... are.")
    return makers[kind]


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _lines(part: str) -> list[str]:
    file = ROOT / "src" / "multihot" / "demo_data" / f"{part}.jsonl"
    return file.read_text("utf-8").splitlines(keepends=True)


def _write_part(part: str, form: str, path: Path, count: int | None) -> None:
    lines = _lines(part)[:count]
    if form == "jsonl":
        path.write_text("".join(lines), "utf-8")
        return
    labels = sorted({name for line in _lines("train") for name in json.loads(line)["labels"]})
    is_csv = form == "csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="," if is_csv else "\t", lineterminator="\n")
        writer.writerow(["id", "text", *labels])
        for row in map(json.loads, lines):
            writer.writerow([row["id"], row["text"], *(int(n in row["labels"]) for n in labels)])


def _corpus() -> str:
    """Return the texts of the bundled data set as documents of twenty sentences."""
    parts = ("train", "validation", "test")
    texts = [json.loads(line)["text"] for part in parts for line in _lines(part)]
    documents = [
        {"id": f"document-{start}", "paragraphs": texts[start : start + 20]}
        for start in range(0, len(texts), 20)
    ]
    return "".join(json.dumps(each) + "\n" for each in documents)


def _multihot(*arguments: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "multihot", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
