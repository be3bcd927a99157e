from __future__ import annotations

from pathlib import Path

import pytest

from emotions import NAMES, TEXTS, write_jsonl
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.errors import OptionError
from multihot.inference.predictor import Predictor
from multihot.workflows.evidence import nearest_examples


def test_the_nearest_labelled_texts_come_first_and_begin_with_the_text_itself(
    tiny_model: Path, tmp_path: Path
) -> None:
    predictor = Predictor.load(tiny_model, device="cpu")
    path = write_jsonl(tmp_path / "train.jsonl")
    whole = nearest_examples(predictor, TEXTS[:3], read_examples(path), count=4)

    for number, near in enumerate(whole):
        assert near[0].id == f"e-{number}"
        assert list(near[0].labels) == NAMES[number]
        assert near[0].similarity == pytest.approx(1, abs=1e-5)
        similarities = [one.similarity for one in near]
        assert similarities == sorted(similarities, reverse=True)
        assert near[1].labels == near[0].labels  # the model has learnt that they are alike
    streamed = nearest_examples(predictor, TEXTS[:3], open_labelled(path), count=4)
    assert streamed == whole


def test_no_evidence_at_all_cannot_be_asked_for(tiny_model: Path, tmp_path: Path) -> None:
    examples = read_examples(write_jsonl(tmp_path / "train.jsonl"))

    with pytest.raises(OptionError, match="count is 0"):
        nearest_examples(Predictor.load(tiny_model), TEXTS[:1], examples, count=0)
