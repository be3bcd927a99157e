"""What makes a class an estimator of scikit-learn without a base class: tags, parameters, errors."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import numpy as np

from multihot.core.recipes import did_you_mean
from multihot.errors import MultihotError, OptionError

__all__ = [
    "as_json",
    "classifier_tags",
    "differs",
    "not_fitted",
    "unknown_parameter",
    "with_suggestions",
]

_Arguments = ParamSpec("_Arguments")


def as_json(name: str, table: Mapping[str, str]) -> str:
    """Return a mapping parameter as the JSON that recipes hold; raise `OptionError` if impossible."""
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


def unknown_parameter(name: str, known: Sequence[str]) -> OptionError:
    """Return the error for a parameter that does not exist, with the one that was probably meant."""
    suggestion = did_you_mean(name, known)
    return OptionError(f"Unknown parameter '{name}'.{suggestion} Known: {', '.join(known)}.")


def differs(value: Any, default: Any) -> bool:
    """Return whether a parameter, perhaps an array, is another value than its default."""
    return type(value) is not type(default) or bool(np.any(value != default))


def with_suggestions(constructor: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """Name the parameter that was meant where an unknown one is given."""

    @functools.wraps(constructor)
    def checked(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        known = list(inspect.signature(constructor).parameters)[1:]
        for name in kwargs:
            if name not in known:
                raise unknown_parameter(name, known)
        constructor(*args, **kwargs)

    return checked
