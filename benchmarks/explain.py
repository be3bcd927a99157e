"""Do explained words matter: how far a label's logit falls without them, and equality with captum.

    python benchmarks/explain.py MODEL FILE [--texts 200] [--methods gradients occlusion] [--seed 0]

Deletion test: of every text with at least five words, for every label that the model gives it, the fifth
of the words with the largest weights is removed from the text, and the logit of what is left is compared
with that after removing as many random words (five draws). `times` is the ratio of the two mean falls
and `more` their difference, with 95 % intervals by bootstrap over texts; where random words change next
to nothing, only the difference has one that says something. Equality: the largest difference from captum's
`LayerIntegratedGradients` by token, for the same baseline and steps. One row a method in
`results/explain_202611.csv`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.data.labelled_file import read_examples
from multihot.inference.explanation import Explanation, explain
from multihot.inference.predictor import Predictor
from provenance import append_row, provenance

FILE = "explain_202611.csv"
SHARE = 0.2
DRAWS = 5
FEWEST_WORDS = 5
_RESAMPLES = 2000


def without(explanation: Explanation, dropped: Sequence[int]) -> str:
    """Return a text without some of its words; the white space stays."""
    kept, place, gone = [], 0, set(dropped)
    for number, word in enumerate(explanation.words):
        kept.append(explanation.text[place : word.start])
        kept += [] if number in gone else [word.text]
        place = word.end
    return "".join(kept) + explanation.text[place:]


def deletion(
    predictor: Predictor, found: Sequence[Explanation], seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return falls of logits without top and without random words, (pairs, 2), and the text of each."""
    generator = np.random.default_rng(seed)
    texts, columns, logits, rows = [], [], [], []
    for row, explanation in enumerate(found):
        num_words = explanation.num_read
        if num_words < FEWEST_WORDS:
            continue
        count = max(1, round(SHARE * num_words))
        for reasons in explanation.labels:
            if not reasons.given:
                continue
            order = np.argsort(-np.array(reasons.values[:num_words]), kind="stable")
            draws = [generator.permutation(num_words)[:count] for _ in range(DRAWS)]
            texts += [without(explanation, each.tolist()) for each in (order[:count], *draws)]
            columns.append(predictor.space.index(reasons.label))
            logits.append(reasons.logit)
            rows.append(row)
    left = predictor.logits(texts)[0].reshape(len(columns), 1 + DRAWS, -1)
    left = left[np.arange(len(columns)), :, columns]
    falls = np.array(logits)[:, None] - left
    return np.stack([falls[:, 0], falls[:, 1:].mean(axis=1)], axis=1), np.array(rows)


def intervals(
    falls: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
) -> dict[str, tuple[float, float]]:
    """Return the ends of the 95 % intervals of ratio and difference, by bootstrap over texts."""
    present = np.unique(rows)
    sums = np.stack([falls[rows == row].sum(axis=0) for row in present])
    counts = np.array([np.count_nonzero(rows == row) for row in present])
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(present), (_RESAMPLES, len(present)))
    top, random = sums[drawn].sum(axis=1).T
    found = {"times": top / random, "more": (top - random) / counts[drawn].sum(axis=1)}
    ends = {name: np.quantile(values, [0.025, 0.975]) for name, values in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def captum_difference(predictor: Predictor, texts: Sequence[str], steps: int = 32) -> float:
    """Return the largest difference of a token's value from captum's."""
    import torch
    from captum.attr import LayerIntegratedGradients

    from multihot.data.tokens import special_tokens, tokenize

    network = predictor.backend.network  # type: ignore[attr-defined]
    ours = predictor.backend.integrated_gradients()  # type: ignore[attr-defined]
    before, after = map(len, special_tokens(predictor.tokenizer))
    mask_id = predictor.tokenizer.token_to_id("[MASK]") or 0
    largest = 0.0
    for text in texts:
        tokens = tokenize(predictor.tokenizer, [text], predictor.artifact.max_length)
        ids = tokens.ids.astype(np.int64)
        baseline = ids.copy()
        baseline[before : len(ids) - after] = mask_id
        column = int(predictor.logits([text])[0].argmax())
        values = ours.of(ids, baseline, [column], steps).values[0]
        theirs = LayerIntegratedGradients(
            lambda each: network(each, torch.ones_like(each)),
            network.transformer.get_input_embeddings(),
        ).attribute(
            torch.from_numpy(ids)[None],
            torch.from_numpy(baseline)[None],
            target=column,
            n_steps=steps,
            method="gausslegendre",
        )
        expected = theirs.sum(-1)[0].detach().numpy()
        largest = max(largest, float(np.abs(values - expected).max()))
    return largest


def main() -> None:
    """Measure and append."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("file")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--methods", nargs="+", default=["gradients", "occlusion"])
    parser.add_argument("--captum", type=int, default=10, help="texts compared with captum")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    predictor = Predictor.load(given.model, device="cpu")
    examples = read_examples(given.file, predictor.artifact.data, space=predictor.space)
    order = np.random.default_rng(given.seed).permutation(len(examples))
    texts = [examples.texts[row] for row in order[: given.texts]]
    equality = captum_difference(predictor, texts[: given.captum]) if given.captum else None
    for method in given.methods:
        began = time.process_time()
        found = explain(predictor, texts, method=method)
        seconds = time.process_time() - began
        falls, rows = deletion(predictor, found, given.seed)
        top, drawn = falls.mean(axis=0)
        ends = intervals(falls, rows)
        reasons = [each for one in found for each in one.labels]
        row = {
            "model": Path(given.model).name,
            "method": method,
            "texts": len(texts),
            "labels": len(falls),
            "fall_top": f"{top:.3f}",
            "fall_random": f"{drawn:.3f}",
            "times": f"{top / drawn:.2f}",
            "times_low": f"{ends['times'][0]:.2f}",
            "times_high": f"{ends['times'][1]:.2f}",
            "more": f"{top - drawn:.3f}",
            "more_low": f"{ends['more'][0]:.3f}",
            "more_high": f"{ends['more'][1]:.3f}",
            "incomplete": sum(each.complete is False for each in reasons),
            "largest_error": f"{max(each.error for each in reasons):.3f}"
            if method == "gradients"
            else "",
            "mean_steps": f"{np.mean([each.steps or 0 for each in reasons]):.0f}",
            "cpu_seconds_a_text": f"{seconds / len(texts):.3f}",
            "captum_difference": ""
            if equality is None or method != "gradients"
            else f"{equality:.1e}",
        }
        print(row, flush=True)
        append_row(FILE, {**row, **provenance()})


if __name__ == "__main__":
    main()
