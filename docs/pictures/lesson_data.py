"""Measure what the figures of the lesson show: `python docs/pictures/lesson_data.py runs/emotions`.

Writes `lesson_data.json`: one attention head of the starter, and the decisions of the model that chapter 6
of the lesson trains. Its scores differ in the third digit from machine to machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from multihot import MultiLabelClassifier, read_examples
from multihot.demo import DEMO_TEXTS, demo_data
from multihot.models.encoder import locate_encoder

_LAYER, _HEAD = 2, 1  # counted from 0; "i" and "m" look at "happy", "the" and "is" at "model"


def main() -> None:
    """Measure, and write the file beside this one."""
    found = {"attention": attention(), **decisions(sys.argv[1])}
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
        "weights": weights.numpy().astype(float).round(2).tolist(),
    }


def decisions(model: str) -> dict[str, Any]:
    """Return scores of the tutorial's sentence, and the metrics at every threshold."""
    dev = read_examples(demo_data()["validation"])
    assert dev.labels is not None
    classifier = MultiLabelClassifier.load(model)
    scores, of_sentence = map(classifier.predict_proba, (dev.texts, DEMO_TEXTS[:1]))
    threshold = next(iter(classifier.thresholds_.values()))
    rounded = of_sentence[0].astype(float).round(3).tolist()
    return {
        "scores": dict(zip(map(str, classifier.classes_), rounded, strict=True)),
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
