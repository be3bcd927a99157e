"""Rows of a run: the same rows have the same fingerprint, and labels are matched by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multihot.data.records import Examples
from multihot.data.tokens import load_tokenizer
from multihot.errors import DataError, LabelError
from multihot.labels import LabelMatrix, LabelSpace
from multihot.listener import Listener
from multihot.options import DataOptions
from multihot.training.rows import EncodedExamples, encode, with_validation

SPACE = LabelSpace(("joy", "fear"))
TEXTS = ["i am happy", "afraid of the day"]
VALUES = [[1.0, 0.0], [np.nan, 1.0]]


def encoded(
    folder: Path,
    texts: list[str] | None = None,
    values: list[list[float]] | None = None,
    space: LabelSpace = SPACE,
) -> EncodedExamples:
    labels = LabelMatrix(space, np.array(values or VALUES, dtype=np.float32))
    examples = Examples(texts or TEXTS, labels, ["1", "2"], "a.csv", DataOptions(), (), [2, 3])
    return encode(examples, SPACE, load_tokenizer(folder / "tokenizer.json"), 16)


def test_labels_and_columns_follow_the_models_order(tiny_encoder: Path) -> None:
    turned = LabelSpace(("fear", "joy"))
    found = encoded(tiny_encoder, values=[[0.0, 1.0], [1.0, np.nan]], space=turned)

    assert np.array_equal(found.labels.values, VALUES, equal_nan=True)
    assert found.examples.labels is found.labels
    assert found.fingerprint() == encoded(tiny_encoder).fingerprint()


def test_a_label_that_the_model_lacks_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(LabelError, match="trust"):
        encoded(tiny_encoder, space=LabelSpace(("joy", "trust")))


def test_the_fingerprint_follows_texts_labels_and_order(tiny_encoder: Path) -> None:
    found = {
        encoded(tiny_encoder).fingerprint(),
        encoded(tiny_encoder, texts=["i am happy", "afraid of the days"]).fingerprint(),
        encoded(tiny_encoder, texts=TEXTS[::-1], values=VALUES[::-1]).fingerprint(),
        encoded(tiny_encoder, values=[[1.0, 0.0], [0.0, 1.0]]).fingerprint(),
    }

    assert len(found) == 4


def test_only_labelled_rows_are_set_aside_for_validation() -> None:
    labels = LabelMatrix.from_names([["joy"] if n % 8 == 0 else None for n in range(80)])
    ids = [str(n) for n in range(80)]
    examples = Examples(ids, labels, ids, "a.jsonl", DataOptions(), (), list(range(80)))

    for seed in range(5):
        kept, held_out = with_validation(
            examples, None, fraction=0.2, seed=seed, listener=Listener()
        )

        assert held_out.labels is not None
        assert len(held_out) == 2
        assert held_out.labels.known.all()
        assert sorted([*kept.texts, *held_out.texts]) == sorted(ids)


def test_a_single_labelled_row_is_too_few_to_set_one_aside() -> None:
    labels = LabelMatrix.from_names([["joy"], None, None])
    examples = Examples(["a", "b", "c"], labels, ["1", "2", "3"], "a.jsonl", DataOptions(), (), [])

    with pytest.raises(DataError, match=r"a\.jsonl: has 1 rows with a known label"):
        with_validation(examples, None, fraction=0.5, seed=0, listener=Listener())
