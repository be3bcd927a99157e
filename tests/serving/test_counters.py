"""The text that Prometheus reads."""

from __future__ import annotations

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from multihot.serving.metrics import Counters


def test_label_names_of_any_script_are_counted_under_their_names() -> None:
    counters = Counters()
    given = [["价格", 'a "quoted" \\ name'], [], ["价格"]]

    counters.count_answer("车评", num_tokens=30, num_truncated=1, chosen=given, num_known=2)

    content = counters.exposition().decode("utf-8")
    families = {family.name: family for family in text_string_to_metric_families(content)}
    counts = {
        (one.labels["model"], one.labels["label"]): one.value
        for one in families["multihot_labels"].samples
        if one.name.endswith("_total")
    }
    assert counts == {("车评", "价格"): 2, ("车评", 'a "quoted" \\ name'): 1}
