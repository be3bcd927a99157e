"""Try to make a server lie, lose requests, fail or grow, and count how often that succeeds.

    python benchmarks/serving_faults.py mixups MODEL TEXTS
    python benchmarks/serving_faults.py mixups MODEL TEXTS --workers 2 --decide-with LABELLED

`mixups`: clients ask for different texts at once on every route; each score, label and version of an answer
must be the library's own. With `--decide-with`, `multihot decide` renews the decision every few seconds.

A row for each run goes into `results/`. Exit code 0 if nothing was wrong, else 1. Linux only: processes are
watched in /proc.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from provenance import append_row, provenance
from serving_mixups import find_mixups

_RESULTS = "serving_faults_202611.csv"
_PACKAGES = ("fastapi", "starlette", "uvicorn", "httptools", "onnxruntime", "numpy")


def main() -> int:
    """Run with the words of the command line; return the exit code."""
    given = _parser().parse_args()
    passed: bool = given.run(given)
    return 0 if passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    mixups = commands.add_parser("mixups")
    mixups.set_defaults(run=_mixups)
    mixups.add_argument("model", type=Path, help="folder of an export")
    mixups.add_argument("texts", type=Path, help="file of texts")
    mixups.add_argument("--requests", type=int, default=100_000)
    mixups.add_argument("--clients", type=int, default=64)
    mixups.add_argument("--workers", type=int, default=1)
    mixups.add_argument("--decide-with", type=Path, help="labelled texts")
    return parser


def _mixups(given: argparse.Namespace) -> bool:
    found = find_mixups(
        given.model,
        given.texts,
        given.decide_with,
        requests=given.requests,
        clients=given.clients,
        workers=given.workers,
    )
    passed = not (found.wrong or found.refused or found.failed)
    _record(
        {
            "what": "mixups",
            "workers": given.workers,
            "requests": found.requests,
            "texts": found.texts,
            "different_texts": found.different_texts,
            "wrong": found.wrong,
            "refused": found.refused,
            "failed": found.failed,
            "largest_difference": f"{found.largest_difference:.1e}",
            "decisions": found.decisions,
            "renewals": found.renewals,
            "seconds": f"{found.seconds:.0f}",
        }
    )
    for sentence in found.examples:
        print(f"  {sentence}")
    print(f"  {dict(found.routes)}")
    return passed


def _record(row: Mapping[str, object]) -> None:
    print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
    versions = " ".join(f"{name}={version(name)}" for name in _PACKAGES)
    append_row(_RESULTS, {**row, **provenance(), "versions": versions})


if __name__ == "__main__":
    sys.exit(main())
