"""The floor that every trained encoder has to clear: TF-IDF and one logistic regression per label.

Letters: `N` texts, `L` labels, `V` n-grams.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.data.examples import Examples
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.errors import DataError, MissingExtraError
from multihot.evaluation.evaluator import report
from multihot.evaluation.report import Report

__all__ = ["Baseline", "baseline_report", "require_scikit_learn", "train_baseline"]

FloatArray = npt.NDArray[np.float32]

_INVERSE_REGULARISATION = 4.0  # scikit-learn's C
_MOST_WEIGHTS = 1 << 30  # 4 GB


@dataclass(frozen=True)
class Baseline:
    """A fitted TF-IDF vectoriser and one linear model per label."""

    space: LabelSpace
    vectorizers: tuple[Any, ...]
    """scikit-learn's, of words and of characters; together they turn texts into (N, V) sparse rows."""
    weights: FloatArray
    """*Shape:* (V, L)."""
    biases: FloatArray
    """*Shape:* (L,)."""

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Return the log-odds of every label. *Shape:* (N, L), float32, columns as in `space`."""
        features = _joined([one.transform(texts) for one in self.vectorizers])
        return np.asarray(features @ self.weights + self.biases, dtype=np.float32)


def train_baseline(training: Examples, seed: int) -> Baseline:
    """Fit the baseline; memory grows with n-grams times labels.

    Features are n-grams of 1 to 2 words and of 2 to 5 characters inside word boundaries, each block
    with sublinear term frequencies; rare n-grams stay in, which was better on dev data of SemEval E-c
    (Jaccard .536 against .524 with one fitted threshold). Every label is fitted alone (liblinear, L2, C = 4) on the rows
    where it is known. A label with a single value there gets a constant: the log odds of its frequency,
    with half a text added on either side.

    Parameters
    ----------
    training
        Labelled examples.
    seed
        Of liblinear, which visits the rows in random order.

    Raises
    ------
    DataError
        There are no labels or no words, or too many of both.
    MissingExtraError
        scikit-learn is not installed.
    """
    labels = _labels(training)
    vectorizers, features = _fit_vectorizers(training)
    shape = features.shape[1], len(labels.space)
    if math.prod(shape) > _MOST_WEIGHTS:
        raise DataError(
            f"It would have {math.prod(shape):,} weights, of {shape[0]:,} n-grams and {shape[1]:,} labels; "
            f"at most {_MOST_WEIGHTS:,} are held.",
            path=training.source,
        )
    weights = np.zeros(shape, dtype=np.float32)
    biases = np.zeros(len(labels.space), dtype=np.float32)
    for column, truth in enumerate(labels.hard().values.T):
        known = np.flatnonzero(~np.isnan(truth))
        if len(np.unique(truth[known])) < 2:
            biases[column] = _constant(truth[known], len(truth))
        else:
            model = _new_classifier(seed).fit(features[known], truth[known] == 1)
            weights[:, column], biases[column] = model.coef_[0], model.intercept_[0]
    return Baseline(labels.space, vectorizers, weights, biases)


def baseline_report(
    training: Examples,
    validation: Examples,
    test: Examples,
    *,
    goal: str,
    thresholds: str | float,
    seed: int = 0,
) -> Report:
    """Fit the baseline on `training` and its decision on `validation`; report it on `test`.

    `goal` and `thresholds` are those of `TrainOptions`. Labels are matched by name.
    """
    baseline = train_baseline(training, seed)
    texts, space = validation.texts, baseline.space
    rows = FittingRows.of_labels(space, baseline.logits(texts), _labels(validation), texts)
    options = DecisionOptions(goal, thresholds)
    decision = fit(space, rows, options, source=validation.source).decision
    return report(decision, baseline.logits(test.texts), test)


def require_scikit_learn() -> None:
    """Raise `MissingExtraError` when the baseline cannot be trained."""
    try:
        import sklearn.feature_extraction.text  # noqa: F401
    except ImportError:
        raise MissingExtraError("scikit-learn", "train", "The TF-IDF baseline") from None


def _labels(examples: Examples) -> LabelMatrix:
    if examples.labels is None:
        raise DataError("There are no labels in this file.", path=examples.source)
    return examples.labels


def _constant(values: npt.NDArray[np.floating], num_rows: int) -> float:
    """Return the logit of a label whose known values are all equal; absent where none is known."""
    if len(values) and values[0] == 1:
        return math.log((len(values) + 0.5) / 0.5)
    return -math.log(((len(values) or num_rows) + 0.5) / 0.5)


def _fit_vectorizers(training: Examples) -> tuple[tuple[Any, ...], Any]:
    """Return the vectorisers that found an n-gram, and the features of the texts, (N, V) sparse."""
    require_scikit_learn()
    from sklearn.feature_extraction.text import TfidfVectorizer

    common = {"sublinear_tf": True, "dtype": np.float32}
    words = TfidfVectorizer(ngram_range=(1, 2), **common)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **common)
    fitted, blocks = [], []
    for vectorizer in (words, characters):
        try:
            blocks.append(vectorizer.fit_transform(training.texts))
        except ValueError:  # an empty vocabulary: this block finds nothing in these texts
            continue
        fitted.append(vectorizer)
    if not fitted:
        raise DataError("The texts hold no words to learn from.", path=training.source)
    return tuple(fitted), _joined(blocks)


def _joined(blocks: list[Any]) -> Any:
    from scipy.sparse import hstack  # type: ignore[import-untyped]

    return hstack(blocks, format="csr")


def _new_classifier(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=_INVERSE_REGULARISATION, solver="liblinear", random_state=seed)
