from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.core.text_tables import printable
from multihot.data.examples import Examples
from multihot.decision.decision import Decision
from multihot.errors import MissingExtraError, OptionError, StorageError
from multihot.evaluation.evaluator import report
from multihot.evaluation.plot_fonts import families_for
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


CHARACTER = "\U00100042"  # for private use: no font has it


@pytest.fixture
def font_with_the_character(tmp_path: Path) -> Iterator[str]:
    """Install a font of one glyph for the time of a test."""
    manager = pytest.importorskip("matplotlib.font_manager").fontManager
    from fontTools.fontBuilder import FontBuilder  # which matplotlib needs
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(CHARACTER): "square"})
    pen = TTGlyphPen(None)
    for number, point in enumerate([(0, 0), (0, 800), (800, 800), (800, 0)]):
        (pen.lineTo if number else pen.moveTo)(point)
    pen.closePath()
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "One Square", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "square.ttf")
    before = list(manager.ttflist)
    manager.addfont(tmp_path / "square.ttf")
    yield "One Square"
    manager.ttflist[:] = before


def test_a_name_is_drawn_with_an_installed_font_that_has_its_characters(
    font_with_the_character: str, tmp_path: Path
) -> None:
    assert families_for(["joy", CHARACTER])[0][-1] == font_with_the_character
    assert font_with_the_character not in families_for(["joy"])[0]

    notes = draw_reliability(some_report(("a", CHARACTER)), tmp_path / "r.png")  # warns of no glyph

    assert notes == []


def test_a_name_that_no_font_can_draw_is_a_number_and_said(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    name = f"love {CHARACTER}"

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        notes = draw_reliability(some_report(("a", name, "c")), tmp_path / "r.svg")

    texts = list(ElementTree.parse(tmp_path / "r.svg").getroot().itertext())
    assert "label 2" in texts
    assert not any(CHARACTER in text for text in texts)
    assert len(notes) == 1
    assert f"label 2 is {printable(name)}" in notes[0]


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


def test_a_folder_that_is_missing_is_made_and_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_reliability(some_report(("a", "b")), tmp_path / "new" / "r.png")
    assert (tmp_path / "new" / "r.png").stat().st_size > 0

    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"file/r\.png"):
        draw_reliability(some_report(("a", "b")), tmp_path / "file" / "r.png")
