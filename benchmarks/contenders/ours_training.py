"""multihot: `train` itself, held after each step by the listener that it reports to.

Its log is written as in every run. The end of the epoch, with evaluation and saving, is never
reached.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contenders.gate import Gate
from multihot.core.labels import LabelSpace
from multihot.core.options import TrainOptions
from multihot.core.progress import Listener, StepProgress
from multihot.core.recipes import build_options
from multihot.data.batches import epoch_batches
from multihot.data.labelled_file import read_examples
from multihot.data.tokens import tokenize
from multihot.models.encoder import load_encoder_tokenizer
from multihot.workflows.train import train

_NEVER = 10**9  # steps


class AtTheGate(Listener):
    """Wait at the gate after each step; the first one comes before the slices."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.said: list[str] = []

    def say(self, message: str) -> None:
        """Keep what the run says about how it computes."""
        if message.startswith(("Computing", "Packing", "Padding")):
            self.said.append(message)

    def progress(self, update: StepProgress) -> None:
        """Count a step."""
        if update.step == 1:
            self.gate.open(said=self.said)
        else:
            self.gate.tick()


def main() -> None:
    """Train slice by slice."""
    gate = Gate()
    setting = gate.setting
    if setting["device"] == "cuda":
        gate.synchronize = torch.cuda.synchronize
    options = build_options(TrainOptions, run_options(setting))
    examples = read_examples(setting["rows"], space=LabelSpace(tuple(setting["labels"])))
    size = options.batch_size
    wanted = np.concatenate([np.arange(size), np.arange(setting["num_texts"])])
    in_turn = examples.take(wanted)
    tokenizer, _ = load_encoder_tokenizer(Path(setting["encoder"]))
    lengths = tokenize(tokenizer, in_turn.texts, setting["max_length"]).lengths
    for start in range(size, len(lengths), size):
        part = lengths[start : start + size]
        gate.saw(len(part), int(part.sum()))
    # The run shuffles its rows; they are laid out so that the shuffled ones come in turn.
    batches = epoch_batches(lengths, size, seed=options.seed, epoch=1, length_bucketing=False)
    laid_out = in_turn.take(np.argsort(np.concatenate(list(batches))))
    with tempfile.TemporaryDirectory() as scratch:
        held_out = examples.take(np.arange(8))
        train(laid_out, held_out, options, Path(scratch) / "model", listener=AtTheGate(gate))


def run_options(setting: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the run: its own, and those that every contender shares."""
    return {
        "encoder": setting["encoder"],
        "max_length": setting["max_length"],
        "device": setting["device"],
        "threads": setting["threads"],
        "seed": setting["seed"],
        "epochs": 1,
        "length_bucketing": False,
        "checkpoint_steps": _NEVER,
        **setting["options"],
    }


if __name__ == "__main__":
    main()
