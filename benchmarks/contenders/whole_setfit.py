"""A whole run of SetFit: contrastive pairs `num_iterations` times, then one logistic regression per label.

Writes the logits of each file of `score` to `output`/NAME.npy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

from contenders.gate import note_finished, read_rows

_LEAST = 1e-7  # probabilities are kept as far from 0 and 1


def main() -> None:
    """Train and write the logits of the probabilities."""
    setting: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    torch.set_num_threads(setting["threads"])
    texts, labels = read_rows({**setting, "rows": setting["train"]})
    model = SetFitModel.from_pretrained(setting["encoder"], multi_target_strategy="one-vs-rest")
    whole = [[int(value) for value in row] for row in labels]
    arguments = TrainingArguments(
        output_dir=str(Path(setting["output"]) / "trainer"),
        batch_size=setting.get("batch_size", 16),
        num_epochs=1,
        num_iterations=setting["num_iterations"],
        use_amp=setting.get("precision") == "bf16",
        seed=setting["seed"],
        report_to="none",
    )
    rows = Dataset.from_dict({"text": texts, "label": whole})
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    note_finished(setting)
    for name, path in setting["score"].items():
        scored, _ = read_rows({**setting, "rows": path})
        probability = np.asarray(model.predict_proba(scored, as_numpy=True), dtype=np.float64)
        probability = probability.clip(_LEAST, 1 - _LEAST)
        logits = np.log(probability / (1 - probability))
        np.save(Path(setting["output"]) / f"{name}.npy", logits.astype(np.float32))


if __name__ == "__main__":
    main()
