from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emotions import LABELS, NAMES, TEXTS
from multihot.errors import LabelError, OptionError
from multihot.inference.explanation import explain
from multihot.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tiny_model: Path) -> Predictor:
    return Predictor.load(tiny_model, device="cpu")


def test_what_words_add_makes_up_the_difference_of_the_logits(predictor: Predictor) -> None:
    logits = predictor.logits(TEXTS)[0]

    found = explain(predictor, TEXTS, labels=LABELS, method="gradients")

    for explanation, row in zip(found, logits, strict=True):
        assert [reasons.logit for reasons in explanation.labels] == pytest.approx(row, abs=1e-5)
        for reasons in explanation.labels:
            difference = reasons.logit - reasons.baseline_logit
            assert reasons.complete
            assert sum(reasons.values) == pytest.approx(difference, rel=0.01, abs=0.005)


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_the_word_that_a_label_was_learnt_from_speaks_loudest(
    predictor: Predictor, method: str
) -> None:
    (found,) = explain(predictor, ["today she is happy ."], method=method)
    (reasons,) = found.labels

    assert (reasons.label, reasons.given) == ("joy", True)
    loudest = max(zip(reasons.values, found.words, strict=True), key=lambda pair: pair[0])
    assert loudest[1].text == "happy"


def test_by_default_the_labels_of_a_text_are_explained_or_the_nearest_one(
    predictor: Predictor,
) -> None:
    found = explain(predictor, TEXTS, method="occlusion")

    for explanation, names in zip(found, NAMES, strict=True):
        labels = explanation.labels
        assert sorted(one.label for one in labels if one.given) == names
        assert len(labels) == max(1, len(names))


def test_of_many_labels_so_many_are_explained_as_asked_and_the_others_are_counted(
    tiny_model: Path,
) -> None:
    predictor = Predictor.load(tiny_model, device="cpu")
    decision = predictor.decision.with_threshold(0.0)
    everything = predictor.with_artifact(replace(predictor.artifact, decision=decision))

    (found,) = explain(everything, TEXTS[:1], method="occlusion", most=2)
    (nearest,) = explain(
        predictor, ["today she is happy ."], method="occlusion", most=2, with_nearest=True
    )

    assert [one.given for one in found.labels] == [True, True]
    assert found.num_left_out == found.to_json()["labels_left_out"] == 1
    assert nearest.labels[0].label == "joy"
    assert [one.given for one in nearest.labels] == [True, False]
    assert nearest.num_left_out == 0


def test_leaving_out_a_word_is_what_occlusion_measures(predictor: Predictor) -> None:
    text, without = "i am scared but in love .", "i am but in love ."
    (found,) = explain(predictor, [text], labels=["fear"], method="occlusion")
    column = predictor.space.index("fear")
    whole, rest = predictor.logits([text, without])[0][:, column]

    assert found.labels[0].values[2] == pytest.approx(whole - rest, abs=1e-5)
    assert found.labels[0].complete is None


def test_large_calls_before_change_no_explanation(tiny_model: Path) -> None:
    fresh = Predictor.load(tiny_model, device="cpu")
    used = Predictor.load(tiny_model, device="cpu")
    used.logits(TEXTS * 4)  # from here on its layers are laid out for prediction

    (expected,), (found,) = (explain(one, TEXTS[:1], method="gradients") for one in (fresh, used))

    assert found.labels[0].values == pytest.approx(expected.labels[0].values, abs=1e-5)
    assert used.logits(TEXTS)[0].shape == (len(TEXTS), 3)


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_words_behind_the_cut_weigh_nothing_and_are_counted(
    predictor: Predictor, method: str
) -> None:
    long = " ".join(["happy"] * 90)

    (cut,), (empty,) = (
        explain(predictor, [text], labels=["joy"], method=method) for text in (long, " ")
    )

    room = predictor.artifact.max_length - 2
    assert (cut.truncated, cut.num_read, len(cut.words)) == (True, room, 90)
    assert set(cut.labels[0].values[room:]) == {0.0}
    assert (empty.words, empty.labels[0].values, empty.labels[0].rest) == ((), (), 0)


def test_an_unknown_label_and_an_unknown_method_are_refused(predictor: Predictor) -> None:
    with pytest.raises(LabelError, match="Did you mean 'joy'"):
        explain(predictor, TEXTS[:1], labels=["jooy"])
    with pytest.raises(OptionError, match="expected one of auto, gradients, occlusion"):
        explain(predictor, TEXTS[:1], method="lime")
