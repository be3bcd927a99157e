"""How fast one CUDA card is: fine-tuning, prediction, and from a file of texts to a file of labels.

    python benchmarks/gpu.py TEXTS                       BERT-base shape, random weights
    python benchmarks/gpu.py TEXTS --what training       one of training, prediction, file
    python benchmarks/gpu.py --device cpu --shape tiny   a dry run; see what it says without a card

Random weights are as fast as trained ones, so this needs no download: the tokenizer is the
starter's. The tutorial is the same as on a processor (`Trainer`, batch 8, padded to 128, float32
with torch's default of no TF32). Rules: docs/en/how-to/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import prediction_slices
import training_slices
from harness import environment, interpreter, rival_versions
from multihot.data.tokens import load_tokenizer
from multihot.demo import demo_data
from multihot.models.devices import choose_device, choose_precision
from multihot.models.encoder import locate_encoder
from predict import compare, write_model
from provenance import provenance
from show import show_and_keep
from texts import Rows, read_rows, shuffled, token_lengths

_SHAPES = {"base": (12, 768), "tiny": (2, 32)}
_START = "import sys; from multihot.cli.main import main; sys.exit(main())"
_WHAT = ("training", "prediction", "file")


def main() -> None:
    """Read the command line and measure what was asked for."""
    given = _arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "There is no CUDA device that torch can use here. Run this on a machine with an NVIDIA "
            "card and a CUDA build of torch, or try it out with: --device cpu --shape tiny "
            "--slice-texts 64 --rounds 1 --our-batches 32 --best-batches 32 --file-rows 50 200"
        )
    born = {**provenance(), **rival_versions(given.rivals), "card": _card(given.device)}
    with tempfile.TemporaryDirectory() as scratch:
        encoder = Path(scratch) / "encoder"
        write_encoder(encoder, *_SHAPES[given.shape])
        rows = read_rows(given.texts)
        measures: dict[str, Callable[..., list[dict[str, object]]]] = {
            "training": _training,
            "prediction": _prediction,
            "file": _file,
        }
        for what in given.what:
            found = measures[what](given, rows, encoder, Path(scratch))
            found = [
                {"what": what, "data": rows.name, "shape": given.shape, **row} for row in found
            ]
            show_and_keep(given.results, found, born, keep=not given.no_row)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="?", default=str(demo_data()["train"]))
    parser.add_argument("--what", nargs="+", choices=_WHAT, default=list(_WHAT))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--shape", choices=tuple(_SHAPES), default="base")
    parser.add_argument("--rivals", type=interpreter, default=sys.executable, metavar="PYTHON")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slice-texts", type=int, default=1024, help="a multiple of all batches")
    parser.add_argument("--our-batches", type=int, nargs="+", default=[32, 64, 256, 512])
    parser.add_argument("--best-batches", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--pipeline-batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--file-rows", type=int, nargs=2, default=[100_000, 400_000])
    parser.add_argument("--only", nargs="+", default=["tutorial", "Trainer", "ours"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default="gpu_202611.csv")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def write_encoder(folder: Path, num_layers: int, width: int) -> None:
    """Write a BERT of random weights with the starter's tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    starter = locate_encoder("starter").folder
    AutoTokenizer.from_pretrained(starter).save_pretrained(folder)
    config = BertConfig(
        vocab_size=load_tokenizer(folder / "tokenizer.json").get_vocab_size(),
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=max(2, width // 64),
        intermediate_size=4 * width,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)


def _training(
    given: argparse.Namespace, rows: Rows, encoder: Path, scratch: Path
) -> list[dict[str, object]]:
    """Compare training steps."""
    most = max(*given.our_batches, *given.best_batches)
    warm_up = max(64, most)
    rows = shuffled(rows, given.slice_texts * given.rounds + warm_up + most, given.seed)
    plan = training_slices.Plan(
        rows=rows.write(scratch / "training.jsonl"),
        labels=rows.space,
        lengths=token_lengths(rows.texts, encoder, 128),
        encoder=encoder,
        rivals=given.rivals,
        max_length=128,
        slice_texts=given.slice_texts,
        rounds=given.rounds,
        threads=given.threads,
        device=given.device,
        rival_precision=choose_precision("auto", choose_device(given.device)).name,
        seed=given.seed,
        warm_up_texts=warm_up,
    )
    best = training_slices.best_trainer_setting(
        plan, given.best_batches, [plan.rival_precision], rounds=2
    )
    everyone = training_slices.contenders(plan, best, given.our_batches)
    everyone = [one for one in everyone if one.name.startswith(tuple(given.only))]
    return training_slices.measure(plan, everyone)


def _prediction(
    given: argparse.Namespace, rows: Rows, encoder: Path, scratch: Path
) -> list[dict[str, object]]:
    """Compare prediction from texts in memory."""
    rows = shuffled(rows, given.slice_texts * given.rounds, given.seed)
    path = rows.write(scratch / "prediction.jsonl")
    model = _model(given, rows, encoder, scratch)
    plan = prediction_slices.Plan(
        model=model,
        rows=path,
        labels=rows.space,
        lengths=token_lengths(rows.texts, encoder, 128),
        rivals=given.rivals,
        max_length=128,
        slice_texts=given.slice_texts,
        rounds=given.rounds,
        threads=given.threads,
        device=given.device,
    )
    return compare(plan, given.pipeline_batches, min(256, given.slice_texts), ["ours", "pipeline"])


def _file(
    given: argparse.Namespace, rows: Rows, encoder: Path, scratch: Path
) -> list[dict[str, object]]:
    """Time `multihot predict` on two files; the difference is free of start-up."""
    model = _model(given, rows, encoder, scratch)
    seconds = []
    for number in given.file_rows:
        texts = scratch / f"{number}.jsonl"
        with texts.open("w", encoding="utf-8") as handle:
            for row in range(number):
                handle.write(json.dumps({"text": rows.texts[row % len(rows)]}) + "\n")
        command = [
            *(sys.executable, "-c", _START, "predict", str(model), "--input", str(texts)),
            *("--output", str(scratch / f"{number}-labels.jsonl"), "--json"),
            *("--device", given.device),
        ]
        began = time.perf_counter()
        subprocess.run(command, check=True, env=environment(given.threads))
        seconds.append(time.perf_counter() - began)
    small, large = given.file_rows
    return [
        {
            "contender": "multihot predict, file to file",
            "rows": large,
            "seconds": f"{seconds[1]:.1f}",
            "texts_per_second": f"{large / seconds[1]:.0f}",
            "texts_per_second_without_start": f"{(large - small) / (seconds[1] - seconds[0]):.0f}",
            "threads": given.threads,
        }
    ]


def _model(given: argparse.Namespace, rows: Rows, encoder: Path, scratch: Path) -> Path:
    """Return a model folder on the encoder; it is made once."""
    model = scratch / "model"
    if not model.exists():
        few = rows.take(range(min(64, len(rows)))).write(scratch / "few.jsonl")
        write_model(few, rows, model, encoder=str(encoder), max_length=128, device=given.device)
    return model


def _card(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "none (a dry run)"


if __name__ == "__main__":
    main()
