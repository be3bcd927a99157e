"""Whatever stands in a stored decision, it is read as a decision that works or refused in a sentence."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from multihot.core.labels import LabelSpace
from multihot.decision.calibration import Calibration
from multihot.decision.decision import Decision
from multihot.decision.fit_report import FitReport
from multihot.decision.promises import Promise
from multihot.decision.provenance import FittedOn
from multihot.errors import ArtifactError

SPACE = LabelSpace(("joy", "anger"))
WRONG = (
    None,
    True,
    -1,
    0,
    2**62,
    1e300,
    "",
    "x",
    "1",
    [],
    [[]],
    ["a", 1],
    {},
    {"a": {}},
    "9" * 5000,
)
LOGITS = np.array([[2, -2], [-1, 1], [0, 0]], dtype=np.float32)


def decision(method: str) -> Decision:
    maps = {
        "platt": ((1.0, 0.5),),
        "beta": ((1.0, 1.0, 0.0),),
        "isotonic": ((-1.0, 1.0), (-2.0, 2.0)),
    }
    return Decision(
        SPACE,
        (0.4, 0.6),
        "cost=1:1",
        "per_label",
        calibration=Calibration(method, 1.5, (maps[method], None)),
        fitted_on=FittedOn.of_hashes(
            np.arange(3, dtype=np.uint64),
            source="dev.csv",
            goal_value=0.5,
            goal_value_at_half=None,
            text_hashes=np.arange(3, dtype=np.uint64),
        ),
        costs=((1.0, 2.0), (3.0, 4.0)),
        fit_report=FitReport(
            "cost=1:1", 5, 0.5, 0.4, None, 10, {"joy": 0.1}, {"micro_f1": {"recall": None}}, ("A.",)
        ),
        promises=(Promise("recall[joy]>=0.9@0.95", 40, 0.95, "binomial"),),
    )


def changed(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield the content with each value in turn replaced by each wrong one, and where."""
    places: list[tuple[Any, ...]] = []

    def walk(value: Any, place: tuple[Any, ...]) -> None:
        if place:
            places.append(place)
        listing = enumerate(value) if isinstance(value, list) else ()
        for key, each in value.items() if isinstance(value, dict) else listing:
            walk(each, (*place, key))

    walk(content, ())
    for place in places:
        for wrong in WRONG:
            new = copy.deepcopy(content)
            target = new
            for key in place[:-1]:
                target = target[key]
            target[place[-1]] = wrong
            yield f"{place} = {str(wrong)[:20]}", new


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_a_decision_with_any_value_replaced_works_or_is_refused(method: str) -> None:
    num_read = num_refused = 0
    for where, content in changed(decision(method).to_json()):
        try:
            read = Decision.from_json(content)
        except ArtifactError:
            num_refused += 1
            continue
        scores = read.scores(LOGITS)
        assert read.decide(scores).shape == (3, 2), where
        assert np.isfinite(scores).all(), where
        assert str(read.fit_report), where
        assert Decision.from_json(read.to_json()) == read, where
        num_read += 1

    assert num_refused > 5 * num_read > 0


def test_more_labels_by_rank_than_there_are_is_refused() -> None:
    content = {**Decision(SPACE, (0.0, 0.0), "top_k=2", "top_k").to_json(), "goal": "top_k=3"}

    with pytest.raises(ArtifactError, match="'top_k=3', and there are 2 labels"):
        Decision.from_json(content)
