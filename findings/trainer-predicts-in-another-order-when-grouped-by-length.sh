#!/bin/sh
# transformers 5.23.0 with accelerate 1.15.0 and datasets 5.2.0.
#
# TrainingArguments(train_sampling_strategy="group_by_length") also orders what Trainer.predict and
# Trainer.evaluate read, although the option is named after training: predictions come back in the order of
# batches of like length, the longest row first, and not in that of the rows. Nothing says so, and no order is
# returned. label_ids are in the same other order, so metrics inside Trainer are right; whoever puts predictions
# beside the rows of the data set gets those of other rows.
#
# Seen: "lengths of the rows: 2 9 4 7; of the predictions: 9 4 7 2".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 datasets==5.2.0
HF_HOME="$scratch/home" HF_HUB_OFFLINE=1 "$scratch/venv/bin/python" - "$scratch" <<'PYTHON' 2>/dev/null
import sys

import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments

LENGTHS = [2, 9, 4, 7]


class Length(torch.nn.Module):
    """Answers with the number of tokens that are not padding."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, input_ids, labels):
        logits = (input_ids > 0).sum(dim=1, keepdim=True) * self.weight
        return {"loss": logits.mean(), "logits": logits}


def padded(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    ids = [list(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor([row["labels"] for row in rows])}


rows = Dataset.from_dict({"input_ids": [[1] * length for length in LENGTHS], "labels": LENGTHS})
arguments = TrainingArguments(
    output_dir=sys.argv[1],
    train_sampling_strategy="group_by_length",
    per_device_eval_batch_size=2,
    use_cpu=True,
    report_to=[],
)
found = Trainer(Length(), arguments, data_collator=padded).predict(rows)
predicted = [int(value) for value in found.predictions[:, 0]]
print("lengths of the rows:", *LENGTHS, end="; of the predictions: ")
print(*predicted)
assert sorted(predicted) == sorted(LENGTHS) and predicted != LENGTHS, predicted
assert found.label_ids.tolist() == predicted, found.label_ids
PYTHON
