"""`multihot bench`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from multihot.cli.arguments import data_options, new_parser, parse, print_json
from multihot.cli.console import say, show, table_width
from multihot.errors import OptionError

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot bench exported/ec
  multihot bench exported/ec tweets.csv --seconds 60
  multihot bench runs/ec tweets.csv --json > bench.json

Measures latency and throughput on this machine: a fresh process, batches of 1 to 128 texts with 1 to all
processors, then the engine of 'multihot serve' under 64 clients and under requests at random times, at
50 to 200 % of what it answers at most. The last lines are settings for 'multihot serve', each with the
measurement behind it. Without FILE the texts are those of the bundled data set; yours are longer or
shorter, so give them. HTTP itself is not measured. Nothing else should run meanwhile.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("bench", "Measure how fast a model answers on this machine.", _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder of a model or an export")
    parser.add_argument("file", nargs="?", metavar="FILE", help="file of texts to ask")
    parser.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="time to spend (default: 20)"
    )
    parser.add_argument("--backend", default="auto", help="auto, torch, onnx, openvino")
    parser.add_argument("--seed", type=int, default=0, help="of the arrival times (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("assignments", nargs="*", default=[], metavar="data.key=value")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)

    from multihot.core.recipes import to_plain
    from multihot.inference.artifact import read_artifact
    from multihot.workflows.bench import bench, texts_to_measure

    artifact = read_artifact(given.model)  # verified when its network is loaded
    if given.file is None and given.assignments:
        raise OptionError("data.KEY=VALUE changes how FILE is read, and there is none.")
    data = data_options(given.assignments, to_plain(artifact.data))
    texts, source = texts_to_measure(given.file, data)
    if given.file is None:
        say("Without FILE, the texts are those of the bundled data set; yours may be longer.")
    result = bench(
        given.model,
        texts,
        source=source,
        seconds=given.seconds,
        backend=given.backend,
        seed=given.seed,
        progress=say,
    )
    if given.json:
        print_json(result.to_json())
    else:
        show(result.to_text(width=table_width()))
    return 0
