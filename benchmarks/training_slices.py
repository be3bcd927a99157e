"""Fine-tuning step by step, interleaved: who is asked what, and the rows that come of it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import Contender, Request, Slice, fastest, figures, roof_shares, run_rounds

__all__ = [
    "Plan",
    "best_trainer",
    "best_trainer_setting",
    "contenders",
    "measure",
    "ours",
    "trainer",
]

TUTORIAL = "tutorial"
_ROOFS = ("bf16", "fp32")


@dataclass(frozen=True)
class Plan:
    """What all contenders of a comparison have in common.

    Attributes
    ----------
    rows
        File of the texts in the order of the slices.
    labels
        Label names in order.
    lengths
        Tokens of each text. *Shape:* (N,), int64.
    encoder
        Folder of the encoder.
    rivals
        The interpreter that has the other libraries.
    max_length
        Where texts are cut, and what the tutorial pads to.
    slice_texts
        Texts of each contender in each round; a multiple of the batch sizes.
    warm_up_texts
        Texts of the round before them; a multiple of the batch sizes too.
    """

    rows: Path
    labels: tuple[str, ...]
    lengths: npt.NDArray[np.int64]
    encoder: Path
    rivals: str
    max_length: int
    slice_texts: int
    rounds: int
    threads: int
    device: str
    rival_precision: str
    """What the others use at their best: bf16 where the hardware computes it."""
    seed: int
    warm_up_texts: int = 64

    @property
    def num_texts(self) -> int:
        """Texts of all rounds together."""
        return self.warm_up_texts + self.rounds * self.slice_texts

    def slice(self, number: int) -> tuple[int, int]:
        """Return the first row of a round and the one after its last."""
        if number == 0:
            return 0, self.warm_up_texts
        start = self.warm_up_texts + (number - 1) * self.slice_texts
        return start, start + self.slice_texts

    def batches(self, number: int, batch_size: int) -> list[list[int]]:
        """Return (tokens, texts) of every batch of a round that is cut in order."""
        first, last = self.slice(number)
        starts = range(first, last, batch_size)
        parts = [self.lengths[start : min(last, start + batch_size)] for start in starts]
        return [[int(part.sum()), len(part)] for part in parts]


def _common(plan: Plan) -> dict[str, Any]:
    return {
        "rows": str(plan.rows),
        "labels": plan.labels,
        "encoder": str(plan.encoder),
        "max_length": plan.max_length,
        "num_texts": plan.num_texts,
        "device": plan.device,
        "seed": plan.seed,
        "learning_rate": 2e-5,
        "weight_decay": 0.01,
    }


def trainer(
    plan: Plan, name: str, *, batch_size: int, padding: str, grouped: bool, precision: str
) -> Contender:
    """Return Hugging Face `Trainer` with these settings."""
    setting = {
        **_common(plan),
        "batch_size": batch_size,
        "padding": padding,
        "grouped": grouped,
        "precision": precision,
    }
    pad = f"to {plan.max_length}" if padding == "max_length" else "to longest of batch"
    shown = {
        "batch_size": batch_size,
        "precision": precision,
        "padding": pad + (", grouped by length" if grouped else ""),
    }
    return Contender(name, "trainer_training", setting, plan.rivals, shown)


def ours(plan: Plan, name: str, batch_size: int, options: dict[str, Any]) -> Contender:
    """Return multihot with these options, all others as they are."""
    setting = {**_common(plan), "options": {"batch_size": batch_size, **options}}
    shown = {
        "batch_size": batch_size,
        "precision": options.get("precision", plan.rival_precision),  # our default too
        "padding": options.get("execution", "none (packed)"),
    }
    return Contender(name, "ours_training", setting, sys.executable, shown)


def contenders(plan: Plan, best: tuple[int, str], our_batches: Iterable[int]) -> list[Contender]:
    """Return everyone: the tutorial, the other libraries, and ours.

    `best` is the batch size and precision of `Trainer` at its best.

    Ours at batch 8 has the tutorial's head, batches, order, rate and decay, so it does the same
    updates; "same head" has `Trainer`'s head on [CLS] and its best batch size; the others are the
    defaults, which average all tokens.
    """
    common = _common(plan)
    same = {"pooling": "cls", "learning_rate": 2e-5, "weight_decay": 0.01, "warmup_fraction": 0.0}
    pad_all = {"batch_size": 8, "precision": "fp32", "padding": f"to {plan.max_length}"}
    pad_batch = {**pad_all, "padding": "to longest of batch"}
    return [
        _tutorial(plan),
        best_trainer(plan, *best),
        Contender(
            "simpletransformers", "simpletransformers_training", common, plan.rivals, pad_all
        ),
        Contender("CrossEncoder", "cross_encoder_training", common, plan.rivals, pad_batch),
        ours(plan, "ours, same batches", 8, same),
        ours(plan, f"ours, batch {best[0]}, same head", best[0], {"pooling": "cls"}),
        *(ours(plan, f"ours, batch {size}", size, {}) for size in our_batches),
    ]


def _tutorial(plan: Plan) -> Contender:
    return trainer(
        plan, TUTORIAL, batch_size=8, padding="max_length", grouped=False, precision="fp32"
    )


def best_trainer(plan: Plan, batch_size: int, precision: str) -> Contender:
    """Return `Trainer` with dynamic padding and grouping by length."""
    return trainer(
        plan,
        f"Trainer at its best, batch {batch_size}, {precision}",
        batch_size=batch_size,
        padding="longest",
        grouped=True,
        precision=precision,
    )


def best_trainer_setting(
    plan: Plan, sizes: Sequence[int], precisions: Sequence[str], rounds: int
) -> tuple[int, str]:
    """Measure `Trainer` with every batch size and precision, and return the fastest."""
    settings = list(itertools.product(sizes, precisions))
    if len(settings) == 1:
        return settings[0]
    everyone = [best_trainer(plan, *setting) for setting in settings]
    tried = {one.name: setting for one, setting in zip(everyone, settings, strict=True)}
    requests = {name: [(name, _texts_of(plan))] for name in tried}
    rounds = min(rounds, plan.rounds)  # a contender has texts for no more
    measured = run_rounds(everyone, requests, rounds=rounds, threads=plan.threads)
    for name, slices in measured.items():
        rates = ", ".join(f"{one.tokens_per_second:.0f}" for one in slices)
        print(f"{name}: {rates} tokens/s")
    return tried[fastest(tried, measured)]


def measure(plan: Plan, everyone: Sequence[Contender]) -> list[dict[str, object]]:
    """Run all rounds and return one row per contender."""
    sizes = sorted({int(one.shown["batch_size"]) for one in everyone})
    requests: dict[str, list[tuple[str, Request]]] = {
        one.name: [(one.name, _texts_of(plan))] for one in everyone
    }
    requests["roof"] = [
        (f"roof {precision} {size}", _roof_of(plan, precision, size))
        for size in sizes
        for precision in _ROOFS
    ]
    roof = Contender(
        "roof",
        "gemm_roof",
        {
            **_common(plan),
            "precisions": _ROOFS,
            "most_rows": max(
                t for n in range(plan.rounds + 1) for t, _ in plan.batches(n, sizes[-1])
            ),
        },
    )
    measured = run_rounds([*everyone, roof], requests, rounds=plan.rounds, threads=plan.threads)
    best = next((one.name for one in everyone if one.name.startswith("Trainer")), TUTORIAL)
    return [
        _row(plan, one, measured, {"tutorial": TUTORIAL, "best_trainer": best}) for one in everyone
    ]


def _row(
    plan: Plan,
    one: Contender,
    measured: dict[str, list[Slice]],
    references: dict[str, str],
) -> dict[str, object]:
    roofs = {precision: f"roof {precision} {one.shown['batch_size']}" for precision in _ROOFS}
    return {
        "contender": one.name,
        **one.shown,
        "max_length": plan.max_length,
        **figures(one.name, measured, references).columns(),
        **roof_shares(one.name, measured, roofs),
        "rounds": plan.rounds,
        "slice_texts": plan.slice_texts,
        "threads": plan.threads,
    }


def _texts_of(plan: Plan) -> Request:
    def request(number: int) -> dict[str, Any]:
        first, last = plan.slice(number)
        return {"texts": last - first}

    return request


def _roof_of(plan: Plan, precision: str, batch_size: int) -> Request:
    def request(number: int) -> dict[str, Any]:
        batches = plan.batches(number, batch_size)
        return {"batches": batches, "precision": precision, "backward": True}

    return request
