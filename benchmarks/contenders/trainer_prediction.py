"""Hugging Face `Trainer.predict` on texts padded to one length, in batches of 8: the tutorial's way."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
)

from contenders.gate import Gate, read_rows


def main() -> None:
    """Predict slice by slice, tokenising included."""
    gate = Gate()
    setting = gate.setting
    torch.set_num_threads(setting["threads"])
    if setting["device"] == "cuda":
        gate.synchronize = torch.cuda.synchronize
    tokenizer = AutoTokenizer.from_pretrained(setting["model"])
    model = AutoModelForSequenceClassification.from_pretrained(setting["model"])
    texts, _ = read_rows(setting)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_eval_batch_size=8,
            use_cpu=setting["device"] == "cpu",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = Trainer(model, arguments)

        def work(request: dict[str, Any]) -> tuple[int, int]:
            part = texts[request["first"] : request["last"]]
            inputs = tokenizer(
                part, padding="max_length", truncation=True, max_length=setting["max_length"]
            )
            dataset = Dataset.from_dict(dict(inputs))
            dataset.set_format("torch")
            return len(trainer.predict(dataset).predictions), request["tokens"]

        gate.serve(work)


if __name__ == "__main__":
    main()
