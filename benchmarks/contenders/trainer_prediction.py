"""Hugging Face `Trainer.predict` on texts padded to one length, in batches of 8: the tutorial's way."""

from __future__ import annotations

import tempfile
from typing import Any

from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
)

from contenders.gate import read_rows
from contenders.torch_gate import torch_gate


def main() -> None:
    """Predict slice by slice, tokenising included."""
    gate = torch_gate()
    setting = gate.setting
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
