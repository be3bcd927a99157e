"""sentence-transformers' `CrossEncoder.predict` with its defaults: sorted, padded, batch 32, fp32.

It takes pairs only, so each text is paired with an empty one, which is one token more.
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers.cross_encoder import CrossEncoder

from contenders.gate import read_rows
from contenders.torch_gate import torch_gate


def main() -> None:
    """Predict slice by slice."""
    gate = torch_gate()
    setting = gate.setting
    model = CrossEncoder(
        setting["model"], max_length=setting["max_length"], device=setting["device"]
    )
    texts, _ = read_rows(setting)

    def work(request: dict[str, Any]) -> tuple[int, int]:
        pairs = [(text, "") for text in texts[request["first"] : request["last"]]]
        scores = model.predict(pairs, activation_fn=torch.nn.Sigmoid(), show_progress_bar=False)
        return len(scores), request["tokens"]

    gate.serve(work)


if __name__ == "__main__":
    main()
