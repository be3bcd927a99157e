"""The scikit-learn estimator: options in the constructor, workflows as methods.

It works inside `GridSearchCV` and `Pipeline` by duck typing, without a base class.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.extras import require_training
from multihot.core.goals import Costs
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import ObjectiveOptions, TrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import build_options, option_types, to_plain
from multihot.data.examples import Examples, as_examples, as_texts, as_validation, is_matrix
from multihot.errors import MultihotError, OptionError
from multihot.evaluation.report import Report
from multihot.inference.artifact import copy_artifact, load_artifact
from multihot.inference.predictor import Predictor
from multihot.workflows.decide import TuningResult, decide, save
from multihot.workflows.evaluate import evaluate

__all__ = ["MultiLabelClassifier", "as_json", "classifier_tags", "not_fitted"]


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


class MultiLabelClassifier:
    """A multi-label text classifier with fitted thresholds.

    Parameters
    ----------
    encoder, goal, thresholds, epochs, ...
        As in `TrainOptions`, under the same names and with the same defaults.
    objective
        `ObjectiveOptions` or a mapping such as `{"loss": "zlpr"}`.
    start_from
        Folder of a finished model to fine-tune further, instead of `encoder`.
    listener
        Receives messages and progress; default: silent.

    Attributes
    ----------
    classes_
        *Shape:* (L,), str. Label names in column order; set by `fit` and `load`.
    thresholds_
        `{label name: threshold}`; fitted on validation rows, never on the rows of `evaluate`.
    validation_report_
        `Report` on the validation rows, or out of fold; set by `fit`.
    """

    objective: Mapping[str, Any] | ObjectiveOptions | None
    device: str
    start_from: str | os.PathLike[str] | None
    listener: Listener | None

    def __init__(
        self,
        encoder: str | os.PathLike[str] = "starter",
        *,
        goal: str = "micro_f1",
        costs: str | None = None,
        thresholds: str | float = "global",
        calibration: str = "none",
        empty_set_rule: str = "allow",
        epochs: int = 5,
        batch_size: int = 32,
        batch_tokens: int | None = None,
        accumulation_steps: int = 1,
        learning_rate: float | None = None,
        head_learning_rate: float | None = None,
        layer_decay: float = 1.0,
        weight_averaging: float = 0.0,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.1,
        max_gradient_norm: float = 1.0,
        max_length: int | None = None,
        max_unknown_fraction: float = 0.5,
        pooling: str = "auto",
        label_descriptions: str | os.PathLike[str] | Mapping[str, str] | None = None,
        precision: str = "auto",
        execution: str = "auto",
        length_bucketing: bool | None = None,
        early_stopping_epochs: int | None = None,
        validation_fraction: float = 0.1,
        folds: int | None = None,
        teacher: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        teacher_weight: float = 0.5,
        seed: int = 0,
        seeds: int = 1,
        seeds_keep: str = "best",
        device: str = "auto",
        threads: int | None = None,
        checkpoint_steps: int = 500,
        trackers: tuple[str, ...] = (),
        objective: Mapping[str, Any] | ObjectiveOptions | None = None,
        start_from: str | os.PathLike[str] | None = None,
        listener: Listener | None = None,
    ) -> None:
        # scikit-learn expects every parameter as an attribute of its name, unchanged.
        vars(self).update({k: v for k, v in locals().items() if k != "self"})

    def fit(
        self,
        X: Iterable[str],
        y: Any,
        *,
        validation: Examples | tuple[Iterable[str], Any] | None = None,
        classes: Sequence[str] | None = None,
        sample_weight: npt.ArrayLike | None = None,
        output: str | os.PathLike[str] | None = None,
    ) -> MultiLabelClassifier:
        """Train on N texts, and return the classifier itself.

        Parameters
        ----------
        X
            N strings.
        y
            A `LabelMatrix`, N lists of label names (`None` = unlabelled), or an array of *shape*
            (N, L) whose column names are `classes`: 0, 1, fractions (of annotators),
            and for unknown NaN, None or -1.
        validation
            Rows that select the epoch and fit the thresholds: `Examples` or (texts, labels).
            Without it a stratified part of the N texts is set aside, or each of `folds` in turn.
        classes
            Label names: of the array's columns, or the ones allowed in lists of names.
        sample_weight
            *Shape:* (N,), at least 0: weight of each text in training; default 1.
        output
            Folder for the model, also kept when the run is interrupted; default: temporary.
        """
        require_training()
        from multihot.workflows.train import train

        space = self._starting_space() or (LabelSpace(tuple(classes)) if classes else None)
        training = as_examples(X, y, space, "the training data", sample_weight=sample_weight)
        assert training.labels is not None
        validation_rows = as_validation(validation, training.labels.space)
        folder = Path(output if output is not None else tempfile.mkdtemp(prefix="multihot-"))
        if output is None:  # the files must live as long as this object, which may save them
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.validation_report_ = train(
            training,
            validation_rows,
            self._options(),
            folder,
            start_from=Path(self.start_from) if self.start_from is not None else None,
            listener=self.listener,
        )
        self._adopt(Predictor.load(folder, device=self.device))
        self._predicts_matrix = not isinstance(y, LabelMatrix) and is_matrix(y)
        return self

    def predict(self, X: Iterable[str]) -> list[list[str]] | npt.NDArray[np.int64]:
        """Return the labels of N texts, in the form that was passed to `fit`.

        Lists of names; after fitting on an array, an array of 0/1, *shape* (N, L), int64.
        """
        decision = self._predictor().decision
        scores = self.predict_proba(X)
        if self._predicts_matrix:
            return decision.decide(scores).astype(np.int64)
        return decision.names(scores)

    def predict_proba(self, X: Iterable[str]) -> npt.NDArray[np.float32]:
        """Return the independent probability of every label; rows do not sum to one.

        *Shape:* (N, L), float32, columns in the order of `classes_`.
        """
        return self._predictor().scores(as_texts(X))

    def evaluate(self, X: Iterable[str], y: Any) -> Report:
        """Return every metric and one row per label on N labelled texts."""
        predictor = self._predictor()
        return evaluate(predictor, as_examples(X, y, predictor.space, "the given rows"))

    def score(self, X: Iterable[str], y: Any) -> float:
        """Return the value of the model's goal (larger is better), NaN where undefined."""
        predictor = self._predictor()
        labels = as_examples(X, y, predictor.space, "the given rows").labels
        assert labels is not None
        truth = labels.aligned_to(predictor.space).hard().values
        value = predictor.decision.goal_value(self.predict_proba(X), truth)
        return float("nan") if value is None else value

    def decide(
        self,
        X: Iterable[str],
        y: Any,
        *,
        goal: str | None = None,
        thresholds: str | float | None = None,
        calibration: str | None = None,
        empty_set_rule: str | None = None,
        costs: Costs | None = None,
    ) -> TuningResult:
        """Tune the decision on N new texts: as `multihot.workflows.decide`, and `thresholds.json` is written."""
        predictor = self._predictor()
        result = decide(
            predictor,
            as_examples(X, y, predictor.space, "the given rows"),
            goal=goal,
            thresholds=thresholds,
            calibration=calibration,
            empty_set_rule=empty_set_rule,
            costs=costs,
        )
        self._adopt(save(predictor, result), predicts_matrix=self._predicts_matrix)
        return result

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model folder; it must be new or empty."""
        copy_artifact(self._predictor().artifact.folder, Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, device: str = "auto") -> MultiLabelClassifier:
        """Load a model folder; a later `fit` on the result fine-tunes that model further."""
        predictor = Predictor.load(Path(folder), device=device)
        decision = predictor.decision
        loaded = cls(
            **decision.train_values(),
            max_length=predictor.artifact.max_length,
            start_from=folder,
            device=device,
        )
        loaded._adopt(predictor)
        return loaded

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters, as in scikit-learn."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> MultiLabelClassifier:
        """Set constructor parameters by name."""
        known = self._parameter_names()
        for name, value in params.items():
            if name not in known:
                raise OptionError(f"Unknown parameter '{name}'; known: {', '.join(known)}.")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: a multi-label classifier of strings."""
        return classifier_tags()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if getattr(self, name) != parameter.default
        ]
        return f"MultiLabelClassifier({', '.join(changed)})"

    def _adopt(self, predictor: Predictor, *, predicts_matrix: bool = False) -> None:
        self._fitted = predictor
        self._predicts_matrix = predicts_matrix
        decision = predictor.decision
        self.classes_ = np.array(decision.space.names)
        self.thresholds_ = dict(zip(decision.space.names, decision.thresholds, strict=True))

    def _predictor(self) -> Predictor:
        if not hasattr(self, "_fitted"):
            raise not_fitted()
        return self._fitted

    def _starting_space(self) -> LabelSpace | None:
        start = self.start_from
        return None if start is None else load_artifact(Path(start)).decision.space

    def _options(self) -> TrainOptions:
        names = (name for name in option_types(TrainOptions) if name != "data")
        values = {name: getattr(self, name) for name in names}
        if isinstance(texts := values["label_descriptions"], Mapping):
            values["label_descriptions"] = as_json("label_descriptions", texts)
        if not isinstance(values["objective"], Mapping):
            values["objective"] = to_plain(self.objective or ObjectiveOptions())
        # A parameter grid is often a numpy array, whose scalars are not Python's.
        plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
        return build_options(TrainOptions, plain)

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)
