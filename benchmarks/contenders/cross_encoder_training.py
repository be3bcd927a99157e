"""sentence-transformers' `CrossEncoder(num_labels=...)` under its own trainer, with its defaults.

Its losses for several labels expect one class per pair, so binary cross-entropy is stated here, as
its own `BinaryCrossEntropyLoss` does it for one label.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers.cross_encoder import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)

from contenders.gate import Gate, read_rows
from contenders.torch_gate import torch_gate
from contenders.trainer_gate import AtTheGate


class MultiLabelLoss(torch.nn.Module):
    """Binary cross-entropy over all labels of single texts."""

    def __init__(self, model: Any, gate: Gate) -> None:
        super().__init__()
        self.model = model
        self.gate = gate

    def forward(self, inputs: list[list[str]], labels: Any, **kwargs: Any) -> torch.Tensor:
        """Return the mean loss of a batch."""
        features = self.model.preprocess(inputs[0])
        self.gate.saw(len(inputs[0]), int(features["attention_mask"].sum()))
        device = self.model.device
        features = {k: v.to(device) if hasattr(v, "to") else v for k, v in features.items()}
        targets = torch.stack([row.float() for row in labels]).to(device)
        scores = self.model(features)["scores"]
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, targets)


def main() -> None:
    """Train slice by slice."""
    gate = torch_gate()
    setting = gate.setting
    texts, labels = read_rows(setting)
    rows = slice(0, setting["num_texts"])
    dataset = Dataset.from_dict({"text": texts[rows], "label": labels[rows]})
    model = CrossEncoder(
        setting["encoder"],
        num_labels=len(setting["labels"]),
        max_length=setting["max_length"],
        device=setting["device"],
    )
    with tempfile.TemporaryDirectory() as scratch:
        arguments = CrossEncoderTrainingArguments(
            output_dir=scratch,
            num_train_epochs=1,
            seed=setting["seed"],
            use_cpu=setting["device"] == "cpu",
            logging_strategy="no",
            eval_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = CrossEncoderTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            loss=MultiLabelLoss(model, gate),
            callbacks=[AtTheGate(gate)],
        )
        trainer.train()


if __name__ == "__main__":
    main()
