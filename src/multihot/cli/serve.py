"""`multihot serve`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from multihot.cli.arguments import new_parser, parse
from multihot.cli.console import say
from multihot.core.extras import require_serving

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot serve exported/ec
  multihot serve exported/ec exported/topics --port 9000 --workers 2
  multihot serve exported/ec --host 0.0.0.0 --token-file token.txt

Exports answer fastest, and need no torch: 'multihot export MODEL --to onnx --output DIR' writes one.
POST /v1/predict labels texts; / is a page to try it; /openapi.json describes the rest, in the shapes of
other servers, too. A model is known by the name of its folder; requests that name none get the first.
A decision that 'multihot decide' writes into a served folder answers within seconds, without a restart.
Only this machine reaches the server, unless --host says otherwise; then a token is required, in the
first line of a file or in MULTIHOT_TOKEN. SIGTERM lets accepted requests come to their end; a second
one ends the server at once. The exit code is 1 where that left requests without an answer.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("serve", "Answer over HTTP.", _EPILOG)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="folder of a model or an export")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="0: any (default: 8000)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--backend", default="auto", help="auto, torch, onnx, openvino")
    parser.add_argument("--token-file", metavar="FILE", help="what clients must know is in it")
    parser.add_argument(
        "--insecure", action="store_true", help="other machines may ask without a token"
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which clients call the server; may be repeated",
    )
    parser.add_argument(
        "--allowed-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="of a page elsewhere that may ask; may be repeated",
    )
    limits = parser.add_argument_group("limits")
    for flag, kind, default, text in (
        ("--max-texts", int, 32, "texts in a request"),
        ("--max-characters", int, 100_000, "characters in a text"),
        ("--max-body-bytes", int, 2_000_000, "bytes in a request"),
        ("--pass-tokens", int, 2048, "tokens that are computed together, about"),
        ("--max-queue-tokens", int, 16_384, "tokens that wait; what comes then gets 429"),
        ("--deadline", float, 10.0, "seconds until a request gets 504"),
        ("--body-deadline", float, 10.0, "seconds for a client to send a request"),
        ("--drain", float, 30.0, "seconds for accepted requests after SIGTERM"),
    ):
        limits.add_argument(
            flag, type=kind, default=default, metavar="N", help=f"{text} (default: {default:.0f})"
        )
    parser.add_argument(
        "--log-requests", action="store_true", help="write a line for each request, without texts"
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    require_serving()
    from multihot.serving.options import ServeOptions, checked_token, read_token

    token = None
    if given.token_file is not None:
        token = read_token(given.token_file)
    elif stated := os.environ.get("MULTIHOT_TOKEN"):
        token = checked_token(stated, "MULTIHOT_TOKEN")
    options = ServeOptions(
        models=tuple(given.models),
        host=given.host,
        port=given.port,
        workers=given.workers,
        backend=given.backend,
        token=token,
        insecure=given.insecure,
        allowed_hosts=tuple(given.allowed_host),
        allowed_origins=tuple(given.allowed_origin),
        max_texts=given.max_texts,
        max_characters=given.max_characters,
        max_body_bytes=given.max_body_bytes,
        pass_tokens=given.pass_tokens,
        max_queue_tokens=given.max_queue_tokens,
        deadline_seconds=given.deadline,
        body_seconds=given.body_deadline,
        drain_seconds=given.drain,
        log_requests=given.log_requests,
    )
    from multihot.serving.processes import serve

    code = serve(options, lambda address: say(f"{address} answers; Ctrl+C stops it."))
    if code == 0:
        say("The server has stopped; what it had accepted is answered.")
    elif code == 1:
        say("The server has stopped; some requests that it had accepted are not answered.")
    return code
