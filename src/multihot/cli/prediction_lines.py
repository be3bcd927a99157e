"""Predictions as JSON lines, or as lines for people."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from multihot.cli.arguments import json_text
from multihot.cli.prediction_tables import TextOutput, Write
from multihot.core.text_tables import printable

if TYPE_CHECKING:
    from multihot.data.text_stream import TextRow
    from multihot.inference.prediction import Prediction
    from multihot.inference.window_logits import WindowsRead

__all__ = ["text_writer"]

_MOST_LABELS = 50  # of a text in a line for people


def text_writer(
    output: TextOutput, *, as_json: bool, is_printed: bool, top: int | None, abstains: bool
) -> Write:
    """Return what writes predictions as JSON lines, or as lines for people; `top` scores of each."""
    if as_json:
        return lambda row, prediction: _write_json(
            output,
            row,
            _topped(prediction, top),
            is_printed=is_printed,
            abstains=abstains,
        )
    return lambda row, prediction: _write_plain(output, row, prediction, top)


def _write_json(
    output: TextOutput, row: TextRow, prediction: Prediction, *, is_printed: bool, abstains: bool
) -> None:
    content: dict[str, object] = {
        "id": row.id,
        "text": row.text,
        "labels": prediction.labels,
        "scores": {name: round(score, 6) for name, score in prediction.scores.items()},
        "truncated": prediction.truncated,
    }
    if abstains:
        content["abstained"] = prediction.abstained
    if prediction.windows is not None:
        content["windows"] = prediction.windows.to_json()
    output.write(
        json_text(content) if is_printed else json.dumps(content, ensure_ascii=False) + "\n"
    )


def _write_plain(output: TextOutput, row: TextRow, prediction: Prediction, top: int | None) -> None:
    scored = ", ".join(
        f"{name} ({prediction.scores[name]:.2f})" for name in prediction.labels[:_MOST_LABELS]
    )
    if (more := len(prediction.labels) - _MOST_LABELS) > 0:
        scored += f" and {more} more (--json has all)"
    nothing = "abstained" if prediction.abstained else "no label"
    lines = [row.text, f"  -> {scored or nothing}"]
    if prediction.windows is not None and len(prediction.windows.spans) > 1:
        lines += [f"     {line}" for line in _window_lines(prediction.windows)]
    if top is not None:
        scores = _topped(prediction, top).scores
        lines.append(
            "  highest: " + ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
        )
    output.write("\n".join(map(printable, lines)) + "\n")


def _window_lines(windows: WindowsRead) -> Iterator[str]:
    """Yield for each label which window of its text speaks for it."""
    for name, number in windows.loudest.items():
        start, end = windows.spans[number]
        yield f"{name}: window {number + 1} of {len(windows.spans)}, characters {start} to {end}"


def _topped(prediction: Prediction, top: int | None) -> Prediction:
    """Return a prediction with its highest scores only, the highest first."""
    if top is None:
        return prediction
    scores = heapq.nlargest(top, prediction.scores.items(), key=lambda pair: pair[1])
    return replace(prediction, scores=dict(scores))
