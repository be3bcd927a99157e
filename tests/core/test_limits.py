"""Limits beside a goal: how they are written, and what is refused."""

from __future__ import annotations

import pytest

from multihot.core.limits import Limit, parse_limit, require_labels, split_goal
from multihot.errors import OptionError


def test_a_goal_and_its_limits_are_told_apart() -> None:
    goal, limits = split_goal("jaccard, recall[fear]>=0.9@0.99, abstained<=15%")

    assert goal == "jaccard"
    assert limits == (Limit("recall", 0.9, "fear", 0.99), Limit("abstained", 0.15, None, 0.95))


def test_a_text_may_hold_limits_only_or_a_goal_only() -> None:
    assert split_goal("samples_recall>=0.8@mean") == (
        None,
        (Limit("samples_recall", 0.8, None, None),),
    )
    assert split_goal("recall>=0.9") == ("recall>=0.9", ())


@pytest.mark.parametrize(
    "name", ["joy", "a, b", "a]>=0.5,b", 'quo"te', "[x]", " edge ", "中文", "@0.5", "a\\"]
)
def test_every_limit_reads_what_it_writes(name: str) -> None:
    limit = Limit("precision", 0.75, name, 0.9)

    assert split_goal(f"macro_f1, {limit}, abstained<=0.2") == (
        "macro_f1",
        (limit, Limit("abstained", 0.2)),
    )


@pytest.mark.parametrize("written", ["0.9999999", "0.000000001", "0.1234567", "99.9999%"])
def test_no_decimal_of_a_level_or_a_confidence_is_lost(written: str) -> None:
    limit = parse_limit(f"recall[joy]>={written}@{written}")
    assert limit is not None

    assert parse_limit(str(limit)) == limit
    assert 0 < limit.level == limit.confidence < 1
    assert not limit.sentence().endswith((" 1 % confidence", " 100 % confidence"))


def test_the_risk_of_a_limit_has_no_rounding() -> None:
    limit = Limit("recall", 0.9, "joy", 0.95)

    assert (limit.risk, limit.tolerated) == (0.1, 0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jaccard, macro_f1", "two goals"),
        ("jaccard, nonsense", "neither a goal"),
        ("recall>=0.9@0.95", "names no label"),
        ("recall[]>=0.9", "names no label"),
        ("recall[joy]<=0.9", "wrong sign"),
        ("abstained>=0.1", "wrong sign"),
        ("abstained<=1", "a level of '1'"),
        ("recall[joy]>=0.9@2", "a confidence of '2'"),
        ("precision[joy]>=0.9@mean", "on average"),
        ("samples_recall[joy]>=0.9", "names a label"),
        ("recall[joy]>=0.9, recall[joy]>=0.8", "two limits of the same kind"),
        ("recall[joy>=0.9", "neither a goal"),
        ("macro_f1, abstain<=0.1", r"nor a limit .*abstained<=A"),
        ("macro_f1; recall[joy]>=0.9", "Commas stand between them"),
        ("recall[joy]>=1", "No number of rows"),
        ("recall[joy]>=0.9@0.9999999999", "at most 9 decimals"),
        ("recall[joy]>=nan", "a level of 'nan'"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        split_goal(text)


def test_a_limit_of_an_unknown_label_is_refused() -> None:
    limit = parse_limit("recall[grief]>=0.9")
    assert limit is not None

    with pytest.raises(OptionError, match="'grief'"):
        require_labels([limit], ["joy", "fear"])
