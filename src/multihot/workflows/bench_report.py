"""What `multihot bench` found, as text and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.text_tables import DEFAULT_WIDTH, aligned, counted, format_number

__all__ = [
    "BENCH_FORMAT",
    "BatchSpeed",
    "BenchReport",
    "LoadLevel",
    "ProcessCost",
    "Recommended",
    "ServingSpeed",
]

BENCH_FORMAT = 1
"""Version of the JSON."""

_MEGABYTE = 1e6


@dataclass(frozen=True)
class ProcessCost:
    """A fresh process with so many threads."""

    threads: int
    cold_start_seconds: float
    """From its start to the first label."""
    memory_bytes: int | None
    """After the first label, mapped weights included; `None` where the system does not say."""
    peak_memory_bytes: int | None
    """After the largest batch."""


@dataclass(frozen=True)
class BatchSpeed:
    """Calls of so many texts, one after the other; the times are of a call."""

    threads: int
    batch_size: int
    num_calls: int
    texts_per_second: float
    tokens_per_second: float
    """Real tokens, padding excluded."""
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class ServingSpeed:
    """The server's engine, asked by some clients that do not pause; the times are of an answer."""

    workers: int
    threads: int
    clients: int
    pass_tokens: int
    texts_per_second: float
    tokens_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class LoadLevel:
    """Requests that came at random times at a mean rate, whether earlier ones were answered or not."""

    percent: int
    """Of the highest rate that was answered."""
    texts_per_second: float
    """That were planned."""
    num_planned: int
    num_answered: int
    num_refused: int
    """At once, since the queue was full (429)."""
    num_late: int
    """That missed their deadline (504)."""
    answered_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    """From the planned arrival to the answer, of those that were answered."""


@dataclass(frozen=True)
class Recommended:
    """Settings of `multihot serve`, and the measurement behind each."""

    workers: int
    threads: int
    pass_tokens: int
    max_queue_tokens: int
    texts_per_second: float
    """What they answered at most."""
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class BenchReport:
    """Speed of a model on one machine; `print` it or take `to_json()`."""

    model: str
    form: str
    precision: str
    backend: str
    num_labels: int
    max_length: int
    source: str
    num_texts: int
    mean_tokens: float
    longest_tokens: int
    num_truncated: int
    instruction_set: str
    processors: int
    python: str
    versions: Mapping[str, str]
    processes: Sequence[ProcessCost]
    batches: Sequence[BatchSpeed]
    settings: Sequence[ServingSpeed]
    passes: Sequence[ServingSpeed]
    loads: Sequence[LoadLevel]
    recommended: Recommended

    @property
    def command(self) -> str:
        """How to start a server with the recommended settings."""
        best = self.recommended
        return (
            f"OMP_NUM_THREADS={best.threads} multihot serve {self.model} --workers {best.workers} "
            f"--pass-tokens {best.pass_tokens} --max-queue-tokens {best.max_queue_tokens}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the content of `--json` (see `schemas/bench.schema.json`)."""
        return {
            "format_version": BENCH_FORMAT,
            "model": {
                "folder": self.model,
                "form": self.form,
                "precision": self.precision,
                "backend": self.backend,
                "labels": self.num_labels,
                "max_length": self.max_length,
            },
            "texts": {
                "source": self.source,
                "count": self.num_texts,
                "mean_tokens": self.mean_tokens,
                "longest_tokens": self.longest_tokens,
                "truncated": self.num_truncated,
            },
            "machine": {
                "instruction_set": self.instruction_set,
                "processors": self.processors,
                "python": self.python,
                "versions": dict(self.versions),
            },
            "processes": [asdict(each) for each in self.processes],
            "batches": [asdict(each) for each in self.batches],
            "settings": [asdict(each) for each in self.settings],
            "passes": [asdict(each) for each in self.passes],
            "loads": [asdict(each) for each in self.loads],
            "recommended": {**asdict(self.recommended), "command": self.command},
        }

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH) -> str:
        """Return tables and recommendations for so many columns."""
        blocks = [
            self._heading(),
            self._process_table(width),
            self._batch_table(width),
            self._setting_table(width),
            self._load_table(width),
            self._recommendations(),
        ]
        return "\n\n".join("\n".join(block) for block in blocks)

    def _heading(self) -> list[str]:
        cut = f", {self.num_truncated} of them cut" if self.num_truncated else ""
        shown = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return [
            f"{self.model}: {self.form}, {self.precision}, {counted(self.num_labels, 'label')}.",
            f"Texts: {self.num_texts} of {self.source}, {self.mean_tokens:.1f} tokens each (mean; the "
            f"longest has {self.longest_tokens}{cut}).",
            f"Machine: {counted(self.processors, 'processor')}, {self.instruction_set}; {shown}.",
        ]

    def _process_table(self, width: int) -> list[str]:
        rows = [
            [
                str(each.threads),
                f"{each.cold_start_seconds:.2f}",
                _megabytes(each.memory_bytes),
                _megabytes(each.peak_memory_bytes),
            ]
            for each in self.processes
        ]
        heads = ["threads", "s to first label", "MB", "MB at most"]
        return ["A fresh process", *aligned(heads, rows, width=width)]

    def _batch_table(self, width: int) -> list[str]:
        rows = [
            [
                str(each.threads),
                str(each.batch_size),
                f"{each.texts_per_second:,.0f}",
                f"{each.tokens_per_second:,.0f}",
                *_times(each),
            ]
            for each in self.batches
        ]
        heads = ["threads", "batch", "texts/s", "tokens/s", "p50 ms", "p95 ms", "p99 ms"]
        return ["Batches, one after the other", *aligned(heads, rows, width=width)]

    def _setting_table(self, width: int) -> list[str]:
        rows = [
            [
                str(each.workers),
                str(each.threads),
                str(each.clients),
                str(each.pass_tokens),
                f"{each.texts_per_second:,.0f}",
                *_times(each),
            ]
            for each in [*self.settings, *self.passes]
        ]
        heads = ["workers", "threads", "clients", "pass", "texts/s", "p50 ms", "p95 ms", "p99 ms"]
        return [
            "Clients that do not pause, at the server's engine with passes of so many tokens",
            *aligned(heads, rows, width=width),
        ]

    def _load_table(self, width: int) -> list[str]:
        rows = [
            [
                f"{each.percent} %",
                f"{each.texts_per_second:,.0f}",
                f"{each.answered_per_second:,.0f}",
                str(each.num_refused),
                str(each.num_late),
                *_times(each),
            ]
            for each in self.loads
        ]
        heads = ["load", "texts/s", "answered/s", "refused", "late", "p50 ms", "p95 ms", "p99 ms"]
        return [
            "Requests at random times, with the recommended settings",
            *aligned(heads, rows, width=width),
        ]

    def _recommendations(self) -> list[str]:
        best = self.recommended
        values = {
            "workers": f"--workers {best.workers}",
            "threads": f"OMP_NUM_THREADS={best.threads}",
            "pass_tokens": f"--pass-tokens {best.pass_tokens}",
            "max_queue_tokens": f"--max-queue-tokens {best.max_queue_tokens}",
        }
        lines = [f"{values[name]}: {reason}" for name, reason in best.reasons.items()]
        return ["Recommended", *lines, "", self.command]


def _times(each: BatchSpeed | ServingSpeed | LoadLevel) -> list[str]:
    return [format_number(value, 1) for value in (each.p50_ms, each.p95_ms, each.p99_ms)]


def _megabytes(value: int | None) -> str:
    return format_number(None if value is None else value / _MEGABYTE, 0)
