from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from emotions import LABELS, NAMES, TEXTS
from multihot.data.tokens import TokenizedTexts
from multihot.errors import ArtifactError, DataError, MissingExtraError, NonFiniteError, OptionError
from multihot.inference import predictor as module
from multihot.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tiny_model: Path) -> Predictor:
    return Predictor.load(tiny_model, device="cpu")


def test_every_text_gets_all_its_labels_by_name_in_class_order(predictor: Predictor) -> None:
    predictions = predictor.predict(TEXTS)

    assert [prediction.labels for prediction in predictions] == NAMES
    assert all(tuple(prediction.scores) == LABELS for prediction in predictions)


def test_the_order_of_texts_of_all_lengths_is_kept(predictor: Predictor) -> None:
    texts = [" ".join(["happy"] * (1 + number % 40)) for number in range(90)]
    alone = [predictor.predict([text])[0] for text in texts[:45]]

    together = predictor.predict(texts)

    for one, other in zip(alone, together, strict=False):
        assert list(one.scores.values()) == pytest.approx(list(other.scores.values()), abs=1e-6)


def test_company_in_a_batch_does_not_change_a_score(predictor: Predictor) -> None:
    alone = np.concatenate([predictor.scores([text]) for text in TEXTS[:12]])

    with_short = predictor.scores([*TEXTS[:12], "", "a"])[:12]
    with_long = predictor.scores([*TEXTS[:12], "happy " * 500])[:12]
    backwards = predictor.scores(TEXTS[:12][::-1])[::-1]

    for other in (with_short, with_long, backwards):
        np.testing.assert_allclose(other, alone, rtol=0, atol=1e-6)


def test_empty_and_blank_texts_get_an_answer(predictor: Predictor) -> None:
    predictions = predictor.predict(["", "   ", "happy today"])

    assert len(predictions) == 3
    assert predictions[0].scores == predictions[1].scores
    assert not any(prediction.truncated for prediction in predictions)


def test_no_text_gets_no_answer(predictor: Predictor) -> None:
    assert predictor.predict([]) == []
    assert predictor.scores([]).shape == (0, 3)
    assert list(predictor.stream([])) == []


def test_long_texts_are_cut_and_flagged_at_the_exact_length(predictor: Predictor) -> None:
    room = predictor.artifact.max_length - 2

    fits, cut = predictor.predict(["love " * room, "love " * (room + 1)])

    assert (fits.truncated, cut.truncated) == (False, True)
    assert fits.scores == pytest.approx(cut.scores, abs=1e-6)


def test_a_threshold_for_one_call_changes_labels_but_not_scores(predictor: Predictor) -> None:
    stored = predictor.decision
    usual = predictor.predict(TEXTS[:8])

    all_of_them = predictor.predict(TEXTS[:8], threshold=0.0)
    none_of_them = predictor.predict(TEXTS[:8], threshold=1.0)

    assert all(tuple(prediction.labels) == LABELS for prediction in all_of_them)
    assert all(prediction.labels == [] for prediction in none_of_them)
    assert [p.scores for p in all_of_them] == [p.scores for p in usual]
    assert predictor.decision == stored


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_out_of_range_is_refused(predictor: Predictor, threshold: float) -> None:
    with pytest.raises(OptionError, match="'threshold' is"):
        predictor.predict(["a"], threshold=threshold)


def test_a_stream_equals_all_at_once(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = predictor.predict(TEXTS)
    monkeypatch.setattr(module, "WINDOW_ROWS", 5)

    streamed = list(predictor.stream((text, number) for number, text in enumerate(TEXTS)))

    assert [companion for companion, _ in streamed] == list(range(len(TEXTS)))
    assert [prediction.labels for _, prediction in streamed] == [p.labels for p in at_once]
    for (_, one), other in zip(streamed, at_once, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-6)


def test_a_stream_reads_no_further_than_its_window(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW_ROWS", 3)
    read: list[int] = []
    endless = (read.append(number) or ("happy", number) for number in range(10**9))

    first = next(iter(predictor.stream(endless)))

    assert first[0] == 0
    assert read == [0, 1, 2]


def test_scores_are_float32_probabilities_that_need_not_sum_to_one(predictor: Predictor) -> None:
    scores = predictor.scores(TEXTS)

    assert scores.dtype == np.float32
    assert scores.shape == (48, 3)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert not np.allclose(scores.sum(axis=1), 1, atol=0.05)


def test_what_is_no_text_is_named_by_its_row(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="text 1 is NoneType"):
        predictor.predict(["a", None])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"text 0 .*surrogate"):
        predictor.predict(["\ud83d"])


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no finished model"):
        Predictor.load(tmp_path)


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_a_backend_the_extra_is_named(
    tiny_model: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == missing else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    with pytest.raises(
        MissingExtraError, match=rf"Prediction needs the package '{missing}'.*multihot\[train\]"
    ):
        Predictor.load(tiny_model)


def test_an_unknown_device_is_refused(tiny_model: Path) -> None:
    with pytest.raises(OptionError, match="device='gpu'"):
        Predictor.load(tiny_model, device="gpu")


@pytest.mark.parametrize("given", ["abc", {"a": 1}, [("a", "b")], None, np.array([["a"]])])
def test_what_is_no_list_of_texts_is_refused(predictor: Predictor, given: object) -> None:
    for call in (predictor.predict, predictor.scores, predictor.logits):
        with pytest.raises(DataError, match=r"expected a"):
            call(given)  # type: ignore[operator]


def test_a_stream_is_of_pairs(predictor: Predictor) -> None:
    for given in ("ab", ["abc"], None):
        with pytest.raises(DataError, match=r"expected"):
            list(predictor.stream(given))  # type: ignore[arg-type]


def test_a_model_that_returns_nan_is_named(predictor: Predictor) -> None:
    class Broken:
        def logits(self, tokenized: TokenizedTexts) -> npt.NDArray[np.float32]:
            return np.full((len(tokenized), len(NAMES)), np.nan, np.float32)

    broken = Predictor(predictor.artifact, predictor.tokenizer, Broken())

    with pytest.raises(NonFiniteError, match=predictor.artifact.folder.name):
        broken.scores(["a", "b"])
