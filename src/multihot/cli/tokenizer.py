"""`multihot tokenizer`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from multihot.cli.arguments import new_parser, parse, print_json
from multihot.cli.console import ConsoleListener, show
from multihot.core.staging import check_new_folder
from multihot.errors import OptionError

__all__ = ["build_parser", "run"]

_DEFAULT_VOCAB_SIZE = 30522  # BERT's own
_EPILOG = """examples:
  multihot tokenizer books.txt --vocab-size 8192 --output runs/tokenizer
  multihot tokenizer corpus/ more.jsonl.gz --cased --output runs/tokenizer

A corpus is plain text with a blank line between documents, or JSON lines with "text" (a string) or
"paragraphs" (a list of strings), optionally compressed with gzip or Zstandard. Give files or folders.
Part of the documents is held out of training to measure the tokenizer.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("tokenizer", "Train a WordPiece tokenizer like BERT's.", _EPILOG)
    parser.add_argument("corpus", nargs="+", metavar="CORPUS", help="files or folders of documents")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the tokenizer")
    parser.add_argument(
        "--vocab-size",
        type=int,
        default=_DEFAULT_VOCAB_SIZE,
        metavar="N",
        help=f"entries, special tokens included (default: {_DEFAULT_VOCAB_SIZE})",
    )
    case = parser.add_mutually_exclusive_group()
    case.add_argument(
        "--lowercase", action="store_true", help="lower-case and strip accents (default)"
    )
    case.add_argument("--cased", action="store_true", help="keep case and accents")
    parser.add_argument(
        "--encoding", metavar="NAME", help="text encoding of the files (default: detected)"
    )
    parser.add_argument(
        "--held-out",
        type=float,
        default=0.05,
        metavar="FRACTION",
        help="fraction of the documents to measure the tokenizer on (default: 0.05)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)

    from multihot.data.corpus.documents import read_corpus
    from multihot.data.corpus.wordpiece import save_tokenizer, train_tokenizer

    output = Path(given.output)
    check_new_folder(output, advice="Choose another --output or delete it.")
    if not 0 < given.held_out < 1:
        raise OptionError(f"--held-out {given.held_out}; expected a number between 0 and 1.")
    with ConsoleListener() as listener:
        corpus = read_corpus(given.corpus, encoding=given.encoding)
        for note in corpus.notes:
            listener.say(note)
        tokenizer, coverage = train_tokenizer(
            corpus,
            vocab_size=given.vocab_size,
            lowercase=not given.cased,
            held_out_fraction=given.held_out,
            listener=listener,
        )
        save_tokenizer(tokenizer, output, lowercase=not given.cased)
        listener.say(f"Saved the tokenizer to {output}.")
    if given.json:
        print_json({"output": str(output), **coverage.to_json()})
    else:
        show(coverage)
    return 0
