"""Prediction, interleaved: who is asked what, and the rows that come of it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import Contender, Request, Slice, fastest, figures, roof_shares, run_rounds

__all__ = ["Plan", "best_pipeline", "contenders", "logit_differences", "measure", "pipeline"]

PRECISIONS = ("fp32", "bf16")
_ROOF_TOKENS = 8192  # of one batch of the roof: large, as sorted texts allow
_COMPARED_TEXTS = 256


@dataclass(frozen=True)
class Plan:
    """What all contenders of a comparison have in common.

    Attributes
    ----------
    model
        Folder that multihot wrote and transformers reads.
    rows
        File of the texts in their order.
    lengths
        Tokens of each text. *Shape:* (N,), int64.
    """

    model: Path
    rows: Path
    labels: tuple[str, ...]
    lengths: npt.NDArray[np.int64]
    rivals: str
    max_length: int
    slice_texts: int
    rounds: int
    threads: int
    device: str

    def request(self, number: int, **more: object) -> dict[str, Any]:
        """Return the rows of a round; round 0, the warm-up, has those of round 1."""
        first = max(0, number - 1) * self.slice_texts
        last = first + self.slice_texts
        tokens = int(self.lengths[first:last].sum())
        return {"first": first, "last": last, "tokens": tokens, **more}


def pipeline(plan: Plan, precision: str) -> Contender:
    """Return transformers' pipeline; each request says batch size and order."""
    return _contender(plan, f"pipeline {precision}", "pipeline_prediction", precision)


def contenders(plan: Plan) -> list[Contender]:
    """Return everyone but the pipelines: ours and the other libraries."""
    return [
        *(_contender(plan, f"ours {p}", "ours_prediction", p) for p in PRECISIONS),
        _contender(plan, "Trainer.predict", "trainer_prediction", "fp32"),
        _contender(plan, "simpletransformers", "simpletransformers_prediction", "fp32"),
        _contender(plan, "CrossEncoder", "cross_encoder_prediction", "fp32"),
    ]


_SHOWN: dict[str, dict[str, Any]] = {
    "pipeline_prediction": {"padding": "to longest of batch"},
    "ours_prediction": {"batch_size": "by tokens", "order": "file", "padding": "none (packed)"},
    "trainer_prediction": {"batch_size": 8, "order": "file", "padding": "to max_length"},
    "simpletransformers_prediction": {"batch_size": 100, "order": "file", "padding": "to 128"},
    "cross_encoder_prediction": {"batch_size": 32, "padding": "to longest of batch"},
}


def _contender(plan: Plan, name: str, module: str, precision: str) -> Contender:
    setting = {
        "model": str(plan.model),
        "rows": str(plan.rows),
        "labels": plan.labels,
        "max_length": plan.max_length,
        "device": plan.device,
        "precision": precision,
    }
    python = sys.executable if name.startswith("ours") else plan.rivals
    return Contender(name, module, setting, python, {"precision": precision, **_SHOWN[module]})


def best_pipeline(
    plan: Plan, precision: str, sizes: Sequence[int], num_texts: int
) -> tuple[int, bool]:
    """Measure the pipeline with every batch size and order; return the fastest (size, sorted)."""
    one = pipeline(plan, precision)
    tried = {
        f"batch {size}{' sorted' * order}": (size, bool(order))
        for size in sizes
        for order in (0, 1)
    }

    def ask(size: int, in_order: bool) -> Request:
        tokens = int(plan.lengths[:num_texts].sum())
        request = {"first": 0, "last": num_texts, "tokens": tokens}
        return lambda number: {**request, "batch_size": size, "sorted": in_order}

    requests = {one.name: [(name, ask(*setting)) for name, setting in tried.items()]}
    measured = run_rounds([one], requests, rounds=2, threads=plan.threads)
    for name, slices in measured.items():
        rates = ", ".join(f"{part.texts_per_second:.1f}" for part in slices)
        print(f"{one.name}, {name}: {rates} texts/s")
    return tried[fastest(tried, measured)]


def measure(
    plan: Plan, everyone: Sequence[Contender], best: dict[str, tuple[int, bool]]
) -> list[dict[str, object]]:
    """Run all rounds and return one row per contender; `best` is the pipelines' setting."""

    def ask(name: str) -> Request:
        if name not in best:
            return plan.request
        size, in_order = best[name]
        return lambda number: plan.request(number, batch_size=size, sorted=in_order)

    requests = {one.name: [(one.name, ask(one.name))] for one in everyone}
    requests["roof"] = [
        (f"roof {precision}", _roof_of(plan, precision)) for precision in PRECISIONS
    ]
    setting = {
        "encoder": str(plan.model),
        "labels": plan.labels,
        "device": plan.device,
        "precisions": PRECISIONS,
        "most_rows": max(_ROOF_TOKENS, int(plan.lengths.max())),
    }
    roof = Contender("roof", "gemm_roof", setting)
    measured = run_rounds([*everyone, roof], requests, rounds=plan.rounds, threads=plan.threads)
    return [_row(plan, one, measured, best) for one in everyone]


def _row(
    plan: Plan,
    one: Contender,
    measured: dict[str, list[Slice]],
    best: dict[str, tuple[int, bool]],
) -> dict[str, object]:
    shown = dict(one.shown)
    if one.name in best:
        size, in_order = best[one.name]
        shown.update(batch_size=size, order="sorted" if in_order else "file")
    references = {f"pipeline_{p}": f"pipeline {p}" for p in PRECISIONS}
    roofs = {precision: f"roof {precision}" for precision in PRECISIONS}
    return {
        "contender": one.name,
        **shown,
        "max_length": plan.max_length,
        **figures(one.name, measured, references).columns(),
        **roof_shares(one.name, measured, roofs),
        "rounds": plan.rounds,
        "slice_texts": plan.slice_texts,
        "threads": plan.threads,
    }


def logit_differences(plan: Plan, everyone: Iterable[Contender]) -> dict[str, str]:
    """Return the largest difference of each one's logits from those of the pipeline in fp32."""
    able = [one for one in everyone if one.name.startswith(("pipeline", "ours"))]
    with tempfile.TemporaryDirectory() as scratch:
        paths = {one.name: Path(scratch) / f"{one.name}.npy" for one in able}

        def ask(path: Path) -> Request:
            request = {"first": 0, "last": _COMPARED_TEXTS, "tokens": 0, "logits": str(path)}
            return lambda number: request

        requests = {name: [(name, ask(path))] for name, path in paths.items()}
        run_rounds(able, requests, rounds=0, threads=plan.threads, say=lambda message: None)
        logits = {name: np.load(path).astype(np.float64) for name, path in paths.items()}
    exact = logits["pipeline fp32"]
    return {name: f"{np.abs(found - exact).max():.1e}" for name, found in logits.items()}


def _roof_of(plan: Plan, precision: str) -> Request:
    def request(number: int) -> dict[str, Any]:
        asked = plan.request(number)
        lengths = np.sort(plan.lengths[asked["first"] : asked["last"]])
        batches = [
            [int(part.sum()), len(part)]
            for part in np.split(
                lengths, np.flatnonzero(np.diff(lengths.cumsum() // _ROOF_TOKENS)) + 1
            )
        ]
        return {"batches": batches, "precision": precision, "backward": False}

    return request
