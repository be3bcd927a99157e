"""A pretraining run that is ready for its first step: network, examples, directory and options."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from multihot.core.files import storage_errors, write_json
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.progress import Listener
from multihot.models.encoder import pad_id
from multihot.models.pretraining.checkpoint import save_pretraining_model
from multihot.models.pretraining.network import PretrainingNetwork
from multihot.training.checkpoint import checkpoint_folder
from multihot.training.compute import Hardware
from multihot.training.pretraining.batches import ExampleSource, MlmNspLoss
from multihot.training.pretraining.evaluation import HoldoutEvaluator
from multihot.training.pretraining.initial_model import InitialNetwork, InitialTokenizer
from multihot.training.ranks import ALONE, Ranks
from multihot.training.run_directory import RunDirectory

__all__ = ["SNAPSHOT_FILE", "PretrainingRun"]

SNAPSHOT_FILE = "snapshot.json"
"""Beside the model of a snapshot: its step, tokens and seconds."""


@dataclass(frozen=True)
class PretrainingRun:
    """Everything that a run needs from its first step to its last."""

    network: PretrainingNetwork
    """On its device; wraps the model of `initial`."""
    initial: InitialNetwork
    tokenizer: InitialTokenizer
    hardware: Hardware
    packed: bool
    source: ExampleSource
    """Of the training part of the corpus."""
    holdout_source: ExampleSource
    evaluator: HoldoutEvaluator
    options: PretrainOptions
    directory: RunDirectory
    listener: Listener
    clock: Callable[[], float]
    ranks: Ranks = ALONE
    """The processes that train together."""

    def loss(self) -> MlmNspLoss:
        """Return the loss of a micro-batch."""
        return MlmNspLoss(
            self.hardware.device,
            packed=self.packed,
            pad_id=pad_id(self.network),
            ranks=self.ranks,
        )

    def save(self, folder: Path) -> None:
        """Write model and tokenizer in the format of transformers."""
        tokenizer = self.tokenizer
        save_pretraining_model(self.initial.model, tokenizer.tokenizer, tokenizer.config, folder)

    def save_snapshot(self, *, step: int, tokens: int, seconds: float) -> None:
        """Write the model in its present state to the run directory, completely or not at all."""
        root = self.directory.snapshots
        target = checkpoint_folder(root, step)
        stage = root / f".writing-{target.name}"
        shutil.rmtree(stage, ignore_errors=True)
        try:
            self.save(stage)
            facts = {"step": step, "tokens": tokens, "seconds": seconds}
            write_json(stage / SNAPSHOT_FILE, facts)
            with storage_errors(target):
                shutil.rmtree(target, ignore_errors=True)
                stage.rename(target)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
