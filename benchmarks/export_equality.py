"""Count decisions that an export changes: ONNX and OpenVINO against torch, by family and pooling.

    python benchmarks/export_equality.py TRAIN DEV TEST
    python benchmarks/export_equality.py TRAIN DEV TEST --families bert roberta --poolings mean cls
    python benchmarks/export_equality.py TRAIN DEV TEST --models starter=MODEL   # in full, one of your own

Each family is a random encoder of two layers with a vocabulary of the most frequent words of TRAIN,
trained for a few epochs, so that scores are spread and thresholds fitted. Exports are made with as many
flips as there may be, so that none is held back by its certificate. A decision is a text and a label.
`nearest` is the least distance of a torch score to the threshold of its label: where the largest
difference of scores is above it, a decision can change. One row for each export goes into `results/`.
Exit code 1 if a decision changed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from multihot.core.options import POOLINGS, TrainOptions
from multihot.data.labelled_file import read_examples
from multihot.inference.predictor import Predictor
from multihot.workflows.export import export
from multihot.workflows.train import train
from provenance import append_row, provenance

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))

_RESULTS = "export_equality_202611.csv"
_SMALL = {
    "distilbert": {"dim": 64, "n_heads": 4, "hidden_dim": 128},
    "electra": {"hidden_size": 64, "num_attention_heads": 4, "embedding_size": 32},
}
_WIDTH = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
_NUM_WORDS = 4000


def _arguments() -> argparse.Namespace:
    import families

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("files", nargs=3, type=Path, metavar="FILE", help="train, dev, test")
    parser.add_argument("--families", nargs="+", default=[*families.FAMILIES])
    parser.add_argument("--poolings", nargs="+", default=[*POOLINGS[1:]])
    parser.add_argument("--models", nargs="+", metavar="NAME=FOLDER", help="instead of families")
    parser.add_argument("--to", nargs="+", default=["onnx", "openvino"])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def _encoder(family: str, texts: list[str], folder: Path) -> Path:
    import families

    words = Counter(word for text in texts for word in text.lower().split() if word.isalpha())
    families.WORDS = [word for word, _ in words.most_common(_NUM_WORDS)]
    sizes = _SMALL.get(family, _WIDTH)
    return families.write_family(family, folder, **sizes)


def _models(given: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, Path]]:
    if given.models:
        yield from (
            (name, Path(place)) for name, _, place in (m.partition("=") for m in given.models)
        )
        return
    training, validation = (read_examples(file) for file in given.files[:2])
    encoders: dict[str, Path] = {}
    # One pooling of each family after another, so that a run that is stopped has seen all families.
    pairs = [
        (family, given.poolings[(turn + number) % len(given.poolings)])
        for turn in range(len(given.poolings))
        for number, family in enumerate(given.families)
    ]
    for family, pooling in pairs:
        if family not in encoders:
            encoders[family] = _encoder(family, [*training.texts], scratch / family)
        options = TrainOptions(
            encoder=str(encoders[family]),
            pooling=pooling,
            epochs=given.epochs,
            learning_rate=2e-3,
            batch_size=64,
            max_length=60,
            device="cpu",
            threads=1,
            max_unknown_fraction=1.0,
        )
        folder = scratch / f"{family}-{pooling}"
        train(training, validation, options, folder)
        yield family, folder


def _row(
    name: str, form: str, model: Path, output: Path, given: argparse.Namespace
) -> dict[str, object]:
    test = read_examples(given.files[2])
    validation = read_examples(given.files[1])
    export(model, output, to=form, examples=validation, max_flips=1.0)
    one, other = (Predictor.load(place, device="cpu") for place in (model, output))
    scores = [each.scores(test.texts) for each in (one, other)]
    decisions = [
        each.artifact.decision.decide(found)
        for each, found in zip((one, other), scores, strict=True)
    ]
    changed = decisions[0] != decisions[1]
    distance = np.abs(scores[0] - one.artifact.decision.thresholds)
    return {
        "family": name,
        "pooling": one.artifact.pooling,
        "form": form,
        "texts": len(test.texts),
        "decisions": changed.size,
        "changed": int(changed.sum()),
        "largest_difference": f"{np.abs(scores[0] - scores[1]).max():.1e}",
        "nearest": f"{distance.min():.1e}",
        "distance_of_changed": f"{distance[changed].max():.1e}" if changed.any() else "",
        "positive_fraction": f"{np.mean(decisions[0]):.3f}",
        "score_deviation": f"{scores[0].std():.3f}",
    }


def main() -> int:
    """Train, export, compare, print, append."""
    given = _arguments()
    changed = 0
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        for name, model in _models(given, scratch):
            for form in given.to:
                row = _row(name, form, model, scratch / f"{model.name}-{form}", given)
                print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
                changed += int(str(row["changed"]))
                if not given.no_row:
                    append_row(_RESULTS, {**row, **provenance()})
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main())
