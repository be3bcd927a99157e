"""Twenty steps of fine-tuning that a change must not move, and how to write them down anew.

    PYTHONPATH=tests python -m golden.twenty_steps

Run that only when a change is meant to move the losses, and say why in the commit. The network's
weights come from numpy and nothing is dropped out, so that the numbers depend on our code and on
float32 arithmetic alone.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.families import WORDS, write_family
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, ObjectiveOptions, TrainOptions
from multihot.data.dataset import encode
from multihot.data.examples import Examples
from multihot.models.encoder import load_encoder_tokenizer, pad_id
from multihot.models.network import build_network
from multihot.training import loop
from multihot.training.batches import classification_loss, steps_after
from multihot.training.objective import build_objective
from multihot.training.optimizer import build_optimizer, linear_schedule

FILE = Path(__file__).with_name("twenty_steps.json")
SPACE = LabelSpace(("joy", "love", "fear"))
PLAIN = build_objective(
    ObjectiveOptions(), np.ones(3, np.int64), np.ones(3, np.int64), torch.device("cpu")
)
OPTIONS = TrainOptions(epochs=4, batch_size=4, accumulation_steps=2, seed=7)


def _examples() -> Examples:
    generator = np.random.default_rng(7)
    values = generator.integers(0, 2, (20, 3)).astype(np.float32)
    values[generator.random((20, 3)) < 0.2] = np.nan
    texts = [" ".join(generator.choice(WORDS, generator.integers(1, 40))) for _ in range(20)]
    places = [str(row) for row in range(20)]
    data = DataOptions()
    return Examples(texts, LabelMatrix(SPACE, values), places, "golden", data, (), list(range(20)))


def _fill(network: nn.Module) -> None:
    """Draw every weight from numpy; torch's own numbers differ between processors."""
    generator = np.random.default_rng(7)
    for name, parameter in sorted(network.named_parameters()):
        drawn = torch.tensor(generator.normal(0, 0.1, parameter.shape), dtype=torch.float32)
        with torch.no_grad():
            parameter.copy_(1 + drawn if "LayerNorm.weight" in name else drawn)


def losses(pooling: str) -> list[float]:
    """Return the mean loss of each of the twenty steps."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_family(
            "bert",
            Path(scratch),
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            classifier_dropout=0.0,
        )
        network = build_network(folder, SPACE, pooling, seed=0)
        tokenizer, _ = load_encoder_tokenizer(folder)
    _fill(network)
    found: list[float] = []
    loop.run(
        network,
        steps_after(0, encode(_examples(), SPACE, tokenizer, 32), OPTIONS, pad_id(network)),
        classification_loss(torch.device("cpu"), PLAIN),
        build_optimizer(network, 5e-3, OPTIONS.weight_decay),
        learning_rate=lambda step: 5e-3 * linear_schedule(step - 1, 20, 2),
        seed_of=lambda step: step,
        autocast=contextlib.nullcontext,
        max_gradient_norm=OPTIONS.max_gradient_norm,
        explain=lambda batch: "golden",
        after_step=[lambda result: found.append(result.loss)],
    )
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    content = {pooling: [round(x, 6) for x in losses(pooling)] for pooling in ("cls", "mean")}
    FILE.write_text(json.dumps(content, indent=1) + "\n")
    sys.stderr.write(f"Wrote {FILE}.\n")
