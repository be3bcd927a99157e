"""Settings are chosen on validation rows, and the figure is that of the rows of the test set."""

from __future__ import annotations

import pytest

from time_figure import Point, drawn
from time_to_quality import FIGURES, chosen, figure

TUNED = [
    ("epochs=1", "90", ".57"),
    ("epochs=2", "160", ".60"),
    ("epochs=3", "240", ".61"),
]


def _rows(part: str) -> list[dict[str, str]]:
    shared = {"data": "tweets", "goal": "jaccard", "side": "ours", "part": part}
    return [
        {**shared, "setting": setting, "cpu_seconds": seconds, "score": score}
        for setting, seconds, score in TUNED
    ]


def test_the_fastest_setting_that_passes_the_target_is_chosen() -> None:
    assert chosen(_rows("validation"), "tweets", "jaccard", "ours", 0.59) == {"epochs": "2"}


def test_where_none_passes_it_is_the_best_one() -> None:
    assert chosen(_rows("validation"), "tweets", "jaccard", "ours", 0.7) == {"epochs": "3"}


def test_scores_of_the_test_set_choose_nothing() -> None:
    assert chosen(_rows("test"), "tweets", "jaccard", "ours", 0.1) == {}


def test_a_figure_has_every_side_and_stands_inside_its_page() -> None:
    points = [
        Point("multihot", 2.5, 0.6, 0.58, 0.62, is_ours=True),
        Point("TF-IDF", 0.1, 0.52, 0.5, 0.54),
    ]

    svg = drawn(points, "jaccard", 0.58)

    assert "multihot, 2.5 min" in svg
    assert "TF-IDF, 0.1 min" in svg
    assert svg.count("<circle") == 2


@pytest.mark.parametrize("data", FIGURES)
def test_a_figure_is_that_of_the_rows(data: str) -> None:
    wanted = FIGURES[data]

    assert wanted.path.read_text("utf-8") == figure(data, wanted)
