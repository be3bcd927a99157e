"""What words add to a logit is what captum computes on the same baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, LayerIntegratedGradients

from emotions import TEXTS
from models.families import FAMILIES, encoded, write_family
from multihot.core.labels import LabelSpace
from multihot.inference.explanation import explain
from multihot.inference.predictor import Predictor
from multihot.models.attribution import IntegratedGradients
from multihot.models.encoder import pad_id
from multihot.models.network import build_network

pytestmark = pytest.mark.parity

SPACE = LabelSpace(("joy", "love", "fear", "anger"))
TEXT = "the rain is not so good and we never love it again"


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", [*FAMILIES, "deberta-v2"])
def test_integrated_gradients_are_those_of_captum(
    family: str, pooling: str, tmp_path: Path
) -> None:
    folder = write_family(family, tmp_path)
    network = build_network(folder, SPACE, pooling, seed=1).eval()
    with torch.no_grad():  # new weights are so small that every word would weigh nothing
        for parameter in network.parameters():
            parameter.mul_(8 if parameter.ndim > 1 else 1)
    ids = encoded(folder, [TEXT], pad_id(network)).input_ids[0]
    baseline = ids.copy()
    baseline[1:-1] = ids[0]

    found = IntegratedGradients(network, torch.device("cpu")).of(ids, baseline, [2, 0], steps=20)

    table = network.transformer.get_input_embeddings()
    mask = torch.ones(1, len(ids), dtype=torch.int64)
    theirs = LayerIntegratedGradients(lambda each: network(each, mask.expand_as(each)), table)
    for values, column in zip(found.values, (2, 0), strict=True):
        expected = theirs.attribute(
            torch.from_numpy(ids)[None],
            torch.from_numpy(baseline)[None],
            target=column,
            n_steps=20,
            method="gausslegendre",
        )
        np.testing.assert_allclose(values, expected.sum(-1)[0].detach(), rtol=0, atol=1e-5)
    assert np.abs(found.values).max() > 1e-2


def test_occlusion_is_captums_ablation_of_words(tiny_model: Path) -> None:
    predictor = Predictor.load(tiny_model, device="cpu")
    (found,) = explain(predictor, TEXTS[5:6], labels=["love", "fear"], method="occlusion")
    words = [word.text for word in found.words]

    def logits(kept: torch.Tensor) -> torch.Tensor:
        texts = [
            " ".join(word for word, keeps in zip(words, row, strict=True) if keeps)
            for row in kept.tolist()
        ]
        return torch.from_numpy(predictor.logits(texts)[0])

    for reasons in found.labels:
        expected = FeatureAblation(logits).attribute(
            torch.ones(1, len(words)), target=predictor.space.index(reasons.label)
        )
        np.testing.assert_allclose(reasons.values, expected[0], rtol=0, atol=1e-5)
