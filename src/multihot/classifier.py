"""The scikit-learn estimator: options in the constructor, workflows as methods.

It works inside `GridSearchCV` and `Pipeline` by duck typing, without a base class.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.estimator import (
    as_json,
    classifier_tags,
    differs,
    not_fitted,
    unknown_parameter,
    with_suggestions,
)
from multihot.core.extras import require_training
from multihot.core.files import TemporaryFolder, as_path
from multihot.core.goals import Costs
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import (
    CalibrationName,
    EmptySetRule,
    ExecutionName,
    InitialHeadName,
    ObjectiveOptions,
    PoolingName,
    PrecisionName,
    SeedsKept,
    TrainOptions,
    WindowsName,
)
from multihot.core.progress import Listener
from multihot.core.progress_line import listening
from multihot.core.recipes import build_options, option_types, to_plain
from multihot.core.text_tables import cut, listed
from multihot.data.examples import Examples
from multihot.data.in_memory import as_classes, as_examples, as_texts, as_validation, is_matrix
from multihot.errors import LabelError, OptionError
from multihot.evaluation.report import Report
from multihot.inference.artifact import copy_artifact, load_artifact
from multihot.inference.predictor import Predictor
from multihot.workflows.decide import TuningResult, decide, save
from multihot.workflows.evaluate import evaluate

__all__ = ["MultiLabelClassifier"]


def _known_labels(start: Path | None, classes: tuple[str, ...] | None) -> LabelSpace | None:
    """Return the labels of the model to start from, else `classes`, if any."""
    given = None if classes is None else LabelSpace(classes)
    if start is None:
        return given
    space = load_artifact(start).decision.space
    if given is not None and (unknown := sorted(set(given.names) - set(space.names))):
        raise LabelError(
            f"classes has labels that the model in {start} does not know: {listed(unknown)}. Its labels "
            f"are: {listed(space.names)}."
        )
    return space


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
    classes
        Names of the columns when labels are an array, as in `fit`, for scikit-learn's cross-validation.
    label_hierarchy
        As `data.label_hierarchy`: a separator of levels, a file of `child,parent` pairs, or a mapping of
        labels to their parent or a list of parents. With `start_from`, that of the model by default.
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
    classes: Sequence[str] | None
    label_hierarchy: str | os.PathLike[str] | Mapping[str, Any] | None
    listener: Listener | None

    @with_suggestions
    def __init__(
        self,
        encoder: str | os.PathLike[str] = "starter",
        *,
        goal: str = "micro_f1",
        costs: str | None = None,
        thresholds: str | float = "global",
        calibration: CalibrationName = "none",
        empty_set_rule: EmptySetRule = "allow",
        epochs: int = 5,
        batch_size: int = 32,
        batch_tokens: int | None = None,
        accumulation_steps: int = 1,
        learning_rate: float | None = None,
        head_learning_rate: float | None = None,
        initial_head: InitialHeadName | None = None,
        layer_decay: float = 1.0,
        frozen_layers: int = 0,
        weight_averaging: float = 0.0,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.1,
        max_gradient_norm: float = 1.0,
        max_length: int | None = None,
        windows: WindowsName | None = None,
        window_overlap: int | None = None,
        max_windows: int | None = None,
        max_unknown_fraction: float = 0.5,
        pooling: PoolingName = "auto",
        label_descriptions: str | os.PathLike[str] | Mapping[str, str] | None = None,
        precision: PrecisionName = "auto",
        execution: ExecutionName = "auto",
        length_bucketing: bool | None = None,
        early_stopping_epochs: int | None = None,
        validation_fraction: float = 0.1,
        folds: int | None = None,
        teacher: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        teacher_weight: float = 0.5,
        seed: int = 0,
        seeds: int = 1,
        seeds_keep: SeedsKept = "best",
        device: str = "auto",
        threads: int | None = None,
        checkpoint_steps: int = 500,
        trackers: tuple[str, ...] = (),
        objective: Mapping[str, Any] | ObjectiveOptions | None = None,
        start_from: str | os.PathLike[str] | None = None,
        classes: Sequence[str] | None = None,
        label_hierarchy: str | os.PathLike[str] | Mapping[str, Any] | None = None,
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
        classes: Sequence[str] | npt.NDArray[Any] | None = None,
        sample_weight: npt.ArrayLike | None = None,
        output: str | os.PathLike[str] | None = None,
        verbose: bool | int = False,
    ) -> MultiLabelClassifier:
        """Train on N texts, and return the classifier itself.

        Parameters
        ----------
        X
            N strings.
        y
            A `LabelMatrix`, N lists of label names (`None` = unlabelled), or an array of *shape*
            (N, L) whose column names are `classes`: 0, 1, fractions (of annotators),
            and for unknown NaN, None or -1. Columns without names are called 0, 1, ...
        validation
            Rows that select the epoch and fit the thresholds: `Examples` or (texts, labels).
            Without it a stratified part of the N texts is set aside, or each of `folds` in turn.
        classes
            Label names: of the array's columns, or the ones allowed in lists of names; default: those
            of the constructor.
        sample_weight
            *Shape:* (N,), at least 0: weight of each text in training; default 1.
        output
            Folder for the model, also kept when the run is interrupted; default: temporary.
        verbose
            Whether to show progress on standard error, in one updating line where it can.
        """
        require_training()
        from multihot.workflows.train import train

        options = self._options()
        start = None if self.start_from is None else as_path(self.start_from, "start_from")
        columns = as_classes(self.classes if classes is None else classes)
        space = _known_labels(start, columns)
        training = as_examples(
            X,
            y,
            space,
            "the training data",
            sample_weight=sample_weight,
            columns=columns,
            hierarchy=self._hierarchy(),
        )
        assert training.labels is not None
        validation_rows = as_validation(validation, training.labels.space)
        temporary = TemporaryFolder() if output is None else None
        folder = temporary.path if temporary else as_path(output, "output")
        with listening(self.listener, verbose=verbose) as listener:
            for note in training.notes:
                listener.say(note)
            self.validation_report_ = train(
                training, validation_rows, options, folder, start_from=start, listener=listener
            )
        predictor = Predictor.load(folder, device=self.device)
        predictor.owned = temporary
        self._adopt(predictor)
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

    def evaluate(self, X: Iterable[str], y: Any, *, partial_labels: bool = False) -> Report:
        """Return every metric and one row per label on N labelled texts.

        With `partial_labels`, labels that a frame has no column for are unknown in all rows.
        """
        return evaluate(self._predictor(), self._rows(X, y, partial_labels))

    def score(self, X: Iterable[str], y: Any) -> float:
        """Return the value of the model's goal (larger is better), NaN where undefined."""
        rows = self._rows(X, y, False)
        assert rows.labels is not None
        truth = rows.labels.hard().values
        value = self._predictor().decision.goal_value(self.predict_proba(rows.texts), truth)
        return float("nan") if value is None else value

    def _rows(self, X: Any, y: Any, partial_labels: bool) -> Examples:
        """Return labelled rows with the labels of the model."""
        return as_examples(
            X,
            y,
            self._predictor().space,
            "the given rows",
            partial_labels=partial_labels,
            rows_required=True,
        )

    def decide(
        self,
        X: Iterable[str],
        y: Any,
        *,
        goal: str | None = None,
        thresholds: str | float | None = None,
        calibration: CalibrationName | None = None,
        empty_set_rule: EmptySetRule | None = None,
        costs: Costs | None = None,
        partial_labels: bool = False,
    ) -> TuningResult:
        """Tune the decision on N new texts: as `multihot.workflows.decide`, and `thresholds.json` is written.

        With `partial_labels`, labels that a frame has no column for are unknown in all rows.
        """
        predictor = self._predictor()
        result = decide(
            predictor,
            self._rows(X, y, partial_labels),
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
        copy_artifact(self._predictor().artifact.folder, as_path(folder, "folder"))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, device: str = "auto") -> MultiLabelClassifier:
        """Load a model folder; a later `fit` on the result fine-tunes that model further."""
        predictor = Predictor.load(as_path(folder, "folder"), device=device)
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
                raise unknown_parameter(name, known)
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
            if differs(getattr(self, name), parameter.default)
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

    def _options(self) -> TrainOptions:
        names = (name for name in option_types(TrainOptions) if name != "data")
        values = {name: getattr(self, name) for name in names}
        if isinstance(texts := values["label_descriptions"], Mapping):
            values["label_descriptions"] = as_json("label_descriptions", texts)
        if self.objective is None or isinstance(self.objective, ObjectiveOptions):
            values["objective"] = to_plain(self.objective or ObjectiveOptions())
        elif not isinstance(self.objective, Mapping):
            raise OptionError(
                f"objective is {cut(self.objective)}; expected ObjectiveOptions or a mapping, such as "
                '{"loss": "zlpr"}.'
            )
        # A parameter grid is often a numpy array, whose scalars are not Python's.
        plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
        return build_options(TrainOptions, plain, parse_strings=False)

    def _hierarchy(self) -> str | None:
        """Return `label_hierarchy` as the option of files takes it."""
        given = self.label_hierarchy
        if isinstance(given, Mapping):
            return as_json("label_hierarchy", given)
        return None if given is None else os.fspath(given)

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)
