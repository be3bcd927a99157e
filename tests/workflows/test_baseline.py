"""The TF-IDF baseline: it learns what is there, and nothing from cells that are unknown."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.examples import Examples
from multihot.errors import DataError, MissingExtraError
from multihot.workflows.baseline import baseline_report, train_baseline

NAN = float("nan")
SPACE = LabelSpace(("warm", "wet", "never", "always"))
WORDS = {"warm": "sunny", "wet": "raining"}


def examples_of(texts: Sequence[str], values: npt.ArrayLike, space: LabelSpace = SPACE) -> Examples:
    labels = LabelMatrix(space, np.array(values, dtype=np.float32))
    numbers = list(range(1, len(texts) + 1))
    return Examples(
        list(texts), labels, list(map(str, numbers)), "w.csv", DataOptions(), (), numbers
    )


def planted(num_rows: int, seed: int) -> Examples:
    """Texts whose first two labels are told by one word each; the others are constant."""
    generator = np.random.default_rng(seed)
    fillers = ["the", "day", "in", "town", "was", "long", "again", "and", "quiet"]
    values = np.zeros((num_rows, 4))
    values[:, :2] = generator.random((num_rows, 2)) < 0.4
    values[:, 3] = 1
    texts = []
    for row in values:
        words = list(generator.choice(fillers, size=6))
        words += [word for word, has in zip(WORDS.values(), row, strict=False) if has]
        texts.append(" ".join(generator.permutation(words)))
    return examples_of(texts, values)


def test_it_beats_chance_on_planted_words() -> None:
    report = baseline_report(
        planted(200, 0), planted(80, 1), planted(80, 2), goal="micro_f1", thresholds="global"
    )

    assert report.rows == 80
    for name in ("warm", "wet"):
        f1 = report.labels[name].f1
        assert f1 is not None
        assert f1 > 0.95


def test_logits_are_float32_and_the_same_for_the_same_seed() -> None:
    training, texts = planted(60, 0), planted(10, 1).texts

    first, second = (train_baseline(training, seed=3).logits(texts) for _ in range(2))

    assert first.shape == (10, 4)
    assert first.dtype == np.float32
    assert np.array_equal(first, second)


def test_constant_labels_get_their_smoothed_share() -> None:
    logits = train_baseline(planted(60, 0), seed=0).logits(["sunny", "", "anything else"])

    assert logits[:, 2] == pytest.approx(np.full(3, np.log(0.5 / 60.5)), rel=1e-6)
    assert logits[:, 3] == pytest.approx(np.full(3, np.log(60.5 / 0.5)), rel=1e-6)


def test_a_label_that_is_unknown_everywhere_is_never_given() -> None:
    training = planted(60, 0)
    assert training.labels is not None
    values = training.labels.values.copy()
    values[:, 0] = NAN

    logits = train_baseline(examples_of(training.texts, values), seed=0).logits(["sunny day"])

    assert logits[0, 0] < 0


def test_unknown_cells_leave_their_label_as_if_the_rows_were_not_there() -> None:
    training = planted(120, 0)
    assert training.labels is not None
    values = training.labels.values.copy()
    values[60:, 0] = NAN
    wrong = training.labels.values.copy()
    wrong[60:, 0] = 1 - wrong[60:, 0]
    texts = ["sunny in town", "a quiet day"]

    masked = train_baseline(examples_of(training.texts, values), seed=0).logits(texts)
    misled = train_baseline(examples_of(training.texts, wrong), seed=0).logits(texts)
    full = train_baseline(training, seed=0).logits(texts)

    assert masked[0, 0] - masked[1, 0] > 2
    assert misled[0, 0] - misled[1, 0] < 1
    assert np.array_equal(masked[:, 1], full[:, 1])


def test_validation_and_test_labels_are_matched_by_name() -> None:
    swapped = LabelSpace(("always", "wet", "warm", "never"))
    test = planted(80, 2)
    assert test.labels is not None
    reordered = examples_of(test.texts, test.labels.values[:, [3, 1, 0, 2]], swapped)

    reports = [
        baseline_report(planted(200, 0), validation, tested, goal="jaccard", thresholds="per_label")
        for validation, tested in ((test, test), (reordered, reordered))
    ]

    assert reports[0].metrics == pytest.approx(reports[1].metrics)
    assert reports[0].labels["warm"] == reports[1].labels["warm"]


def test_single_letters_are_enough_and_no_words_at_all_is_an_error() -> None:
    values = [[1, 0, 0, 1], [0, 1, 0, 1]]

    assert train_baseline(examples_of(["a", "b"], values), seed=0).logits(["a"])[0, 0] > 0
    with pytest.raises(DataError, match="hold no words to learn from"):
        train_baseline(examples_of(["", "  "], values), seed=0)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'multihot\[train\]'"):
        train_baseline(planted(10, 0), seed=0)


def test_unlabelled_examples_are_refused() -> None:
    examples = Examples(["a"], None, ["1"], "w.csv", DataOptions(), (), [1])

    with pytest.raises(DataError, match=r"w\.csv: There are no labels"):
        train_baseline(examples, seed=0)
