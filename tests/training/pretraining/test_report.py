"""The report says what was reached beside what needs no network, and survives its file."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multihot.errors import ArtifactError, MissingExtraError, TrainingError
from multihot.evaluation.bootstrap import Estimate
from multihot.training.pretraining.report import (
    PretrainReport,
    draw_curve,
    is_pretrained,
    last_metrics,
    read_curve,
    read_report,
    write_report,
)

CURVE = [
    {
        "step": step,
        "held_out": True,
        "tokens": 1000 * step,
        "held_out_mlm_loss": 5.0 - step / 10,
        "held_out_mlm_loss_low": 4.75 - step / 10,
        "held_out_mlm_loss_high": 5.25 - step / 10,
        "held_out_mlm_top1": 0.1,
        "held_out_mlm_top1_low": None,
        "held_out_mlm_top1_high": None,
    }
    for step in (0, 10)
]

REPORT = PretrainReport(
    steps=10,
    tokens=2_500_000,
    seconds=600.0,
    tokens_per_second=4321.0,
    roof_share=0.42,
    parameters=5_400_000,
    held_out_examples=2048,
    held_out_documents=14,
    interval_over="examples",
    metrics={
        "mlm_loss": Estimate(4.0, 3.9, 4.1),
        "mlm_top1": Estimate(0.2, 0.19, 0.21),
        "nsp_accuracy": Estimate(0.6, 0.58, 0.62),
    },
    baselines={
        "unigram_top1": Estimate(0.05, 0.04, 0.06),
        "word_overlap_accuracy": Estimate(0.75, 0.73, 0.77),
        "length_accuracy": Estimate(None, None, None),
    },
    curve=CURVE,
    notes=("A note.",),
)


def test_the_words_hold_every_figure_and_what_it_means() -> None:
    text = str(REPORT)

    assert "MLM top-1 accuracy                             0.2000   0.1900 to 0.2100" in text
    assert "lengths of the two segments, NSP accuracy           -" in text
    assert (
        "5.4 million parameters, 10 steps, 2.50 million tokens, 10.0 minutes; 4,321 tokens/s, "
        in text
    )
    assert "42 % matmul utilisation." in text
    assert "2048 hold-out examples of 14 documents; intervals over examples." in text
    assert "MLM top-1 is 4.0x the unigram baseline." in text
    assert "NSP accuracy is below the word-overlap baseline." in text
    assert text.endswith("A note.")


def test_better_than_counting_words_is_said_too() -> None:
    better = replace(REPORT, metrics={"nsp_accuracy": Estimate(0.8, 0.7, 0.9)}, roof_share=None)

    assert "NSP accuracy is above the word-overlap baseline." in better.remarks()
    assert not any("matmul" in remark for remark in better.remarks())


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    assert not is_pretrained(tmp_path)
    write_report(tmp_path, REPORT)

    assert is_pretrained(tmp_path)
    assert read_report(tmp_path).to_json() == replace(REPORT, notes=["A note."]).to_json()
    (tmp_path / "pretraining.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"pretraining.json is damaged .*pretrain again"):
        read_report(tmp_path)


def test_the_curve_is_read_from_the_log(tmp_path: Path) -> None:
    lines = [CURVE[0], {"step": 5, "loss": 4.5}, CURVE[1]]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = read_curve(tmp_path / "metrics.jsonl")

    assert curve == CURVE
    assert last_metrics(curve) == {
        "mlm_loss": Estimate(4.0, 3.75, 4.25),
        "mlm_top1": Estimate(0.1, None, None),
    }


def test_without_matplotlib_the_picture_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'multihot\[plots\]'"):
        draw_curve(REPORT, tmp_path / "curve.png")


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_curve(REPORT, tmp_path / "curve.png")

    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "changed",
    [
        {"held_out": "x"},
        {"tokens": None},
        {"tokens": "many"},
        {"held_out_mlm_loss": []},
        {"held_out_mlm_loss_low": "x"},
        {"held_out_mlm_loss_high": None},
        {"held_out_other": {}},
    ],
)
def test_a_log_without_an_evaluation_makes_no_report(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text(json.dumps({**CURVE[0], **changed}) + "\n")

    with pytest.raises(TrainingError, match=r"metrics.jsonl holds no evaluation"):
        read_curve(log)
