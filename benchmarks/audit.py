"""Are wrong labels found, and what is it worth to correct them? GoEmotions with noise that is known.

    python benchmarks/audit.py find goemotions/ --features vectors.npz
    python benchmarks/audit.py correct goemotions/ --features vectors.npz

`find` turns over 5 % of the label cells of the training file, or drops 5 % of its positives, trains on
four fifths and scores the fifth, in turn, and asks how early the changed cells come in the order of
`multihot audit` and in those of cleanlab on the same scores (average precision). `correct` draws small
files, corrects the 200 cells that are most suspicious, or 200 at random, and measures macro-F1 on the test
texts after training on the result; thresholds of each label are fitted to the dev texts.

So that three seeds take minutes, networks are logistic regressions on frozen vectors of the starter
encoder, which are computed once and kept in --features. Needs cleanlab for `find`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import sigmoid
from multihot.core.options import DataOptions
from multihot.data.labelled_file import read_examples
from multihot.evaluation.label_noise import fit_label_noise, probability_wrong
from provenance import append_row, provenance

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_PENALTY = 100.0
_FOLDS = 5
_MOST = 200


def features(folder: Path, target: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return vectors `PART_x` and labels `PART_y` of all parts, from `target` if they are there."""
    if not target.exists():
        from multihot.data.tokens import tokenize
        from multihot.inference.torch_backend import TorchBackend
        from multihot.models.devices import choose_device, choose_precision
        from multihot.training.initial_model import initialize_from_encoder

        names = str(folder / "labels.txt")
        data = DataOptions(
            header=False, quoting=True, text_column="1", label_column="2", id_column="3",
            label_names=names,
        )  # fmt: skip
        arrays, space = {}, None
        for part in ("train", "dev", "test"):
            examples = read_examples(folder / f"{part}.tsv", data, space=space)
            assert examples.labels is not None
            space = examples.labels.space
            model = initialize_from_encoder(
                "starter", space, pooling="mean", max_length=128, seed=0, descriptions=None
            )
            device = choose_device("cpu")
            backend = TorchBackend(
                model.network, len(space), device, choose_precision("fp32", device), frozen=True
            )
            tokens = tokenize(model.tokenizer, examples.texts, 128)
            arrays[f"{part}_x"] = backend.text_vectors(tokens)
            arrays[f"{part}_y"] = examples.labels.values
        np.savez(target, **arrays)
    stored = np.load(target, allow_pickle=False)
    found = {
        f"{part}_{kind}": stored[f"{part}_{kind}"]
        for part in ("train", "dev", "test")
        for kind in "xy"
    }
    mean, scale = found["train_x"].mean(axis=0), found["train_x"].std(axis=0) + 1e-4
    for part in ("train", "dev", "test"):
        found[f"{part}_x"] = ((found[f"{part}_x"] - mean) / scale).astype(np.float32)
    return found


def trained(x: Floats, y: Floats) -> Floats:
    """Return weights of a logistic regression for each label, by L-BFGS. *Shapes:* (N, D), (N, L)."""
    from scipy.optimize import minimize

    inputs = np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)
    shape = inputs.shape[1], y.shape[1]
    start = np.zeros(shape)
    start[-1] = np.log((y.sum(axis=0) + 1) / (len(y) - y.sum(axis=0) + 1))

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        weights = flat.reshape(shape)
        logits = inputs @ weights.astype(np.float32)
        gradient = (inputs.T @ (sigmoid(logits) - y)).astype(np.float64)
        gradient[:-1] += _PENALTY * weights[:-1]
        value = (np.logaddexp(0, logits) - y * logits).sum(dtype=np.float64)
        return float(value + 0.5 * _PENALTY * (weights[:-1] ** 2).sum()), gradient.ravel()

    options = {"maxiter": 50, "maxcor": 8}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x.reshape(shape), dtype=np.float32)


def scored(weights: Floats, x: Floats) -> Floats:
    """Return logits. *Shapes:* (D + 1, L), (N, D) -> (N, L)."""
    return x @ weights[:-1] + weights[-1]


def out_of_fold(x: Floats, y: Floats, generator: np.random.Generator) -> Floats:
    """Return the logits of each row by a network that was not trained on it."""
    fold_of = generator.permutation(len(x)) % _FOLDS
    logits = np.zeros(y.shape, dtype=np.float32)
    for fold in range(_FOLDS):
        test = fold_of == fold
        logits[test] = scored(trained(x[~test], y[~test]), x[test])
    return logits


def changed(y: Floats, kind: str, share: float, generator: np.random.Generator) -> Bools:
    """Return which cells are turned over: any of them, or positives that are dropped."""
    drawn = generator.random(y.shape) < share
    return drawn if kind == "flipped" else drawn & (y == 1)


def suspicion(logits: Floats, given: Floats) -> Doubles:
    """Return how likely each cell is wrong, as `multihot audit` orders them."""
    return probability_wrong(fit_label_noise(logits, given), logits, given)


def find(
    parts: dict[str, Floats], kind: str, share: float, seed: int, *, rows: int | None
) -> dict[str, object]:
    """Return average precision of finding changed cells: ours, and cleanlab's orders."""
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class
    from sklearn.metrics import average_precision_score

    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(parts["train_x"]))[:rows]
    x, truth = parts["train_x"][chosen], parts["train_y"][chosen]
    wrong = changed(truth, kind, share, generator)
    given = np.where(wrong, 1 - truth, truth).astype(np.float32)
    logits = out_of_fold(x, given, generator)
    labels = [np.flatnonzero(row).tolist() for row in given]
    probability = sigmoid(logits, np.float64)

    def precision(scores: Doubles) -> float:
        return float(average_precision_score(wrong.ravel(), scores.ravel()))

    theirs = {
        method: precision(
            1 - get_label_quality_scores_per_class(labels, probability, method=method)
        )
        for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    }
    ours = precision(suspicion(logits, given))
    best = max(theirs.values())
    return {
        "task": "find",
        "noise": f"{share:.0%} {kind}",
        "rows": len(x),
        "seed": seed,
        "wrong_cells": int(wrong.sum()),
        "audit": f"{ours:.4f}",
        **{f"cleanlab_{name}": f"{value:.4f}" for name, value in theirs.items()},
        "times_best_cleanlab": f"{ours / best:.2f}",
    }


def counts(dev: Floats, dev_y: Floats, y: Floats, test: Floats) -> npt.NDArray[np.float32]:
    """Return hits, predictions and positives of each test row and label, with thresholds fitted on dev."""
    thresholds = np.empty(y.shape[1])
    for label in range(y.shape[1]):
        order = np.argsort(-dev[:, label])
        hits = np.cumsum(dev_y[order, label])
        f1 = 2 * hits / (np.arange(1, len(order) + 1) + dev_y[:, label].sum())
        thresholds[label] = dev[order[np.argmax(f1)], label]
    predicted = test >= thresholds
    return np.stack([predicted & (y == 1), predicted, y == 1]).astype(np.float32)


def macro_f1(totals: Floats) -> Doubles:
    """Return macro-F1 from totals of hits, predictions and positives. *Shape:* (..., 3, L)."""
    f1 = 2 * totals[..., 0, :] / np.maximum(totals[..., 1, :] + totals[..., 2, :], 1)
    return np.asarray(f1.mean(axis=-1), dtype=np.float64)


def correct(
    parts: dict[str, Floats], kind: str, share: float, seed: int, *, rows: int, draws: int
) -> dict[str, object]:
    """Return macro-F1 after correcting suspicious cells, and random ones, with a paired interval."""
    generator = np.random.default_rng(seed)
    arms: dict[str, list[npt.NDArray[np.float32]]] = {
        name: [] for name in ("clean", "noisy", "random", "suspicious")
    }
    hits = []
    for _ in range(draws):
        chosen = generator.permutation(len(parts["train_x"]))[:rows]
        x, truth = parts["train_x"][chosen], parts["train_y"][chosen]
        wrong = changed(truth, kind, share, generator)
        given = np.where(wrong, 1 - truth, truth).astype(np.float32)
        order = np.argsort(-suspicion(out_of_fold(x, given, generator), given).ravel())
        first, drawn = order[:_MOST], generator.permutation(truth.size)[:_MOST]
        hits.append(wrong.ravel()[first].mean())
        files = {"clean": truth, "noisy": given}
        for name, cells in (("random", drawn), ("suspicious", first)):
            files[name] = given.copy()
            files[name].ravel()[cells] = truth.ravel()[cells]
        for name, labels in files.items():
            weights = trained(x, labels)
            arms[name].append(
                counts(
                    scored(weights, parts["dev_x"]),
                    parts["dev_y"],
                    parts["test_y"],
                    scored(weights, parts["test_x"]),
                )
            )
    values = {
        name: macro_f1(np.stack([each.sum(axis=1) for each in found]))
        for name, found in arms.items()
    }
    gain = values["suspicious"] - values["random"]
    low, high = interval(arms["suspicious"], arms["random"], generator)
    means = {name: float(value.mean()) for name, value in values.items()}
    return {
        "task": "correct",
        "noise": f"{share:.0%} {kind}",
        "rows": rows,
        "seed": seed,
        "draws": draws,
        "precision_of_200": f"{np.mean(hits):.3f}",
        **{f"macro_f1_{name}": f"{value:.4f}" for name, value in means.items()},
        "gain": f"{gain.mean():+.4f}",
        "gain_low": f"{low:+.4f}",
        "gain_high": f"{high:+.4f}",
        "share_of_cost": f"{gain.mean() / (means['clean'] - means['random']):.2f}",
    }


def interval(
    one: list[npt.NDArray[np.float32]],
    other: list[npt.NDArray[np.float32]],
    generator: np.random.Generator,
    samples: int = 400,
) -> tuple[float, float]:
    """Return the 95 % interval of the mean gain: files and test texts are drawn anew together."""
    weights = generator.multinomial(
        one[0].shape[1], np.full(one[0].shape[1], 1 / one[0].shape[1]), size=samples
    ).astype(np.float32)
    gains = np.stack(
        [
            macro_f1(np.stack([weights @ part for part in a], axis=1))
            - macro_f1(np.stack([weights @ part for part in b], axis=1))
            for a, b in zip(one, other, strict=True)
        ],
        axis=1,
    )
    files = generator.integers(0, len(one), (samples, len(one)))
    means = np.take_along_axis(gains, files, axis=1).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Measure, print, and append rows to results/."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=("find", "correct"))
    parser.add_argument(
        "folder", type=Path, help="folder with train.tsv, dev.tsv, test.tsv, labels.txt"
    )
    parser.add_argument("--features", type=Path, required=True, help=".npz file of vectors")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", default=["flipped", "dropped"])
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--rows", type=int, help="texts of a file; to correct, 500 by default")
    parser.add_argument("--draws", type=int, default=8, help="files for each seed")
    given = parser.parse_args()
    parts = features(given.folder, given.features)
    for kind in given.kinds:
        for seed in given.seeds:
            if given.task == "find":
                row = find(parts, kind, given.share, seed, rows=given.rows)
            else:
                row = correct(
                    parts, kind, given.share, seed, rows=given.rows or 500, draws=given.draws
                )
            print(row, flush=True)
            append_row("audit_202611.csv", {**row, **provenance()})


if __name__ == "__main__":
    main()
