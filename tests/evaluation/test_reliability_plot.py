from __future__ import annotations

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.examples import Examples
from multihot.decision.decision import Decision
from multihot.errors import MissingExtraError, OptionError, StorageError
from multihot.evaluation.evaluator import report
from multihot.evaluation.report import Report, draw_reliability, require_plots


def some_report(names: tuple[str, ...]) -> Report:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(60, len(names))).astype(np.float32)
    values = (generator.random(logits.shape) < 0.4).astype(np.float32)
    values[:, 0] = np.nan  # a label without known cells
    space = LabelSpace(names)
    numbers = list(range(60))
    rows = Examples(
        ["t"] * 60,
        LabelMatrix(space, values),
        list(map(str, numbers)),
        "here",
        DataOptions(),
        (),
        numbers,
    )
    return report(Decision(space, (0.5,) * len(names), "jaccard", "fixed"), logits, rows)


@pytest.mark.parametrize("names", [("a", "b"), ("a", "$x^2$ cost", "c_1", "d", "<e>")])
def test_one_diagram_is_drawn_for_each_label(names: tuple[str, ...], tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    drawn = some_report(names)

    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text stays text
        draw_reliability(drawn, tmp_path / "r.svg")

    assert [path.name for path in tmp_path.iterdir()] == ["r.svg"]
    texts = list(ElementTree.parse(tmp_path / "r.svg").getroot().itertext())
    for name, label in drawn.labels.items():
        assert texts.count(name) == 1
        error = label.expected_calibration_error
        assert error is None or any(text.startswith(f"ECE {error:.3f} (if") for text in texts)
    assert sum(text.startswith("ECE") for text in texts) == len(names) - 1  # one has no known cell


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match=r"expected a name that ends in \.png, \.svg, \.pdf"):
        require_plots(tmp_path / "picture")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"needs the package 'matplotlib'.*multihot\[plots\]"
    ):
        require_plots(tmp_path / "picture.png")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(StorageError, match="Check that the folder exists"):
        draw_reliability(some_report(("a", "b")), tmp_path / "no" / "r.png")
