"""How fast fine-tuning is: ours and the others, interleaved, on the same texts.

    python benchmarks/finetune.py                         steps, on the data in the package
    python benchmarks/finetune.py steps TRAIN             steps, on another file
    python benchmarks/finetune.py steps TRAIN --long      steps, on documents up to 512 tokens
    python benchmarks/finetune.py whole TRAIN VALIDATION  whole runs: evaluation and saving too
    python benchmarks/finetune.py equal                   time to finish at equal quality, from rows

Others run under the interpreter given by `--rivals`, which `make .venv-rivals` sets up. One row
per contender is added to `results/`. The rules are in docs/en/how-to/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from harness import RIVALS, interpreter, rival_versions
from multihot.models.devices import choose_device, choose_precision
from multihot.models.encoder import locate_encoder
from provenance import provenance
from show import show_and_keep
from texts import add_data_arguments, long_documents, read_rows, shuffled, token_lengths
from training_slices import Plan, best_trainer_setting, contenders, measure
from whole_runs import compare_equal, run_whole

_LONG_DOCUMENTS = 4000


def main() -> None:
    """Read the command line and run one of the three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parsers = parser.add_subparsers(dest="what")
    _steps_parser(parsers.add_parser("steps"))
    whole = parsers.add_parser("whole")
    add_data_arguments(whole)
    _shared(whole)
    whole.add_argument("--epochs", type=int, help="of both; default: 5 and what ours has")
    whole.add_argument("--rows", type=int, help="only so many training rows, for both sides")
    whole.add_argument("--seeds", type=int, nargs="+", default=[0])
    whole.add_argument("--ours", nargs="*", default=[], metavar="key=value", help="our options")
    whole.add_argument("--goal", default="jaccard")
    equal = parsers.add_parser("equal")
    equal.add_argument("--results", default="finetune_whole_202611.csv")
    given = parser.parse_args(_with_verb())
    if given.what == "whole":
        run_whole(given)
    elif given.what == "equal":
        compare_equal(given.results)
    else:
        _steps(given)


def _with_verb() -> list[str]:
    import sys

    words = sys.argv[1:]
    known = ("steps", "whole", "equal", "-h", "--help")
    return words if words and words[0] in known else ["steps", *words]


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rivals", type=interpreter, default=RIVALS, metavar="PYTHON")
    parser.add_argument("--encoder", default="starter")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--max-length", type=int, help="default: 128, as in the tutorial")
    parser.add_argument("--results", default=None, help="file in results/")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")


def _steps_parser(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, validation=False)
    _shared(parser)
    parser.add_argument("--long", action="store_true", help="documents of up to 512 tokens")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slice-texts", type=int, default=192, help="a multiple of 64")
    parser.add_argument("--best-batches", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--best-precisions", choices=("fp32", "bf16"), nargs="+")
    parser.add_argument("--our-batches", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--only", nargs="+", help="contenders whose name begins so")
    parser.add_argument("--seed", type=int, default=0)


def _steps(given: argparse.Namespace) -> None:
    folder = locate_encoder(given.encoder).folder
    born, rivals = provenance(), rival_versions(given.rivals)
    rows = read_rows(given.train)
    max_length = given.max_length or (512 if given.long else 128)
    if given.long:
        rows = long_documents(rows, folder, _LONG_DOCUMENTS, given.seed)
    precision = choose_precision("auto", choose_device("cpu"))
    print(f"Rivals at their best use {precision.name}: {precision.reason}.")
    with tempfile.TemporaryDirectory() as scratch:
        num_texts = given.slice_texts * (given.rounds + 1) + 64
        rows = shuffled(rows, num_texts, given.seed)
        plan = Plan(
            rows=rows.write(Path(scratch) / "rows.jsonl"),
            labels=rows.space,
            lengths=token_lengths(rows.texts, folder, max_length),
            encoder=folder,
            rivals=given.rivals,
            max_length=max_length,
            slice_texts=given.slice_texts,
            rounds=given.rounds,
            threads=given.threads,
            device="cpu",
            rival_precision=precision.name,
            seed=given.seed,
        )
        best = best_trainer_setting(
            plan, given.best_batches, given.best_precisions or [precision.name], rounds=2
        )
        everyone = contenders(plan, best, given.our_batches)
        if given.only:
            everyone = [one for one in everyone if one.name.startswith(tuple(given.only))]
        found = measure(plan, everyone)
    found = [{"data": rows.name, "encoder": given.encoder, **row} for row in found]
    results = given.results or "finetune_202611.csv"
    show_and_keep(results, found, {**born, **rivals}, keep=not given.no_row)


if __name__ == "__main__":
    main()
