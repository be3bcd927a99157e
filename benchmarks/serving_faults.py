"""Try to make a server lie, lose requests, fail or grow, and count how often that succeeds.

    python benchmarks/serving_faults.py mixups MODEL TEXTS
    python benchmarks/serving_faults.py mixups MODEL TEXTS --workers 2 --decide-with LABELLED
    python benchmarks/serving_faults.py stops MODEL TEXTS
    python benchmarks/serving_faults.py hostile MODEL
    python benchmarks/serving_faults.py soak MODEL TEXTS

`mixups`: clients ask for different texts at once on every route; each score, label and version of an answer
must be the library's own. With `--decide-with`, `multihot decide` renews the decision every few seconds.

`stops`: SIGTERMs to servers that work, of one and of two workers, and kills and stops of workers; then every
other signal that a server may get. A request is accepted when the server's own log has it.

`hostile`: requests that no honest client sends, of every kind that servers were caught with, then what
schemathesis makes of `/openapi.json`; the statuses that are expected are stated, and a 500 is none of them.
All of it is sent twice. Memory growth is that of a server that has seen the largest requests that are accepted,
on every route; the second pass alone shows what leaks.

`soak`: short requests from wrk, half of them on connections of their own; memory is that of the process
without mapped files, and its slope is by least squares after the first 100,000 requests.

A row for each run goes into `results/`. Exit code 0 if nothing was wrong, else 1. Linux only: processes are
watched in /proc.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from multihot.data.labelled_file import read_examples
from provenance import append_row, provenance
from serving_hostile import hostile
from serving_mixups import find_mixups
from serving_soak import soak
from serving_stops import kill_workers, other_signals, stop_servers

_MOST_SLOPE = 2.0  # megabytes for 100,000 requests
_MOST_GROWTH = 0.05  # of memory
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
    stops = commands.add_parser("stops")
    stops.set_defaults(run=_stops)
    stops.add_argument("model", type=Path, help="folder of an export")
    stops.add_argument("texts", type=Path, help="file of texts")
    stops.add_argument(
        "--stops", type=int, default=50, help="SIGTERMs, half of them with 2 workers"
    )
    stops.add_argument("--kills", type=int, default=20, help="of workers")
    soaked = commands.add_parser("soak")
    soaked.set_defaults(run=_soak)
    soaked.add_argument("model", type=Path, help="folder of an export")
    soaked.add_argument("texts", type=Path, help="file of texts")
    soaked.add_argument("--requests", type=int, default=1_000_000)
    refused = commands.add_parser("hostile")
    refused.set_defaults(run=_hostile)
    refused.add_argument("model", type=Path, help="folder of an export")
    refused.add_argument(
        "--generate",
        type=int,
        default=10_000,
        help="requests of schemathesis, in both passes together",
    )
    refused.add_argument("--rounds", type=int, default=3, help="how often each kind is sent")
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


def _stops(given: argparse.Namespace) -> bool:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started this may ignore it
    texts = list(read_examples(given.texts).texts)
    passed = True
    for workers, count in ((1, (given.stops + 1) // 2), (2, given.stops // 2)):
        found = stop_servers(given.model, texts, stops=count, workers=workers)
        passed &= not (found.lost or found.bad_exits or found.timed_out)
        _record(
            {
                "what": "SIGTERM",
                "workers": workers,
                "signals": found.stops,
                "requests": found.requests,
                "accepted": found.accepted,
                "lost": found.lost,
                "failed": found.bad_exits + found.timed_out,
                "refused": found.refused_after,
                "ready_seconds_after_signal": f"{found.slowest_unready:.3f}",
                "slowest_seconds": f"{found.slowest_stop:.1f}",
            }
        )
    for by, count in ((signal.SIGKILL, given.kills), (signal.SIGSTOP, min(given.kills, 3))):
        killed = kill_workers(given.model, texts, kills=count, by=by)
        passed &= not killed.other_failures
        _record(
            {
                "what": f"{by.name} of a worker",
                "workers": 2,
                "signals": killed.kills,
                "requests": killed.answered,
                "failed": killed.other_failures,
                "closed": killed.closed,
                "most_closed_at_once": killed.most_closed,
                "seconds": f"{sorted(killed.seconds)[len(killed.seconds) // 2]:.1f}",
                "slowest_seconds": f"{max(killed.seconds):.1f}",
            }
        )
    problems = other_signals(given.model, texts)
    for sentence in problems:
        print(f"  {sentence}")
    _record({"what": "other signals", "failed": len(problems)})
    return passed and not problems


def _soak(given: argparse.Namespace) -> bool:
    texts = list(read_examples(given.texts).texts)
    found = soak(
        given.model, texts, requests=given.requests, say=lambda line: print(line, flush=True)
    )
    _record(
        {
            "what": "soak",
            "workers": 1,
            "requests": found.requests[-1],
            "failed": found.failed,
            "refused": found.refused,
            "megabytes_per_100000": f"{found.slope:.2f}",
            "megabytes": f"{found.megabytes[-1]:.0f}",
            "p99_milliseconds": f"{np.median(found.p99_milliseconds):.1f}",
            "p99_drift": f"{found.drift(found.p99_milliseconds):+.2f}",
            "p50_drift": f"{found.drift(found.p50_milliseconds):+.2f}",
            "seconds": f"{found.seconds:.0f}",
        }
    )
    return not (found.failed or found.refused or found.exit_code) and found.slope < _MOST_SLOPE


def _hostile(given: argparse.Namespace) -> bool:
    found = hostile(given.model, generate=given.generate, rounds=given.rounds)
    for sentence in sorted(set(found.unexpected)):
        print(f"  {sentence}")
    bad = found.failures + found.hangs + found.crashes
    _record(
        {
            "what": "hostile",
            "workers": 1,
            "kinds": found.kinds,
            "requests": found.requests,
            "failures_500": found.failures,
            "hangs": found.hangs,
            "crashes": found.crashes,
            "unexpected": len(set(found.unexpected)),
            "memory_growth": f"{found.grown:+.3f}",
            "memory_growth_of_second_pass": f"{found.grown_again:+.3f}",
            "megabytes_at_start_warm_and_after_passes": " ".join(
                f"{each:.1f}" for each in found.megabytes
            ),
            "slowest_probe_seconds": f"{found.slowest_probe:.2f}",
        }
    )
    return not bad and not found.unexpected and found.grown < _MOST_GROWTH


def _record(row: Mapping[str, object]) -> None:
    print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
    versions = " ".join(f"{name}={version(name)}" for name in _PACKAGES)
    append_row(_RESULTS, {**row, **provenance(), "versions": versions})


if __name__ == "__main__":
    sys.exit(main())
