"""How fast prediction is: texts in, labels out, ours and the others, interleaved.

    python benchmarks/predict.py                    on the data in the package
    python benchmarks/predict.py TEXTS              on another labelled file
    python benchmarks/predict.py TEXTS --long       on documents up to 512 tokens

All have the same weights: those of `--model`, which must have the family's own head
(`pooling=cls`), or of a few steps on the first rows. The pipeline's batch size and order are tried
first and the fastest is compared. Rules: docs/en/how-to/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from harness import RIVALS, interpreter, rival_versions
from multihot.core.labels import LabelSpace
from multihot.core.options import TrainOptions
from multihot.data.labelled_file import read_examples
from multihot.demo import demo_data
from multihot.inference.artifact import load_artifact
from multihot.models.encoder import locate_encoder
from prediction_slices import (
    PRECISIONS,
    Plan,
    best_pipeline,
    contenders,
    logit_differences,
    measure,
    pipeline,
)
from provenance import provenance
from show import show_and_keep
from texts import Rows, long_documents, read_rows, shuffled, token_lengths

_TRAINED_ROWS = 64
_LONG_DOCUMENTS = 2000


def main() -> None:
    """Read the command line, measure, print and add the rows."""
    given = _arguments()
    born = {**provenance(), **rival_versions(given.rivals)}
    encoder = locate_encoder(given.encoder).folder
    rows = read_rows(given.texts)
    max_length = given.max_length or (512 if given.long else 128)
    if given.long:
        rows = long_documents(rows, encoder, _LONG_DOCUMENTS, given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        rows = shuffled(rows, given.slice_texts * given.rounds, given.seed)
        path = rows.write(Path(scratch) / "rows.jsonl")
        model = Path(given.model or Path(scratch) / "model")
        if not given.model:
            write_model(path, rows, model, encoder=given.encoder, max_length=max_length)
        plan = Plan(
            model=model,
            rows=path,
            labels=load_artifact(model).decision.space.names,
            lengths=token_lengths(rows.texts, encoder, max_length),
            rivals=given.rivals,
            max_length=max_length,
            slice_texts=given.slice_texts,
            rounds=given.rounds,
            threads=given.threads,
            device="cpu",
        )
        found = compare(plan, given.pipeline_batches, given.probe_texts, given.only)
    found = [{"data": rows.name, "encoder": given.encoder, **row} for row in found]
    show_and_keep(given.results, found, born, keep=not given.no_row)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="?", default=str(demo_data()["train"]))
    parser.add_argument("--model", help="a model folder; default: a few steps on the first rows")
    parser.add_argument("--rivals", type=interpreter, default=RIVALS, metavar="PYTHON")
    parser.add_argument("--encoder", default="starter")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--long", action="store_true", help="documents of up to 512 tokens")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slice-texts", type=int, default=512)
    parser.add_argument(
        "--probe-texts", type=int, default=128, help="for the pipeline's best setting"
    )
    parser.add_argument("--pipeline-batches", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--only", nargs="+", help="contenders whose name begins so")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default="predict_202611.csv")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def write_model(
    path: Path, rows: Rows, folder: Path, *, encoder: str, max_length: int, device: str = "cpu"
) -> None:
    """Train a few steps with the family's own head, which every contender can load."""
    from multihot.workflows.train import train

    options = TrainOptions(
        encoder=encoder,
        pooling="cls",
        epochs=1,
        max_length=max_length,
        thresholds=0.5,
        device=device,
    )
    examples = read_examples(path, space=LabelSpace(rows.space)).take(np.arange(_TRAINED_ROWS))
    train(examples, examples, options, folder)


def compare(
    plan: Plan, batch_sizes: list[int], probe_texts: int, only: list[str] | None
) -> list[dict[str, object]]:
    """Find the pipelines' best settings, run all rounds, and compare the logits."""
    everyone = [*(pipeline(plan, precision) for precision in PRECISIONS), *contenders(plan)]
    if only:
        everyone = [one for one in everyone if one.name.startswith((*only, "pipeline fp32"))]
    best = {
        one.name: best_pipeline(plan, str(one.shown["precision"]), batch_sizes, probe_texts)
        for one in everyone
        if one.name.startswith("pipeline")
    }
    found = measure(plan, everyone, best)
    differences = logit_differences(plan, everyone)
    for row in found:
        row["largest_logit_difference"] = differences.get(str(row["contender"]), "")
    return found


if __name__ == "__main__":
    main()
