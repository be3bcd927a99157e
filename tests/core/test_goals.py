"""Goals: their words, their costs, their messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multihot.core.goals import GOALS, parse_goal, read_costs
from multihot.decision.counts import Counts
from multihot.decision.objective import counted_value
from multihot.errors import OptionError


@pytest.mark.parametrize(
    "words", [*GOALS, "precision>=0.9", "recall>=1", "top_k=3", "cost=1:5", "cost=0:0.5"]
)
def test_a_goal_is_read_from_its_words_and_gives_them_back(words: str) -> None:
    assert str(parse_goal(f" {words} ")) == words


def test_numbers_are_read() -> None:
    assert parse_goal("precision>=.9").level == 0.9
    assert parse_goal("top_k=3").num_labels == 3
    assert parse_goal("cost=1:2.5").costs == ((1.0, 2.5),)
    assert parse_goal("cost") == parse_goal("cost=1:1")


@pytest.mark.parametrize(
    "words",
    [
        "f1",
        "",
        "precision>=0",
        "precision>=1.5",
        "recall>=x",
        "precision=0.9",
        "top_k=0",
        "top_k=1.5",
        "cost=1",
        "cost=1:2:3",
        "cost=a:b",
        "recall>=nan",
        "precision >= 0.9",
    ],
)
def test_other_words_are_answered_with_what_there_is(words: str) -> None:
    with pytest.raises(
        OptionError, match=r"'goal' is '.*'; expected one of micro_f1, .*cost=FP:FN"
    ):
        parse_goal(words)


def test_a_goal_that_the_shell_has_cut_gets_a_hint() -> None:
    with pytest.raises(OptionError, match=r"put it into quotes: 'precision>=0\.9'"):
        parse_goal("precision")


@pytest.mark.parametrize("words", ["cost=0:0", "cost=-1:2", "cost=inf:1", "cost=nan:1"])
def test_costs_are_at_least_0_and_not_both_0(words: str) -> None:
    with pytest.raises(OptionError, match=r"expected two costs.*at least 0 and not both 0"):
        parse_goal(words)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("costs.toml", 'joy = [1, 5]\n"vertrauen ü" = [2.0, 1]\n'),
        ("costs.json", '{"joy": [1, 5], "vertrauen ü": [2, 1.0]}'),
    ],
)
def test_costs_of_labels_are_read_from_toml_or_json(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content, "utf-8")

    assert read_costs(tmp_path / name) == {"joy": (1, 5), "vertrauen ü": (2, 1)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("joy = 1", r"costs\.toml: joy' is 1; expected two costs"),
        ("joy = [1]", "expected two costs"),
        ("joy = [1, true]", "expected two costs"),
        ("", r"costs\.toml: the file holds no table"),
        ("joy", r"costs=.*costs\.toml: the file is not valid TOML"),
    ],
)
def test_a_wrong_table_of_costs_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "costs.toml").write_text(content, "utf-8")

    with pytest.raises(OptionError, match=message):
        read_costs(tmp_path / "costs.toml")
    with pytest.raises(OptionError, match=r"costs=.*missing\.toml: the file cannot be read"):
        read_costs(tmp_path / "missing.toml")


def test_a_label_in_a_file_of_costs_that_is_not_known_is_told_with_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "costs.toml"
    path.write_text("joy = [1, 5]\nyoj = [1, 2]\n", "utf-8")

    assert read_costs(path, ["joy", "yoj"]) == read_costs(path)
    with pytest.raises(
        OptionError,
        match=r"costs=.*costs\.toml names labels.*here: yoj\. The labels are: joy, anger",
    ):
        read_costs(path, ["joy", "anger"])


def test_costs_belong_to_a_cost_and_to_known_labels() -> None:
    goal = parse_goal("cost=1:2").with_costs({"b": (3, 4)}, ["a", "b"])

    assert goal.costs == ((1, 2), (3, 4))
    with pytest.raises(
        OptionError, match=r"labels that are not known here: c\. The labels are: a, b"
    ):
        goal.with_costs({"c": (1, 1)}, ["a", "b"])
    with pytest.raises(OptionError, match="'costs' is given, and the goal is jaccard"):
        parse_goal("jaccard").with_costs({"a": (1, 1)}, ["a"])


def test_what_each_goal_reaches_of_counts() -> None:
    counts = Counts(2)
    truth = np.array([[1, 0], [1, 1], [0, np.nan], [1, 0]], np.float32)
    decided = np.array([[1, 1], [0, 1], [0, 1], [1, 0]], np.bool_)
    counts.update(truth, decided)  # label a: 2 hits, 1 missed; b: 1 hit, 1 too many

    def value(words: str) -> float | None:
        return counted_value(counts, parse_goal(words))

    assert value("micro_f1") == counts.metrics()["micro_f1"]
    assert value("precision>=0.7") == 0.75
    assert value("precision>=0.8") == pytest.approx(-0.05)
    assert value("recall>=0.7") == 0.75
    assert value("top_k=1") == 0.75
    assert value("cost=1:5") == -6 / 4
    each = parse_goal("precision>=0.6").of_each_label()
    assert counted_value(counts, each) == pytest.approx((2 / 3 + (0.5 - 0.6)) / 2)
    own = parse_goal("cost=1:5").with_costs({"b": (10, 0)}, ["a", "b"])
    assert counted_value(counts, own) == -15 / 4
    assert counted_value(Counts(2), parse_goal("cost=1:1")) is None
    assert counted_value(Counts(2), parse_goal("recall>=0.5")) is None


@pytest.mark.parametrize(
    ("goal", "value", "shown"),
    [
        ("precision>=0.9", 0.25, "0.250"),
        ("precision>=0.9", 0.43 - 0.9, "0.9 not reached, best 0.43"),
        ("recall>=0.8", 0.79999 - 0.8, "0.8 not reached, best 0.799"),
        ("micro_f1", 0.5, "0.500"),
        ("cost=1:5", -1.25, "-1.250"),
        ("precision>=0.9", None, "-"),
    ],
)
def test_a_bound_that_is_not_met_is_shown_in_words(
    goal: str, value: float | None, shown: str
) -> None:
    assert parse_goal(goal).shown(value) == shown


def test_of_every_label_alone_it_is_said_how_far_they_are_on_average() -> None:
    goal = parse_goal("precision>=0.9").of_each_label()

    assert goal.shown(-0.25) == "0.9 not reached, on average 0.25 too low"
