"""simpletransformers' `predict` with its defaults but one: pad 128, batch 100, fp32.

It tokenises in this process. The workers that it forks by default wait for ever here, because torch
has threads by then; and its way without them expects columns of tensors from `datasets`, which today
gives lists of tensors, so they are stacked for it.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from datasets import Dataset
from simpletransformers.classification import classification_utils

from contenders.gate import read_rows
from contenders.simpletransformers_model import new_model
from contenders.torch_gate import torch_gate


class _StackedColumns:
    """As much of a data set as simpletransformers uses, with one tensor for a column."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    @classmethod
    def from_dict(cls, columns: dict[str, Any]) -> _StackedColumns:
        return cls(Dataset.from_dict(columns))

    def map(self, *args: Any, **kwargs: Any) -> _StackedColumns:
        return _StackedColumns(self.dataset.map(*args, **kwargs))

    def set_format(self, **kwargs: Any) -> None:
        self.dataset.set_format(**kwargs)

    def __getitem__(self, name: str) -> torch.Tensor:
        return torch.stack(list(self.dataset[name]))


def main() -> None:
    """Predict slice by slice."""
    gate = torch_gate()
    setting = gate.setting
    texts, _ = read_rows(setting)
    with tempfile.TemporaryDirectory() as scratch:
        classification_utils.HFDataset = _StackedColumns
        in_process = {"use_multiprocessing": False, "use_multiprocessing_for_evaluation": False}
        model = new_model(setting["model"], setting, scratch, **in_process)

        def work(request: dict[str, Any]) -> tuple[int, int]:
            labels, _ = model.predict(texts[request["first"] : request["last"]])
            return len(labels), request["tokens"]

        gate.serve(work, batch_size=model.args.eval_batch_size)


if __name__ == "__main__":
    main()
