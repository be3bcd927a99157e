"""What scikit-learn asks of a classifier besides fitting and predicting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from multihot.errors import MultihotError, OptionError

__all__ = ["as_json", "classifier_tags", "not_fitted"]


def as_json(name: str, table: Mapping[str, str]) -> str:
    """Return a parameter that is a table as recipes hold it; raise `OptionError` where JSON cannot."""
    try:
        return json.dumps(dict(table))
    except TypeError as error:
        raise OptionError(f"{name} is {table!r}; expected texts by label name: {error}.") from None


def classifier_tags() -> Any:
    """Return scikit-learn's tags of a multi-label classifier of strings."""
    from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

    return Tags(
        estimator_type="classifier",
        target_tags=TargetTags(required=True, one_d_labels=False, two_d_labels=True),
        classifier_tags=ClassifierTags(multi_class=False, multi_label=True),
        input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
    )


def not_fitted() -> Exception:
    """Return scikit-learn's NotFittedError where it is installed, our own error elsewhere."""
    message = "This MultiLabelClassifier is not fitted yet; call fit(...) or load(...) first."
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return MultihotError(message)
    error: Exception = NotFittedError(message)
    return error
