"""What makes a network faster on a CPU: one function for training, one for inference.

Three kinds of kernels are involved (`models.cpu`, and the attention of `models.packed.attention`).
Each passes a self-test against plain torch at its first use in a process, or plain torch computes
instead; on other devices nothing is changed. Packed execution is no part of this: it has a switch
and a self-test of its own, `models.packed.self_test`.

On Linux with glibc, freed memory is kept for the next step or batch instead of returned to the
system; and oneDNN keeps the code of few shapes (`core.memory.keep_few_kernels`).
"""

from __future__ import annotations

import torch
from torch import nn

from multihot.core.memory import glibc_function, keep_few_kernels
from multihot.models.cpu.dropout import dropout_failure, replace_dropout
from multihot.models.cpu.embedding import embedding_failure, track_touched_rows
from multihot.models.cpu.linear import linear_failure, prepare_linears
from multihot.models.packed.attention import attention_failure

__all__ = ["keep_freed_memory", "optimize_for_inference", "optimize_for_training"]

# Of glibc's malloc.h. 32 MB is the largest threshold that it promises to take (mallopt(3)).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # bytes
_NEVER = 2**31 - 1  # bytes


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory, for the whole process; return whether it will.

    By default it gives large blocks back to the system at once, and every page of the next one is
    a page fault: some 8000 in a training step of eight tweets, a tenth to a fifth of its time, and
    a few percent of prediction's. Instead the process keeps its peak of memory until it ends.
    Elsewhere than on Linux with glibc nothing happens.
    """
    mallopt = glibc_function("mallopt")
    if mallopt is None:
        return False
    # Both are tried: the first alone already keeps the pages of blocks up to the threshold.
    kept = mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER) and kept)


def optimize_for_training(network: nn.Module, device: torch.device) -> tuple[str, ...]:
    """Let a network on `device` train faster; the results stay those of torch but for rounding.

    Dropout draws fewer random bits, large embeddings clear only the rows that were touched, packed
    attention has a written-out gradient, and the process keeps freed memory.

    Parameters
    ----------
    network
        On `device`; weights and names stay.
    device
        Where it trains.

    Returns
    -------
    tuple of str
        One sentence for every kernel that failed its self-test, to be logged; plain torch replaces it.
    """
    if device.type != "cpu":
        return ()
    keep_freed_memory()
    keep_few_kernels()
    # Of the weights; other precisions are tested where autocast uses them.
    precision = torch.float32
    failures = {
        "dropout": dropout_failure(precision),
        "embedding gradient": embedding_failure(precision),
        "attention gradient": attention_failure(precision),
    }
    if failures["dropout"] is None:
        replace_dropout(network)
    if failures["embedding gradient"] is None:
        track_touched_rows(network)
    return _sentences(failures)


def optimize_for_inference(
    network: nn.Module, dtype: torch.dtype, device: torch.device, *, final_weights: bool
) -> tuple[str, ...]:
    """Let a network on `device` predict faster; the results stay those of torch but for rounding.

    The process keeps freed memory, and weights that never change again are laid out for oneDNN.

    Parameters
    ----------
    network
        On `device`; weights and names stay.
    dtype
        Precision of the matrix products: float32 or bfloat16.
    device
        Where it predicts.
    final_weights
        Whether the weights never change again; otherwise they are left as they are.

    Returns
    -------
    tuple of str
        As of `optimize_for_training`.
    """
    if device.type != "cpu":
        return ()
    keep_freed_memory()
    keep_few_kernels()
    if not final_weights:
        return ()
    failure = linear_failure(dtype)
    if failure is None:
        prepare_linears(network, dtype)
    return _sentences({"linear layer": failure})


def _sentences(failures: dict[str, str | None]) -> tuple[str, ...]:
    return tuple(
        f"The fast {kernel} is off, plain torch is used: {reason}."
        for kernel, reason in failures.items()
        if reason is not None
    )
