#!/bin/sh
# scikit-learn 1.9.1.
#
# A multi-label classifier with predict_proba of shape (rows, labels) is scored by scoring="roc_auc" in
# cross-validation, whatever the number of labels - except two. With exactly two labels the scorer
# takes the estimator for a binary one, because classes_ has two entries, keeps only the second column of
# the probabilities and fails on the two columns of the truth. With three labels the same code works, so
# a test with three labels proves nothing for a data set with two.
#
# Seen: "3 labels: 1.0" and "2 labels: Expected 2D array, got 1D array".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1
"$scratch/venv/bin/python" - <<'PYTHON'
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer


class Copy(ClassifierMixin, BaseEstimator):
    """Gives each label the probability that stands in its feature."""

    def fit(self, X, y):
        self.classes_ = np.array([f"label {number}" for number in range(y.shape[1])])
        return self

    def predict(self, X):
        return (X > 0.5).astype(int)

    def predict_proba(self, X):
        return X


found = {}
for num_labels in (3, 2):
    X = np.random.default_rng(0).random((40, num_labels))
    y = (X > 0.5).astype(int)
    try:
        found[num_labels] = f"{get_scorer('roc_auc')(Copy().fit(X, y), X, y):.1f}"
    except ValueError as error:
        found[num_labels] = str(error).partition(":")[0].partition(".")[0]
    print(f"{num_labels} labels: {found[num_labels]}")
assert found == {3: "1.0", 2: "Expected 2D array, got 1D array instead"}, found
PYTHON
