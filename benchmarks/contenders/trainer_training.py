"""Hugging Face `Trainer`: the tutorial exactly, or at its best.

Settings: `padding` `max_length` or `longest`, `grouped` by length, `precision`, `batch_size`.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from contenders.gate import read_rows
from contenders.torch_gate import torch_gate
from contenders.trainer_gate import AtTheGate


def main() -> None:
    """Train slice by slice."""
    gate = torch_gate()
    setting = gate.setting
    tokenizer = AutoTokenizer.from_pretrained(setting["encoder"])
    texts, labels = read_rows(setting)
    to_longest = setting["padding"] == "longest"
    encoded = tokenizer(
        texts,
        padding=False if to_longest else "max_length",
        truncation=True,
        max_length=setting["max_length"],
    )
    dataset = Dataset.from_dict({**encoded, "labels": labels})
    if not to_longest:
        dataset.set_format("torch")  # as the tutorial does
    dataset = dataset.select(chosen_rows(setting, [sum(m) for m in encoded["attention_mask"]]))
    collate = DataCollatorWithPadding(tokenizer) if to_longest else default_data_collator

    def counted(features: list[Any]) -> Any:
        batch = collate(features)
        gate.saw(len(features), int(batch["attention_mask"].sum()))
        return batch

    model = AutoModelForSequenceClassification.from_pretrained(
        setting["encoder"],
        num_labels=len(setting["labels"]),
        problem_type="multi_label_classification",
    )
    with tempfile.TemporaryDirectory() as scratch:
        arguments = training_arguments(scratch, setting)
        trainer = Trainer(model, arguments, train_dataset=dataset, data_collator=counted)
        trainer.add_callback(AtTheGate(gate))
        trainer.train()


def chosen_rows(setting: dict[str, Any], lengths: list[int]) -> list[int]:
    """Return the rows of all slices in their order.

    `group_by_length` goes from long to short texts, so its first batches say nothing about the
    others: its own batches are taken in a random order instead.
    """
    if not setting["grouped"]:
        return list(range(setting["num_texts"]))
    size = setting["batch_size"]
    generator = torch.Generator().manual_seed(setting["seed"])
    rows = list(LengthGroupedSampler(size, lengths=lengths, generator=generator))
    batches = [rows[start : start + size] for start in range(0, len(rows) - size + 1, size)]
    order = torch.randperm(len(batches), generator=generator).tolist()
    return [row for place in order for row in batches[place]][: setting["num_texts"]]


def training_arguments(scratch: str, setting: dict[str, Any]) -> TrainingArguments:
    """Return the tutorial's arguments, without logs, evaluation and saving inside a slice."""
    return TrainingArguments(
        output_dir=scratch,
        per_device_train_batch_size=setting["batch_size"],
        learning_rate=setting["learning_rate"],
        weight_decay=setting["weight_decay"],
        num_train_epochs=1,
        train_sampling_strategy="sequential",  # the rows come in the order of every contender
        bf16=setting["precision"] == "bf16",
        use_cpu=setting["device"] == "cpu",
        seed=setting["seed"],
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


if __name__ == "__main__":
    main()
