"""Calibration: the order within a label, unknown cells, rare labels, JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.core.labels import LabelSpace
from multihot.core.numeric import sigmoid
from multihot.core.options import CALIBRATIONS
from multihot.decision.calibration import LEAST_SUPPORT, Calibration, fit_calibration
from multihot.decision.calibrators import isotonic_blocks, isotonic_map
from multihot.errors import ArtifactError

Array = npt.NDArray[Any]
LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=60)
NAMES = ("a", "b")
METHODS = CALIBRATIONS[1:]
SPACE = LabelSpace(NAMES)


@st.composite
def logits_and_truth(draw: st.DrawFn) -> tuple[Array, Array]:
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    truth = (generator.random((140, 2)) < draw(st.sampled_from([0.3, 0.5]))).astype(np.float32)
    gap = draw(st.sampled_from([-1.0, 0.0, 1.0, 50.0]))
    logits = (
        generator.normal(size=truth.shape) * draw(st.sampled_from([0.1, 1.0, 5.0])) + gap * truth
    )
    truth[generator.random(truth.shape) < 0.1] = np.nan
    return np.round(logits, draw(st.sampled_from([0, 1, 6]))).astype(np.float32), truth


@pytest.mark.parametrize("method", METHODS)
@LAWS
@given(
    case=logits_and_truth(),
    others=arrays(np.float32, (20, 2), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
)
def test_the_order_within_a_label_stays(
    method: str, case: tuple[Array, Array], others: Array
) -> None:
    calibration, _ = fit_calibration(method, *case, NAMES)

    logits = np.sort(np.concatenate([case[0], others, [[-np.inf, np.inf]]]), axis=0)
    calibrated = calibration.apply(logits.astype(np.float32))

    assert not np.isnan(calibrated).any()
    assert (np.diff(calibrated, axis=0) >= 0).all()


@pytest.mark.parametrize("method", METHODS)
@LAWS
@given(case=logits_and_truth(), other=st.floats(-100, 100, width=32))
def test_unknown_cells_change_nothing(method: str, case: tuple[Array, Array], other: float) -> None:
    logits, truth = case
    changed = np.where(np.isnan(truth), np.float32(other), logits)

    assert fit_calibration(method, changed, truth, NAMES) == fit_calibration(
        method, logits, truth, NAMES
    )


@pytest.mark.parametrize("method", METHODS)
@LAWS
@given(case=logits_and_truth(), shuffler=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_labels_changes_nothing(
    method: str, case: tuple[Array, Array], shuffler: Any
) -> None:
    logits, truth = case
    rows = shuffler.sample(range(len(logits)), len(logits))

    one, _ = fit_calibration(method, logits, truth, NAMES)
    other, _ = fit_calibration(method, logits[rows][:, ::-1], truth[rows][:, ::-1], NAMES[::-1])

    assert (other.temperature, other.maps[::-1]) == (one.temperature, one.maps)


@pytest.mark.parametrize("method", METHODS)
def test_overconfident_scores_become_probabilities(method: str) -> None:
    generator = np.random.default_rng(0)
    true_logits = generator.normal(size=(4000, 2)) - 0.5
    truth = (generator.random(true_logits.shape) < 1 / (1 + np.exp(-true_logits))).astype(
        np.float32
    )
    shown = (3 * true_logits).astype(np.float32)

    calibration, notes = fit_calibration(method, shown[:2000], truth[:2000], NAMES)
    scores = sigmoid(calibration.apply(shown[2000:]))

    assert notes == []
    assert calibration.temperature == pytest.approx(3, rel=0.1)
    expected = 1 / (1 + np.exp(-true_logits[2000:]))
    assert np.abs(scores - expected).mean() < (0.05 if method == "isotonic" else 0.02)
    assert np.abs(sigmoid(shown[2000:]) - expected).mean() > 0.1


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_rare_labels_get_the_common_temperature_and_an_offset_and_are_named(method: str) -> None:
    generator = np.random.default_rng(1)
    truth = np.zeros((200, 2), np.float32)
    truth[:80, 0] = 1
    truth[: LEAST_SUPPORT[method] - 1, 1] = 1
    logits = (generator.normal(size=truth.shape) + 2 * truth).astype(np.float32)

    calibration, notes = fit_calibration(method, logits, truth, NAMES)

    assert calibration.maps[0] is not None
    assert "calibrated by the common temperature: b." in notes[0]
    assert "a common offset, too: " in notes[1]
    added = calibration.apply(logits)[:, 1] - calibration.slope * logits[:, 1]
    assert np.ptp(added) < 1e-5
    assert added[0] == pytest.approx(float(notes[1].split()[-1].rstrip(".")), abs=0.006)
    stored = Calibration.from_json(calibration.to_json(LabelSpace(NAMES)), LabelSpace(NAMES))
    assert stored == calibration


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_the_offset_corrects_rare_labels_whose_scores_are_all_too_high(method: str) -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(-4, 1, (3000, 8))
    truth = (generator.random(honest.shape) < 1 / (1 + np.exp(-honest))).astype(np.float32)
    logits = (honest + 2).astype(np.float32)
    names = tuple("abcdefgh")

    calibration, _ = fit_calibration(method, logits[:300], truth[:300], names)

    rare = [c for c in range(8) if (truth[:300, c] == 1).sum() < LEAST_SUPPORT[method]]
    assert len(rare) > 1
    rates = sigmoid(calibration.apply(logits[300:]))[:, rare].mean()
    by_temperature = sigmoid(calibration.slope * logits[300:])[:, rare].mean()
    assert rates == pytest.approx(truth[300:, rare].mean(), abs=0.012)
    assert abs(by_temperature - truth[300:, rare].mean()) > 0.012


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_fall_with_the_truth_are_not_turned_round(method: str) -> None:
    generator = np.random.default_rng(2)
    truth = (generator.random((300, 2)) < 0.5).astype(np.float32)
    logits = (generator.normal(size=truth.shape) - 3 * truth).astype(np.float32)

    calibration, notes = fit_calibration(method, logits, truth, NAMES)

    assert any("not positively related to the labels" in note for note in notes)
    assert calibration.temperature == 1
    assert (np.diff(calibration.apply(np.sort(logits, axis=0)), axis=0) >= 0).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_without_both_kinds_the_scores_stay(method: str, value: float) -> None:
    logits = np.linspace(-2, 2, 80, dtype=np.float32).reshape(40, 2)

    calibration, notes = fit_calibration(method, logits, np.full((40, 2), value, np.float32), NAMES)

    assert "No temperature could be fitted" in notes[0]
    np.testing.assert_array_equal(calibration.apply(logits), logits)


def test_separated_labels_give_finite_maps() -> None:
    logits = np.linspace(-2, 2, 100, dtype=np.float32)[:, None]
    truth = (logits > 0).astype(np.float32)

    for method in METHODS:
        calibration, _ = fit_calibration(method, logits, truth, ("a",))
        scores = sigmoid(calibration.apply(logits))
        assert ((scores > 0) & (scores < 1)).all()
        assert scores[0] < 0.1
        assert scores[-1] > 0.9


def test_lines_between_block_centres_break_the_ties_of_pooling() -> None:
    logits = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    positive = np.array([False, True, False, True, False, True])

    centres, shares, sizes = isotonic_blocks(logits, positive)
    x, y = isotonic_map(logits, positive)

    assert (shares.tolist(), sizes.tolist()) == ([0, 0.5, 1], [1, 4, 1])
    assert centres.tolist() == x.tolist() == [-2, 0.5, 3]
    assert y[1] == 0
    assert (np.diff(np.interp(logits, x, y)) > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_json_brings_the_same_calibration_back(method: str) -> None:
    generator = np.random.default_rng(3)
    truth = (generator.random((200, 2)) < [0.4, 0.3]).astype(np.float32)
    logits = (generator.normal(size=truth.shape) + truth * (3, -1)).astype(np.float32)
    calibration, _ = fit_calibration(method, logits, truth, NAMES)

    content = json.loads(json.dumps(calibration.to_json(SPACE), allow_nan=False))

    assert Calibration.from_json(content, SPACE) == calibration
    if method != "temperature":
        assert content["labels"]["b"] is None
        reordered = Calibration.from_json(content, LabelSpace(("b", "a")))
        assert reordered.maps == calibration.maps[::-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"method": "magic", "temperature": 1.0},
            "'method' is 'magic'; expected one of temperature",
        ),
        ({"method": "temperature", "temperature": 0}, "'temperature' is 0; expected more than 0"),
        ({"method": "platt", "temperature": 1.0}, "The key 'labels' is missing"),
        ({"method": "platt", "temperature": 1, "labels": {"a": None}}, "other labels.*: b"),
        (
            {"method": "platt", "temperature": 1, "labels": {"a": [-1, 0], "b": None}},
            r"'labels\.a' is \[-1, 0\]; expected numbers of a rising map",
        ),
        (
            {"method": "isotonic", "temperature": 1, "labels": {"a": None, "b": [[1, 0], [0, 1]]}},
            r"'labels\.b'",
        ),
        ({"method": "beta", "temperature": 1, "labels": {"a": "x", "b": None}}, r"'labels\.a'"),
    ],
)
def test_what_is_wrong_in_json_is_named(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=f"The key 'calibration' is invalid.*{message}"):
        Calibration.from_json(content, SPACE)
