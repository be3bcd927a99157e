"""`multihot explain`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from multihot.cli.arguments import (
    add_backend_flags,
    data_options,
    new_parser,
    parse,
    print_json,
    refuse_file_name,
)
from multihot.cli.console import Painted, TextCounter, say, say_note, show_painted
from multihot.core.text_tables import counted, cut, printable, shortened
from multihot.errors import OptionError

if TYPE_CHECKING:
    from multihot.inference.explanation import Explanation, LabelReasons
    from multihot.inference.predictor import Predictor
    from multihot.workflows.evidence import Evidence

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot explain runs/ec "I'm happy, the bert model is so good"
  multihot explain runs/ec "never again" --label anger --label fear --evidence train.csv

Each word has a number: how much it added to the label's logit, or took from it. With --method gradients
(integrated gradients, the default where torch runs the model) the words add up to the difference between
the text and the same text with every token masked; whether they do is printed. With --method occlusion
the number is how far the logit falls without the word. Words are characters where a script puts no
spaces. Explained are the labels that the text gets, at most 20, and with --all-labels at most 100: those
that are nearest to their thresholds. On a terminal the text is coloured, blue for and orange against, unless NO_COLOR is set.
--json prints one document: {"texts": [{"text", "words": [[WORD, START, END]], "labels_left_out", "labels":
{NAME: {"score", "threshold", "given", "logit", "baseline_logit", "values", "sum", "error", "complete",
"steps"}}, "evidence"}]}.
"""
_FOR = ("30;48;5;195", "30;48;5;117", "97;48;5;25")
_AGAINST = ("30;48;5;230", "30;48;5;216", "97;48;5;130")
_SHARES = (0.15, 0.4, 0.75)
"""Of the largest weight: below the first a word stays plain."""
_MOST_LABELS = 100  # of each text with --all-labels
_MAX_SHOWN = 160  # characters of a training text
_MAX_WORD = 40  # characters of a word in the list of weights


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("explain", "Show which words spoke for and against labels.", _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder that 'multihot train' wrote")
    parser.add_argument("texts", nargs="*", default=[], metavar="TEXT", help="texts to explain")
    parser.add_argument(
        "--label",
        action="append",
        metavar="NAME",
        help="explain this label; may be repeated (default: those that the text gets)",
    )
    parser.add_argument("--all-labels", action="store_true", help="explain all labels")
    parser.add_argument("--method", default="auto", help="auto, gradients, occlusion")
    parser.add_argument(
        "--evidence", metavar="TRAIN", help="show the nearest texts of this labelled file"
    )
    parser.add_argument(
        "--top", type=int, default=5, metavar="K", help="words and near texts listed (default: 5)"
    )
    add_backend_flags(parser, precision=False)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    literal = list(arguments)[list(arguments).index("--") + 1 :] if "--" in arguments else []
    texts, pairs = _texts(given, literal)

    from multihot.inference.explained_labels import MOST_LABELS
    from multihot.inference.explanation import explain
    from multihot.inference.predictor import Predictor

    predictor = Predictor.load(given.model, device=given.device, backend=given.backend)
    labels, is_part = given.label, given.all_labels and len(predictor.space) > _MOST_LABELS
    if given.all_labels and not is_part:
        labels = list(predictor.space.names)
    found = explain(
        predictor,
        texts,
        labels=labels,
        method=given.method,
        most=_MOST_LABELS if is_part else MOST_LABELS,
        with_nearest=is_part,
    )
    if is_part:
        say(
            f"Of {len(predictor.space)} labels, the {_MOST_LABELS} of each text are explained that it gets or "
            "that are nearest to their thresholds; --label NAME explains others."
        )
    evidence = None if given.evidence is None else _evidence(predictor, texts, given, pairs)
    if given.json:
        print_json(_document(found, evidence))
    else:
        _show(found, evidence, given.top)
    _say_of_methods(found)
    _say_of_texts(found)
    return 0


def _document(
    found: Sequence[Explanation], evidence: Sequence[Sequence[Evidence]] | None
) -> dict[str, Any]:
    documents = [one.to_json() for one in found]
    for number, near in enumerate(evidence or ()):
        documents[number]["evidence"] = [each.to_json() for each in near]
    return {"texts": documents}


def _show(
    found: Sequence[Explanation], evidence: Sequence[Sequence[Evidence]] | None, top: int
) -> None:
    for number, explanation in enumerate(found):
        show_painted([("\n", None)] if number else [])
        show_painted(_painted(explanation, top))
        if evidence is not None:
            show_painted([(line, None) for line in _evidence_lines(evidence[number])])


def _texts(given: argparse.Namespace, literal: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return texts and `data.KEY=VALUE` pairs, which only a file of evidence has.

    What stands behind `--` is a text whatever it looks like.
    """
    texts: list[str] = list(given.texts)
    pairs: list[str] = []
    if given.evidence is not None:
        pairs = [text for text in texts if re.match(r"data\.\w+=", text)]
        texts = [text for text in texts if text not in pairs]
    if not texts:
        raise OptionError("Nothing to explain: give one or more texts.")
    for text in texts:
        if text not in literal:
            refuse_file_name(text, "explained as a text. To explain these words")
    if given.all_labels and given.label:
        raise OptionError("Give --label or --all-labels, not both.")
    if given.top < 1:
        raise OptionError(f"--top {given.top}; expected at least 1.")
    return texts, pairs


def _evidence(
    predictor: Predictor, texts: Sequence[str], given: argparse.Namespace, pairs: Sequence[str]
) -> list[list[Evidence]]:
    from multihot.core.recipes import to_plain
    from multihot.data.labelled_file import open_labelled
    from multihot.workflows.evidence import nearest_examples

    data = data_options(pairs, to_plain(predictor.artifact.data))
    examples = open_labelled(given.evidence, data, space=predictor.space)
    for note in examples.notes:
        say_note(note)
    counter = TextCounter(len(examples))
    return nearest_examples(predictor, texts, examples, count=given.top, progress=counter)


def _painted(explanation: Explanation, top: int) -> Painted:
    """Return the text once for each label, its words painted, and what they weigh."""
    parts: Painted = []
    for reasons in explanation.labels:
        limit = "by rank" if reasons.threshold is None else f"threshold {reasons.threshold:.2f}"
        state = "given" if reasons.given else "not given"
        parts.append(
            (
                f"{printable(reasons.label)}: {state} (score {reasons.score:.2f}, {limit})"
                f"{_window_line(explanation, reasons)}\n  ",
                None,
            )
        )
        parts += _painted_text(explanation, reasons)
        weights = sorted(
            zip(reasons.values, explanation.words, strict=True), key=lambda pair: -abs(pair[0])
        )
        for name, sign in (("for", 1), ("against", -1)):
            listed = [
                f"{printable(shortened(word.text, _MAX_WORD))} {value:+.2f}"
                for value, word in weights
                if value * sign > 0
            ]
            parts.append((f"\n  {name:<8} {'  '.join(listed[:top]) or '-'}", None))
        parts.append((f"\n  {_completeness(reasons)}\n", None))
    if explanation.truncated:
        unread = counted(len(explanation.words) - explanation.num_read, "word")
        parts.append((f"  The text was cut: {unread} at its end were not read.\n", None))
    return parts


def _window_line(explanation: Explanation, reasons: LabelReasons) -> str:
    """Return which window of a text in several a label is explained by."""
    if reasons.window is None or len(explanation.windows) == 1:
        return ""
    start, end = explanation.windows[reasons.window]
    number, total = reasons.window + 1, len(explanation.windows)
    return f", window {number} of {total}, characters {start} to {end}"


def _painted_text(
    explanation: Explanation, reasons: LabelReasons
) -> Iterator[tuple[str, str | None]]:
    largest = max(map(abs, reasons.values), default=0.0)
    words = explanation.words[: explanation.num_read]
    place, end = 0, len(explanation.text)
    if reasons.window is not None:
        place, end = explanation.windows[reasons.window]
    if place > 0:
        yield "... ", None
    for word, value in zip(words, reasons.values, strict=False):
        if word.end <= place:
            continue
        if word.start >= end:
            break
        yield printable(explanation.text[place : word.start]), None
        strength = sum(abs(value) >= share * largest for share in _SHARES) if largest else 0
        palette = _FOR if value > 0 else _AGAINST
        yield printable(word.text), palette[strength - 1] if strength else None
        place = word.end
    if explanation.num_read < len(explanation.words) or end < len(explanation.text.rstrip()):
        yield " ...", None


def _completeness(reasons: LabelReasons) -> str:
    if reasons.steps is None:
        return f"logit {reasons.logit:+.3f}, without any word {reasons.baseline_logit:+.3f}"
    doubt = "" if reasons.complete else "; inexact, so small weights mean little"
    return (
        f"baseline {reasons.baseline_logit:+.3f} and words {reasons.total:+.3f} make "
        f"{reasons.baseline_logit + reasons.total:+.3f}; the logit is {reasons.logit:+.3f} "
        f"({counted(reasons.steps, 'step')}{doubt})"
    )


def _evidence_lines(evidence: Sequence[Evidence]) -> Iterator[str]:
    yield "  nearest labelled texts, by cosine:\n"
    for one in evidence:
        labels = ", ".join(one.labels) or "no label"
        yield printable(
            f"  {one.similarity:.2f}  line {one.line}  {labels}: {shortened(one.text, _MAX_SHOWN)}"
        )
        yield "\n"


def _say_of_texts(found: Sequence[Explanation]) -> None:
    """Say which texts have labels that are not explained, and which have no word."""
    for number, explanation in enumerate(found, 1):
        if explanation.num_left_out:
            say(
                f"Text {number} of {len(found)} gets {counted(explanation.num_left_out, 'label')} more, which "
                "are not explained; --label NAME explains them."
            )
        if not explanation.words:
            say(f"Text {number} of {len(found)} has no word, so nothing in it explains its labels.")


def _say_of_methods(found: Sequence[Explanation]) -> None:
    inexact = [
        reasons.label for one in found for reasons in one.labels if reasons.complete is False
    ]
    if inexact:
        say(
            f"For {cut(inexact[0])} the words do not add up to the logit, even with the most steps; "
            "--method occlusion needs no such sum."
        )
