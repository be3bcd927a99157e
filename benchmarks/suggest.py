"""How many labelled texts `suggest` saves: simulated rounds on GoEmotions.

    python benchmarks/suggest.py GOEMOTIONS_FOLDER [--seeds 0 1 2] [--round 500] [--rounds 6]

Features are frozen: the starter encoder's vector of each text, and one regularised logistic regression a
label on the texts that are labelled so far. Fine-tuning the encoder in every round would take hours on
two cores; what is compared is which texts are chosen. Each round's model has its probabilities
calibrated (Platt) and its thresholds fitted on the validation file, and is measured by macro-F1 on the
test file. The first batch is random (`random`, `scores`) or chosen by the names of the labels alone
(`names and scores`); the later ones are random, or what `decision.next_texts` chooses. One row for each
way, seed and number of texts in `results/suggest_202611.csv`; the last lines say how many texts each way
needs, interpolated between rounds, for the mean macro-F1 of 4000 random ones.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelSpace
from multihot.core.numeric import sigmoid
from multihot.core.options import DataOptions
from multihot.data.labelled_file import read_examples
from multihot.decision.calibration import fit_calibration
from multihot.decision.next_texts import (
    choose_texts,
    gains_of_scores,
    gains_of_similarities,
    worth_comparing,
)
from multihot.inference.encoder_vectors import load_encoder_vectors
from provenance import append_row, provenance

FILE = "suggest_202611.csv"
GOAL_TEXTS = 4000
WAYS = ("random", "scores", "names and scores")
_L2, _RATE, _STEPS = 3e-3, 0.03, 150
_SCALE = 33.0  # of vectors of length 1, so that the penalty suits them

FloatArray = npt.NDArray[np.float32]


class Data:
    """Vectors and labels of the three files."""

    def __init__(self, folder: Path, cache: Path) -> None:
        options = DataOptions(
            header=False,
            quoting=True,
            text_column="1",
            label_column="2",
            id_column="3",
            label_names=str(folder / "labels.txt"),
        )
        to_vectors = None
        space: LabelSpace | None = None
        self.vectors: dict[str, FloatArray] = {}
        self.labels: dict[str, FloatArray] = {}
        for part in ("train", "dev", "test"):
            examples = read_examples(folder / f"{part}.tsv", options, space=space)
            assert examples.labels is not None
            space = examples.labels.space
            self.labels[part] = examples.labels.values
            key = hashlib.sha256("\0".join(examples.texts).encode()).hexdigest()[:16]
            path = cache / f"{part}-{key}.npy"
            if not path.exists():
                to_vectors = to_vectors or load_encoder_vectors("starter", device="cpu")
                cache.mkdir(parents=True, exist_ok=True)
                np.save(path, to_vectors(examples.texts))
            self.vectors[part] = np.load(path)
        assert space is not None
        self.space = space
        to_vectors = to_vectors or load_encoder_vectors("starter", device="cpu")
        self.names = to_vectors([name.replace("_", " ") for name in space.names])


def logistic(
    inputs: FloatArray, truth: FloatArray, l2: float, start: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Fit one logistic regression a label by Adam; return weights and offsets."""
    import torch

    values, wanted = torch.from_numpy(inputs), torch.from_numpy(truth)
    rates = wanted.mean(0).clamp(1e-3, 1 - 1e-3)
    weights = torch.zeros(inputs.shape[1], truth.shape[1], requires_grad=True)
    offsets = torch.log(rates / (1 - rates)).clone().requires_grad_()
    optimizer = torch.optim.Adam([weights, offsets], lr=_RATE)
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            values @ weights + offsets, wanted
        )
        optimizer.zero_grad()
        (loss + l2 * (weights**2).sum()).backward()
        optimizer.step()
    return weights.detach().numpy(), offsets.detach().numpy()


class Model:
    """A head on frozen vectors, calibrated and with thresholds from the validation file."""

    def __init__(self, data: Data, rows: npt.NDArray[np.int64]) -> None:
        self.weights, self.offsets = logistic(
            data.vectors["train"][rows] * _SCALE, data.labels["train"][rows], _L2
        )
        logits, truth = self.logits(data.vectors["dev"]), data.labels["dev"]
        self.calibration = fit_calibration("platt", logits, truth, data.space.names)[0]
        self.thresholds = _best_thresholds(self.scores(data.vectors["dev"]), truth)

    def logits(self, vectors: FloatArray) -> FloatArray:
        """Return logits. *Shape:* (N, L)."""
        return vectors * _SCALE @ self.weights + self.offsets

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Return calibrated probabilities. *Shape:* (N, L)."""
        return sigmoid(self.calibration.apply(self.logits(vectors)))

    def macro_f1(self, vectors: FloatArray, truth: FloatArray) -> float:
        """Return macro-F1."""
        given = self.scores(vectors) >= self.thresholds
        true_positives = (given * truth).sum(axis=0)
        return float(np.mean(2 * true_positives / (given.sum(axis=0) + truth.sum(axis=0))))


def _best_thresholds(scores: FloatArray, truth: FloatArray) -> npt.NDArray[np.float64]:
    """Return the threshold of the highest F1 of each label."""
    found = []
    for column in range(truth.shape[1]):
        order = np.argsort(-scores[:, column], kind="stable")
        hits = np.cumsum(truth[order, column])
        f1 = 2 * hits / (np.arange(1, len(order) + 1) + truth[:, column].sum())
        best = int(f1.argmax())
        ends = scores[order[[best, min(best + 1, len(order) - 1)]], column]
        found.append(float(ends.mean()))
    return np.array(found)


def rounds(data: Data, way: str, seed: int, sizes: list[int]) -> list[float]:
    """Return macro-F1 on the test file after each round."""
    generator = np.random.default_rng(seed)
    vectors, truth = data.vectors["train"], data.labels["train"]
    rows = generator.permutation(len(vectors))[: sizes[0]]
    if way == "names and scores":
        pool = generator.permutation(len(vectors))[: len(vectors) // 2]
        gains = gains_of_similarities(vectors[pool] @ data.names.T)
        rows = pool[chosen(gains, np.zeros(truth.shape[1]), vectors[pool], sizes[0])]
    found = []
    for number, size in enumerate(sizes):
        model = Model(data, rows)
        found.append(model.macro_f1(data.vectors["test"], data.labels["test"]))
        if size == sizes[-1]:
            break
        pool = np.setdiff1d(np.arange(len(vectors)), rows)
        count = sizes[number + 1] - size
        if way == "random":
            new = generator.choice(len(pool), count, replace=False)
        else:
            gains = gains_of_scores(model.scores(vectors[pool]))
            new = chosen(gains, truth[rows].sum(axis=0), vectors[pool], count)
        rows = np.concatenate([rows, pool[new]])
    return found


def chosen(
    gains: FloatArray, counts: npt.ArrayLike, vectors: FloatArray, count: int
) -> npt.NDArray[np.int64]:
    """Choose as `multihot suggest` does."""
    kept = worth_comparing(gains, counts, count)
    return kept[choose_texts(gains[kept], counts, vectors[kept], count).rows]


def needed(sizes: list[int], values: npt.NDArray[np.float64], goal: float) -> str:
    """Return after how many texts a curve reaches the goal, interpolated between rounds."""
    reached = np.flatnonzero(values >= goal)
    if not len(reached):
        return f"more than {sizes[-1]}"
    at = int(reached[0])
    if at == 0:
        return f"at most {sizes[0]}"
    share = (goal - values[at - 1]) / (values[at] - values[at - 1])
    return f"{sizes[at - 1] + share * (sizes[at] - sizes[at - 1]):.0f}"


def main() -> None:
    """Measure, append and sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--round", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--cache", type=Path, default=Path("runs/suggest"))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    given = parser.parse_args()

    data = Data(given.folder, given.cache)
    few = [given.round * number for number in range(1, given.rounds + 1)]
    sizes = {way: few for way in given.ways}
    if "random" in sizes:
        last = max(GOAL_TEXTS, few[-1])
        sizes["random"] = list(range(given.round, last + 1, given.round))
    curves: dict[str, npt.NDArray[np.float64]] = {}
    for way in given.ways:
        found = []
        for seed in given.seeds:
            found.append(rounds(data, way, seed, sizes[way]))
            print(way, seed, [f"{value:.4f}" for value in found[-1]], flush=True)
            for size, value in zip(sizes[way], found[-1], strict=True):
                row = {"way": way, "seed": seed, "texts": size, "macro_f1": f"{value:.4f}"}
                append_row(FILE, {**row, **provenance()})
        curves[way] = np.mean(found, axis=0)
    if "random" not in curves or GOAL_TEXTS not in sizes["random"]:
        return
    goal = float(curves["random"][sizes["random"].index(GOAL_TEXTS)])
    for way, curve in curves.items():
        print(f"{way}: {needed(sizes[way], curve, goal)} texts for macro-F1 {goal:.4f}")


if __name__ == "__main__":
    main()
