"""Compare two checkouts byte for byte: model folders of every kind and the JSON of every command.

    python benchmarks/frozen.py write --source ../old --output /tmp/old
    python benchmarks/frozen.py write --source . --output /tmp/new
    python benchmarks/frozen.py compare /tmp/old /tmp/new

A refactoring must not move one bit of what a run writes. Both checkouts run on this machine with the
same interpreter and one thread, on the same data and the same random encoder, so that nothing but the
code can differ. `compare` exits with 1 and lists what differs. Prose (model cards, notes on standard
error) and wall-clock times are left out: wording may change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_START = "import sys; from multihot.cli.main import main; sys.exit(main())"
_COMMON = ["device=cpu", "threads=1", "precision=fp32", "epochs=2", "batch_size=16", "seed=3"]
_MODELS = {
    "cls": ["pooling=cls"],
    "mean": ["pooling=mean", "thresholds=per_label", "calibration=platt", "goal=macro_f1"],
    "labels": ["pooling=labels", "objective.loss=zlpr", "execution=padded"],
    "attention": ["pooling=attention", "weight_averaging=0.9", "empty_set_rule=at_least_one"],
    "folds": ["--folds", "3", "thresholds=shrunk"],
    "seeds": ["--seeds", "2", "seeds_keep=average"],
    "top": ["goal=top_k=2", "objective.loss=asymmetric", "layer_decay=0.9"],
    "student": ["--teacher", "cls", "--unlabelled", "texts.jsonl", "thresholds=by_frequency=0.3"],
    "continued": ["--from", "mean"],
}
_VOLATILE = {"seconds", "roof_share", "tokens_per_second", "texts_per_second"}
_PROSE = {"README.md", "environment.json"}


def _write_encoder(folder: Path, words: Sequence[str]) -> None:
    """Write a random BERT whose weights come from numpy."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    letters = sorted({letter for word in words for letter in word})
    pieces = [*letters, *(f"##{letter}" for letter in letters), *words]
    names = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces])
    vocabulary = {name: number for number, name in enumerate(names)}
    BertTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    network = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    )
    generator = np.random.default_rng(0)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            drawn = torch.tensor(generator.normal(0, 0.1, parameter.shape), dtype=torch.float32)
            parameter.copy_(1 + drawn if "LayerNorm.weight" in name else drawn)
    network.save_pretrained(folder)


def _write_data(folder: Path) -> None:
    """Write rows in every form of labels, from numpy's generator alone."""
    generator = np.random.default_rng(5)
    cues = ("happy", "sad", "afraid", "angry")
    labels = ("joy", "sadness", "fear", "anger")
    fillers = ("the", "day", "people", "know", "this", "today", "believe", "year", "we", "are")
    for part, num_rows in (("train", 120), ("dev", 60), ("test", 60)):
        truth = generator.random((num_rows, 4)) < 0.35
        truth[:4] = np.eye(4, dtype=bool)
        texts = [
            " ".join(
                generator.permutation(
                    [cue for cue, has in zip(cues, row, strict=True) if has]
                    + list(generator.choice(fillers, size=generator.integers(2, 20)))
                )
            )
            for row in truth
        ]
        names = [[n for n, has in zip(labels, row, strict=True) if has] for row in truth]
        rows = list(zip(texts, truth, names, strict=True))
        with (folder / f"{part}.csv").open("w", encoding="utf-8") as handle:
            handle.write("ID,text," + ",".join(labels) + "\n")
            for number, (text, row, _) in enumerate(rows):
                cells = [
                    "" if number % 17 == 9 and c == 2 else str(int(v)) for c, v in enumerate(row)
                ]
                handle.write(f"{part}-{number},{text}," + ",".join(cells) + "\n")
        (folder / f"{part}.tsv").write_text(
            "id\ttext\tlabels\n"
            + "".join(f"{n}\t{t}\t{'; '.join(g)}\n" for n, (t, _, g) in enumerate(rows)),
            "utf-8",
        )
        (folder / f"{part}.jsonl").write_text(
            "".join(
                json.dumps({"id": n, "text": t, "labels": g}) + "\n"
                for n, (t, _, g) in enumerate(rows)
            ),
            "utf-8",
        )
    texts = [" ".join(generator.choice([*cues, *fillers], size=8)) for _ in range(40)]
    (folder / "texts.jsonl").write_text(
        "".join(json.dumps({"text": t}) + "\n" for t in texts), "utf-8"
    )
    documents = [
        {
            "paragraphs": [
                " ".join(
                    " ".join(generator.choice([*cues, *fillers], size=6)).capitalize() + "."
                    for _ in range(4)
                )
                for _ in range(3)
            ]
        }
        for _ in range(40)
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents), "utf-8")


class _Runs:
    """Runs commands of one checkout in one folder, and keeps their JSON."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(source.resolve() / "src"),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "MULTIHOT_CACHE": str(folder / "cache"),
        }
        self.documents: dict[str, Any] = {}

    def __call__(self, *words: str, name: str | None = None) -> None:
        done = subprocess.run(
            [sys.executable, "-c", _START, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"multihot {' '.join(words)}:\n{done.stderr}")
        if name is None:
            return
        try:
            self.documents[name] = json.loads(done.stdout)
        except json.JSONDecodeError:
            self.documents[name] = [json.loads(line) for line in done.stdout.splitlines()]


def write(source: Path, output: Path) -> None:
    """Write the models and the JSON of one checkout to `output`, and their digests to frozen.json."""
    output.mkdir(parents=True)
    _write_data(output)
    sys.path.insert(0, str(source.resolve() / "src"))
    words = [
        "happy",
        "sad",
        "afraid",
        "angry",
        "the",
        "day",
        "people",
        "know",
        "this",
        "today",
        "believe",
        "year",
        "we",
        "are",
        ".",
    ]
    _write_encoder(output / "encoder", words)
    run = _Runs(source, output)
    for name, options in _MODELS.items():
        start = [] if "--from" in options else ["--encoder", "encoder"]
        held_out = [] if "--folds" in options else ["--validation", "dev.csv"]
        run("train", "train.csv", *held_out, *start, "--output", name, *_COMMON, *options)
    for form in ("csv", "tsv", "jsonl"):
        run("inspect", f"train.{form}", f"dev.{form}", "--json", name=f"inspect-{form}")
        words = [f"train.{form}", "--encoder", "encoder", "--output", form, *_COMMON, "epochs=1"]
        run("train", *words)
        run("evaluate", form, f"test.{form}", "--json", "--device", "cpu", name=f"evaluate-{form}")
    for model in _MODELS:
        run(
            "predict",
            model,
            "--input",
            "test.csv",
            "--json",
            "--device",
            "cpu",
            name=f"predict-{model}",
        )
        run("evaluate", model, "dev.csv", "--json", "--device", "cpu", name=f"evaluate-{model}")
    run("inspect", "mean", "--json", name="inspect-model")
    run("compare", "cls", "mean", "test.csv", "--json", "--device", "cpu", name="compare")
    run("split", "train.csv", "--output", "split-parts", "--json", name="split")
    run(
        "split",
        "train.jsonl",
        "--output",
        "split-folds",
        "--folds",
        "3",
        "--pairs",
        "--json",
        name="split-folds",
    )
    for goal, thresholds, calibration in (
        ("jaccard", "global", "temperature"),
        ("precision>=0.6", "per_label", "beta"),
        ("cost=1:3", "shrunk", "isotonic"),
        ("subset_accuracy", "global", "platt"),
        ("macro_f1", "by_frequency=0.2", "none"),
    ):
        choices = ["--goal", goal, "--thresholds", thresholds, "--calibration", calibration]
        run(
            "decide",
            "labels",
            "dev.csv",
            *choices,
            "--device",
            "cpu",
            "--json",
            name=f"decide-{goal}",
        )
    run(
        "tokenizer",
        "corpus.jsonl",
        "--vocab-size",
        "80",
        "--output",
        "tokenizer",
        "--json",
        name="tokenizer",
    )
    pretraining = [
        "max_length=32", "batch_size=8", "total_steps=8", "checkpoint_steps=4", "evaluation_steps=4",
        "held_out_fraction=0.25", "held_out_rows=16", "precision=fp32", "device=cpu", "threads=1",
    ]  # fmt: skip
    run(
        "pretrain", "corpus.jsonl", "--tokenizer", "tokenizer", "--size", "1x64", "--output", "bert",
        "--json", *pretraining, name="pretrain",
    )  # fmt: skip
    run("fill-mask", "bert", "the [MASK] day.", "--json", "--device", "cpu", name="fill-mask")
    run(
        "next-sentence",
        "bert",
        "we are happy.",
        "the day.",
        "--json",
        "--device",
        "cpu",
        name="next-sentence",
    )
    files = {
        str(path.relative_to(output)): _digest(path)
        for path in sorted(output.rglob("*"))
        if path.is_file()
        and path.name not in _PROSE
        and "cache" not in path.relative_to(output).parts
    }
    content = {"files": files, "json": _stable(run.documents)}
    (output / "frozen.json").write_text(json.dumps(content, indent=1, sort_keys=True), "utf-8")


def _stable(value: Any) -> Any:
    """Drop what the clock says and sentences for people."""
    if isinstance(value, dict):
        return {k: _stable(v) for k, v in value.items() if k not in _VOLATILE and k != "notes"}
    return [_stable(each) for each in value] if isinstance(value, list) else value


def _digest(path: Path) -> str:
    if path.suffix in (".json", ".jsonl"):
        lines = (
            path.read_text("utf-8").splitlines()
            if path.suffix == ".jsonl"
            else [path.read_text("utf-8")]
        )
        text = json.dumps([_stable(json.loads(line)) for line in lines])
        return hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _differences(one: Any, other: Any, place: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other}, key=str)
        missing = object()
        return [
            line
            for key in keys
            for line in _differences(
                one.get(key, missing), other.get(key, missing), f"{place}/{key}"
            )
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for n, (a, b) in pairs for line in _differences(a, b, f"{place}/{n}")]
    return [] if one == other else [f"{place}: {str(one)[:60]} != {str(other)[:60]}"]


def compare(first: Path, second: Path) -> int:
    """Print what differs between two outputs of `write`; return the exit code."""
    contents = [json.loads((each / "frozen.json").read_text("utf-8")) for each in (first, second)]
    found = _differences(*contents)
    print("\n".join(found[:60]) or f"{len(contents[0]['files'])} files and all JSON are equal.")
    return 1 if found else 0


def main() -> int:
    """Run the command named by the first argument."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("--source", type=Path, required=True)
    writing.add_argument("--output", type=Path, required=True)
    comparing = commands.add_parser("compare")
    comparing.add_argument("first", type=Path)
    comparing.add_argument("second", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return compare(given.first, given.second)
    write(given.source, given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
