"""What exports are compared with: the pipeline of transformers, and a fair turn for each contender."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

__all__ = ["fastest_pipeline", "interleaved"]

_BATCH_SIZES = (1, 8, 16, 32)


def fastest_pipeline(folder: str, texts: Sequence[str]) -> Callable[[], object]:
    """Return the pipeline over texts that are sorted by length, with its fastest batch size, one thread."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(1)
    made = pipeline("text-classification", model=folder, top_k=None, device="cpu")
    calls = {size: lambda size=size: made(list(texts), batch_size=size) for size in _BATCH_SIZES}
    seconds = interleaved({str(size): call for size, call in calls.items()}, 1)
    return calls[min(calls, key=lambda size: seconds[str(size)][0])]


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the processor seconds of each call in each round; a warm-up comes first."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            began = time.process_time()
            call()
            if number:
                found[name].append(time.process_time() - began)
    return found
