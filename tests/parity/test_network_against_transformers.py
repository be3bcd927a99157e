"""The [CLS] form and our loss are transformers' own model and loss when nothing is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.families import FAMILIES, encoded, write_family
from multihot.core.labels import LabelSpace
from multihot.models.encoder import pad_id
from multihot.models.losses import binary_cross_entropy, weighted_sum
from multihot.models.network import build_network, save_network

pytestmark = pytest.mark.parity

SPACE = LabelSpace(("joy", "love", "fear", "anger"))
TEXTS = ["i am happy", "the rain is not so good and we never love it again", "sad", ""]


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_loss_and_gradients_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = write_family(family, tmp_path / "encoder")
    ours = build_network(folder, SPACE, "cls", seed=1).eval()
    save_network(ours, tmp_path / "saved")
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    batch = encoded(folder, TEXTS, pad_id(ours))
    ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
    truth = torch.tensor(np.random.default_rng(0).integers(0, 2, (4, 4)), dtype=torch.float32)

    logits = ours(ids, mask)
    total, weight = weighted_sum(binary_cross_entropy(logits, truth), truth)
    (total / weight).backward()
    expected = theirs(input_ids=ids, attention_mask=mask, labels=truth)
    expected.loss.backward()

    assert torch.allclose(expected.logits, logits, atol=1e-6)
    assert torch.allclose(expected.loss, total / weight, rtol=1e-5)
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    found = {
        name.removeprefix("model."): p.grad
        for name, p in ours.named_parameters()
        if p.grad is not None
    }
    # ModernBERT calls its own encoder `model`, too.
    assert len(found) == len(gradients) > 10
    for one, other in zip(gradients.values(), found.values(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_pooling_and_head_are_those_of_sentence_transformers_mean(tmp_path: Path) -> None:
    from transformers import AutoModel

    folder = write_family("bert", tmp_path)
    network = build_network(folder, SPACE, "mean", seed=1).eval()
    batch = encoded(folder, TEXTS, pad_id(network))
    ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)

    with torch.inference_mode():
        found = network(ids, mask)
        hidden = AutoModel.from_pretrained(folder).eval()(ids, mask).last_hidden_state
        weights = network.head.classifier.weight
        means = [row[: int(length)].mean(dim=0) for row, length in zip(hidden, mask.sum(1))]  # noqa: B905
        expected = torch.stack(means) @ weights.T

    assert torch.allclose(expected, found, atol=1e-6)
