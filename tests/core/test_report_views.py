from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import multihot
from emotions import LABELS, NAMES, TEXTS, write_jsonl
from multihot.core.report_views import as_html
from multihot.errors import MultihotError
from multihot.workflows.inspect import inspect_artifact, inspect_files


@pytest.fixture(scope="module")
def reports(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every kind of report that this model and its rows have."""
    folder = tmp_path_factory.mktemp("reports")
    file = write_jsonl(folder / "train.jsonl")
    model = multihot.MultiLabelClassifier.load(tiny_model, device="cpu")
    model.save(folder / "model")
    model = multihot.MultiLabelClassifier.load(folder / "model", device="cpu")
    tuned = model.decide(TEXTS, NAMES, thresholds="per_label")
    return {
        "evaluate": model.evaluate(TEXTS, NAMES),
        "decide": tuned,
        "fit": tuned.decision.fit_report,
        "inspect": inspect_files([file]),
        "model": inspect_artifact(folder / "model"),
        "split": multihot.split(file, folder / "parts", parts={"train": 0.5, "dev": 0.5}),
        "compare": multihot.compare(tiny_model, folder / "model", file),
    }


def test_every_report_is_a_dictionary_of_what_json_prints(reports: dict[str, Any]) -> None:
    for report in reports.values():
        assert report.to_dict() == report.to_json()
        assert json.dumps(report.to_dict())


def test_every_report_is_a_frame(reports: dict[str, Any]) -> None:
    for name, report in reports.items():
        frame = report.to_frame()
        expected = list(report.goals) if name == "fit" else list(LABELS)
        assert frame.index.tolist() == expected

    evaluated = reports["evaluate"]
    assert evaluated.to_frame()["f1"].to_dict() == {
        n: one.f1 for n, one in evaluated.labels.items()
    }
    shares = reports["split"].to_frame()
    assert list(shares.columns) == ["all", "train", "dev"]
    np.testing.assert_allclose(shares["all"], [16 / 48, 16 / 48, 24 / 48], atol=0.2)
    assert reports["inspect"].to_frame().iloc[:, 0].tolist() == [
        sum(label in names for names in NAMES) for label in LABELS
    ]


def test_every_report_shows_itself_in_a_notebook(reports: dict[str, Any]) -> None:
    for report in reports.values():
        shown = report._repr_html_()
        assert shown.startswith("<pre")
        assert shown.count("\n") == str(report).count("\n")


def test_names_of_labels_are_no_html() -> None:
    assert "<script>" not in as_html("<script>a & b</script>")
    assert "&lt;script&gt;a &amp; b" in as_html("<script>a & b</script>")


def test_a_frame_without_pandas_is_an_error_that_names_it(
    reports: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(MultihotError, match=r"needs the package 'pandas'"):
        reports["evaluate"].to_frame()
