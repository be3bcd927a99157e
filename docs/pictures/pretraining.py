"""Draw the pictures of docs/en/explanation/pretraining.md with the code that pretraining itself runs.

Needs matplotlib (`pip install 'multihot[plots]'`). Run it from anywhere:
python docs/pictures/pretraining.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from matplotlib.patches import FancyBboxPatch, Rectangle
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from multihot.data.corpus.masking import MaskedBatch, mask_batch, mask_vocabulary
from multihot.data.corpus.pairs import Pairs, make_pairs
from multihot.data.corpus.tokenize import CorpusTokens

HERE = Path(__file__).parent
DOCUMENTS = (
    ("It had rained since the morning.", "Anna looked for her umbrella."),
    ("The bakery opens at six.", "Its bread is still warm then."),
    ("A comet has a tail of dust.", "The sun pushes the dust away."),
    ("The old clock had stopped.", "Nobody knew what time it was."),
    ("He planted a tree in spring.", "It carried apples after four years."),
    ("The train left without us.", "So we walked along the river."),
    ("It was late.", "We slept."),
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIDES = ("#cfe3f7", "#fbe3c4")
KINDS = {"mask": "#c0392b", "random": "#8e44ad", "kept": "#1e8449"}
TEXT_OF_KINDS = {
    "mask": "80 %: replaced by [MASK]",
    "random": "10 %: replaced by a random token",
    "kept": "10 %: unchanged",
}
DOCUMENT_COLOURS = ("#cfe3f7", "#fbe3c4", "#d5ecd4", "#f6d5d5", "#e3d9f2", "#eeeeda", "#e5e5e5")
INK = "#222222"
WIDE = 0.115  # units of width per character


def main() -> None:
    """Write the three pictures."""
    mpl.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "multihot", "font.family": "sans-serif"}
    )
    tokenizer = small_tokenizer()
    corpus = tokenized(tokenizer)
    batch = batch_with_everything(corpus, tokenizer)
    save(draw_masked(batch, tokenizer), "masked-pairs.svg")
    save(draw_pairs(corpus, tokenizer), "next-sentence-pairs.svg")
    save(draw_heads(batch_with_a_short_pair(corpus, tokenizer)), "packed-heads.svg")


def small_tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer that knows the words above; long words are two pieces."""
    splitter = pre_tokenizers.BertPreTokenizer()
    words = {
        word
        for document in DOCUMENTS
        for sentence in document
        for word, _ in splitter.pre_tokenize_str(sentence.lower())
    }
    pieces = {
        piece
        for word in words
        for piece in ([word[:5], f"##{word[5:]}"] if len(word) > 7 else [word])
    }
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL, *sorted(pieces)])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def tokenized(tokenizer: Tokenizer) -> CorpusTokens:
    """Return the documents as pretraining stores them."""
    sentences = [tokenizer.encode(text).ids for document in DOCUMENTS for text in document]
    return CorpusTokens(
        np.concatenate(sentences).astype(np.uint16),
        np.cumsum([0, *map(len, sentences)]),
        np.cumsum([0, *map(len, DOCUMENTS)]),
        np.arange(len(DOCUMENTS)),
    )


def pairs_of_both_kinds(corpus: CorpusTokens) -> Pairs:
    """Return the examples of the first epoch that has many pairs of both kinds."""
    for seed in range(10_000):
        generator = np.random.default_rng(seed)
        pairs = make_pairs(corpus, max_length=32, next_sentence=True, generator=generator)
        if len(pairs) == len(DOCUMENTS) and pairs.is_random.sum() in (2, 4):
            return pairs
    raise RuntimeError("No epoch has pairs of both kinds; change the documents.")


def batch_with_everything(corpus: CorpusTokens, tokenizer: Tokenizer) -> MaskedBatch:
    """Return two pairs, one of each kind, in whose words all three replacements occur."""
    pairs, vocabulary = pairs_of_both_kinds(corpus), mask_vocabulary(tokenizer)
    rows = np.array([np.flatnonzero(pairs.is_random == kind)[0] for kind in (0, 1)])
    for seed in range(10_000):
        generator = np.random.default_rng(seed)
        batch = mask_batch(corpus, pairs, rows, vocabulary, generator=generator)
        shown = {kind_of(batch, index, tokenizer) for index in range(len(batch.masked_positions))}
        if shown == set(KINDS) and tokenizer.token_to_id(".") not in batch.masked_labels:
            return batch
    raise RuntimeError("No draw shows all three replacements; change the documents.")


def batch_with_a_short_pair(corpus: CorpusTokens, tokenizer: Tokenizer) -> MaskedBatch:
    """Return two long pairs and the shortest one."""
    pairs = pairs_of_both_kinds(corpus)
    rows = np.argsort(-pairs.lengths, kind="stable")[[0, 1, -1]]
    generator = np.random.default_rng(0)
    return mask_batch(corpus, pairs, rows, mask_vocabulary(tokenizer), generator=generator)


def kind_of(batch: MaskedBatch, index: int, tokenizer: Tokenizer) -> str:
    """Return what became of a token that is to be predicted."""
    token, label = batch.input_ids[batch.masked_positions[index]], batch.masked_labels[index]
    if token == tokenizer.token_to_id("[MASK]"):
        return "mask"
    return "kept" if token == label else "random"


def draw_masked(batch: MaskedBatch, tokenizer: Tokenizer) -> Any:
    """Draw tokens, token types and what is to be predicted, one pair a line."""
    figure, axes = canvas(13.5, 4.6)
    labels = {
        int(position): (
            tokenizer.id_to_token(int(batch.masked_labels[index])),
            kind_of(batch, index, tokenizer),
        )
        for index, position in enumerate(batch.masked_positions)
    }
    for number, start in enumerate(batch.cu_seq_lens[:-1]):
        left, top = 0.1, 4.0 - 1.75 * number
        what = "random" if batch.is_random[number] else "next"
        caption = f"pair {number}: is the second side the next one?  class {batch.is_random[number]} ({what})"
        axes.text(left, top + 0.28, caption, fontsize=10, color=INK, weight="bold")
        for position in range(start, batch.cu_seq_lens[number + 1]):
            token = tokenizer.id_to_token(int(batch.input_ids[position]))
            label, kind = labels.get(position, ("", ""))
            width = 0.16 + WIDE * max(len(token), len(label), 2)
            side = SIDES[batch.token_type_ids[position]]
            edge = KINDS.get(kind, "white")
            box(axes, (left, top - 0.3), (width - 0.05, 0.42), side, edge)
            middle = left + width / 2 - 0.025
            write(axes, (middle, top - 0.09), token, 9)
            write(axes, (middle, top - 0.42), str(batch.token_type_ids[position]), 7)
            write(axes, (middle, top - 0.56), str(position), 7, "#888888")
            if label:
                write(axes, (middle, top - 0.78), label, 9, KINDS[kind], weight="bold")
            left += width
        for line, word in ((0.42, "token type"), (0.56, "position in row"), (0.78, "to predict")):
            axes.text(left + 0.1, top - line, word, fontsize=7, va="center", color="#888888")
    for number, (kind, caption) in enumerate(TEXT_OF_KINDS.items()):
        box(axes, (0.1 + 4.1 * number, 0.22), (0.3, 0.25), "white", KINDS[kind])
        axes.text(0.5 + 4.1 * number, 0.34, caption, fontsize=9, va="center", color=INK)
    return figure


def draw_pairs(corpus: CorpusTokens, tokenizer: Tokenizer) -> Any:
    """Draw the pairs of one epoch, each side in the colour of its document."""
    pairs = pairs_of_both_kinds(corpus)
    figure, axes = canvas(13.5, 0.55 * len(pairs) + 0.75)
    for number in range(len(pairs)):
        top = 0.55 * (len(pairs) - number) - 0.35
        for left, span in ((0.1, pairs.first_spans[number]), (5.6, pairs.second_spans[number])):
            document = int(
                np.searchsorted(corpus.sentence_offsets[corpus.document_offsets], span[0], "right")
            )
            text = tokenizer.decode([int(token) for token in corpus.ids[span[0] : span[1]]])
            box(axes, (left, top), (5.3, 0.42), DOCUMENT_COLOURS[document - 1], "white")
            axes.text(left + 0.12, top + 0.2, text, fontsize=9, va="center", color=INK)
        caption = ("0: is next", "1: random")[pairs.is_random[number]]
        colour = (KINDS["kept"], KINDS["mask"])[pairs.is_random[number]]
        axes.text(11.1, top + 0.2, caption, fontsize=10, va="center", color=colour, weight="bold")
    heading = 0.55 * len(pairs) + 0.4
    for left, word in ((0.1, "first side"), (5.6, "second side"), (11.1, "class")):
        axes.text(left, heading, word, fontsize=9, va="center", color=INK, weight="bold")
    return figure


def draw_heads(batch: MaskedBatch) -> Any:
    """Draw which cells are computed: padded with full heads, and packed with heads where needed."""
    figure, axes = canvas(13.5, 4.1)
    lengths = np.diff(batch.cu_seq_lens)
    longest, cell = int(lengths.max()), 0.22
    axes.text(0.1, 3.85, "padded, a head on every token", fontsize=10, weight="bold", color=INK)
    axes.text(0.1, 1.3, "packed, heads on selected tokens", fontsize=10, weight="bold", color=INK)
    for number, length in enumerate(lengths):
        for column in range(longest):
            is_token = column < length
            colour = (
                SIDES[batch.token_type_ids[batch.cu_seq_lens[number] + column]]
                if (is_token)
                else "#eeeeee"
            )
            base = 3.35 - 0.62 * number
            square(axes, 0.1 + cell * column, base, cell, colour)
            square(axes, 0.1 + cell * column, base - 0.24, cell, KINDS["mask"], faint=True)
    for position in range(len(batch.input_ids)):
        side = SIDES[batch.token_type_ids[position]]
        square(axes, 0.1 + cell * position, 0.8, cell, side)
        if position in batch.masked_positions:
            square(axes, 0.1 + cell * position, 0.56, cell, KINDS["mask"])
        elif position in batch.cu_seq_lens[:-1]:
            square(axes, 0.1 + cell * position, 0.56, cell, "#34495e")
    legend = (
        (SIDES[0], "encoder, first side"),
        (SIDES[1], "encoder, second side"),
        ("#eeeeee", "encoder on padding"),
        (KINDS["mask"], "head over the vocabulary"),
        ("#34495e", "next-sentence head"),
    )
    for number, (colour, caption) in enumerate(legend):
        square(axes, 0.1 + 2.7 * number, 0.1, cell, colour)
        axes.text(0.42 + 2.7 * number, 0.2, caption, fontsize=9, va="center", color=INK)
    return figure


def canvas(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure and axes whose units are those of the drawing."""
    figure = pyplot.figure(figsize=(width * 0.75, height * 0.75))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    figure.patch.set_facecolor("white")
    return figure, axes


def box(
    axes: Any, corner: Sequence[float], size: tuple[float, float], fill: str, edge: str
) -> None:
    """Draw a rounded box."""
    shape = "round,pad=0,rounding_size=0.06"
    axes.add_patch(
        FancyBboxPatch(corner, *size, shape, facecolor=fill, edgecolor=edge, linewidth=1.6)
    )


def square(
    axes: Any, left: float, bottom: float, size: float, fill: str, *, faint: bool = False
) -> None:
    """Draw one cell."""
    style = {"alpha": 0.45} if faint else {}
    axes.add_patch(
        Rectangle((left, bottom), size * 0.86, 0.2, facecolor=fill, edgecolor="none", **style)
    )


def write(
    axes: Any, position: tuple[float, float], text: str, size: int, colour: str = INK, **style: Any
) -> None:
    """Write centred text; `$` would begin mathematics."""
    centred = {"ha": "center", "va": "center", "parse_math": False}
    axes.text(*position, text, fontsize=size, color=colour, **centred, **style)


def save(figure: Any, name: str) -> None:
    """Write an SVG that is the same in every run."""
    figure.savefig(HERE / name, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
