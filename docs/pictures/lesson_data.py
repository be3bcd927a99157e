"""Measure what the figures of the lesson show, into `lesson_data.json`: `python docs/pictures/lesson_data.py`.

Trains the model of chapter 6 on the bundled data set (half a minute on two cores), and reads one attention
head of the starter. Scores differ in the third digit from machine to machine.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from multihot import MultiLabelClassifier, read_examples
from multihot.demo import DEMO_OPTIONS, DEMO_TEXTS, demo_data
from multihot.models.encoder import locate_encoder

_LAYER, _HEAD = 2, 0  # counted from 0


def main() -> None:
    """Measure, and write the file beside this one."""
    found = {"attention": attention(), **decisions()}
    path = Path(__file__).with_name("lesson_data.json")
    path.write_text(json.dumps(found, ensure_ascii=False) + "\n", "utf-8")


def attention(layer: int = _LAYER, head: int = _HEAD) -> dict[str, Any]:
    """Return the weights of one head on the tutorial's sentence."""
    folder = locate_encoder("starter").folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = tokenizer(DEMO_TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        weights = model(**inputs, output_attentions=True).attentions[layer][0, head]
    return {
        "layer": layer + 1,
        "head": head + 1,
        "tokens": tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist()),
        "weights": weights.numpy().round(2).tolist(),
    }


def decisions() -> dict[str, Any]:
    """Return scores of the tutorial's sentence, and the metrics at every threshold."""
    train, dev = (read_examples(demo_data()[part]) for part in ("train", "validation"))
    assert dev.labels is not None
    options = DEMO_OPTIONS
    classifier = MultiLabelClassifier(
        options.encoder,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    with tempfile.TemporaryDirectory() as scratch:
        classifier.fit(train.texts, train.labels, validation=dev, output=Path(scratch) / "model")
        scores = classifier.predict_proba(dev.texts)
        of_sentence = classifier.predict_proba(DEMO_TEXTS[:1])[0]
        threshold = next(iter(classifier.thresholds_.values()))
    names = (str(name) for name in classifier.classes_)
    return {
        "scores": dict(zip(names, of_sentence.round(3).tolist(), strict=True)),
        "threshold": round(float(threshold), 3),
        "thresholds": curves(scores, dev.labels.values > 0.5, float(threshold)),
    }


def curves(scores: Any, truth: Any, best: float) -> dict[str, Any]:
    """Return precision, recall and micro-F1 at a grid of thresholds; `None` where nothing is predicted."""
    grid = np.linspace(0.01, 0.99, 50).round(2)
    found: dict[str, list[float | None]] = {"precision": [], "recall": [], "micro_f1": []}
    for threshold in grid:
        given = scores >= threshold
        hits, predicted, positives = (given & truth).sum(), given.sum(), truth.sum()
        found["precision"].append(round(float(hits / predicted), 4) if predicted else None)
        found["recall"].append(round(float(hits / positives), 4))
        found["micro_f1"].append(round(float(2 * hits / (predicted + positives)), 4))
    return {"rows": len(truth), "best": round(best, 3), "grid": grid.tolist(), **found}


if __name__ == "__main__":
    main()
