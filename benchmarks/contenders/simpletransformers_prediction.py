"""simpletransformers' `predict` with its defaults: pad 128, batch 100, fp32."""

from __future__ import annotations

import tempfile
from typing import Any

from contenders.gate import read_rows
from contenders.simpletransformers_model import new_model
from contenders.torch_gate import torch_gate


def main() -> None:
    """Predict slice by slice."""
    gate = torch_gate()
    setting = gate.setting
    texts, _ = read_rows(setting)
    with tempfile.TemporaryDirectory() as scratch:
        model = new_model(setting["model"], setting, scratch)

        def work(request: dict[str, Any]) -> tuple[int, int]:
            labels, _ = model.predict(texts[request["first"] : request["last"]])
            return len(labels), request["tokens"]

        gate.serve(work, batch_size=model.args.eval_batch_size)


if __name__ == "__main__":
    main()
