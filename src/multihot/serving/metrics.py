"""Counters of a server for Prometheus; with several workers they are summed over all of them.

Every label of a counter comes from a bounded set: routes of our own, statuses, models, and label names of
models that have few.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from multihot.serving.shared_counters import FOLDER_VARIABLE

__all__ = ["CONTENT_TYPE_LATEST", "Counters"]

_MOST_LABELS = 200  # of a model whose labels are counted one by one
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Counters:
    """What a worker counts."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "multihot_requests_total",
            "Requests that were answered",
            ["route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "multihot_request_seconds",
            "From the headers of a request to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.texts = Counter(
            "multihot_texts_total", "Texts that were decided", ["model"], registry=registry
        )
        self.tokens = Counter(
            "multihot_tokens_total", "Tokens that were computed", ["model"], registry=registry
        )
        self.truncated = Counter(
            "multihot_truncated_texts_total",
            "Texts that were longer than max_length",
            ["model"],
            registry=registry,
        )
        self.without_label = Counter(
            "multihot_texts_without_label_total",
            "Texts that got no label",
            ["model"],
            registry=registry,
        )
        self.labels = Counter(
            "multihot_labels_total", "Labels that were given", ["model", "label"], registry=registry
        )
        self.renewals = Counter(
            "multihot_decision_renewals_total",
            "New decisions that were found in a model folder",
            ["model", "outcome"],
            registry=registry,
        )
        self.queue_tokens = Gauge(
            "multihot_queue_tokens",
            "Tokens that wait for computation",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.in_flight = Gauge(
            "multihot_requests_in_flight",
            "Requests that are being answered",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered, or left."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def count_answer(
        self,
        model: str,
        *,
        num_tokens: int,
        num_truncated: int,
        chosen: Iterable[list[str]],
        num_known: int,
    ) -> None:
        """Count the texts of one request; `num_known` is the number of the model's labels."""
        num_texts = num_without = 0
        for names in chosen:
            num_texts += 1
            num_without += not names
            if num_known <= _MOST_LABELS:
                for name in names:
                    self.labels.labels(model, name).inc()
        self.texts.labels(model).inc(num_texts)
        self.tokens.labels(model).inc(num_tokens)
        if num_truncated:
            self.truncated.labels(model).inc(num_truncated)
        if num_without:
            self.without_label.labels(model).inc(num_without)

    def exposition(self) -> bytes:
        """Return all counters in the text format of Prometheus."""
        if FOLDER_VARIABLE not in os.environ:
            return bytes(generate_latest(self._registry))
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)
        return bytes(generate_latest(together))
