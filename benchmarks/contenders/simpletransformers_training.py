"""simpletransformers' `MultiLabelClassificationModel` with its defaults: pad 128, batch 8, fp32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from contenders.gate import Gate, read_rows
from contenders.simpletransformers_model import new_model
from contenders.torch_gate import torch_gate


class GatedLoader:
    """A loader that counts a step when the next batch is asked for."""

    def __init__(self, loader: Any, gate: Gate) -> None:
        self.loader = loader
        self.gate = gate

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            mask = batch[0]["attention_mask"]
            self.gate.saw(len(mask), int(mask.sum()))
            yield batch
            self.gate.tick()


def main() -> None:
    """Train slice by slice."""
    gate = torch_gate()
    setting = gate.setting
    with tempfile.TemporaryDirectory() as scratch:
        quiet = {
            "tensorboard_dir": f"{scratch}/tensorboard",
            "overwrite_output_dir": True,
            "manual_seed": setting["seed"],
            "no_cache": True,
            "no_save": True,
            "save_steps": -1,
            "save_model_every_epoch": False,
            "logging_steps": 0,
        }
        model = new_model(setting["encoder"], setting, scratch, **quiet)
        texts, labels = read_rows(setting)
        rows = slice(0, setting["num_texts"])
        model._move_model_to_device()
        dataset = model.load_and_cache_examples((texts[rows], labels[rows]), verbose=False)
        # Its own loader shuffles; everything is padded to one length, so the order costs nothing.
        loader = DataLoader(dataset, batch_size=model.args.train_batch_size)
        gate.open(batch_size=model.args.train_batch_size, optimizer=model.args.optimizer)
        model.train(GatedLoader(loader, gate), scratch, multi_label=True, show_running_loss=False)


if __name__ == "__main__":
    main()
