from __future__ import annotations

import copy
import inspect
import json
import multiprocessing
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from emotions import LABELS, NAMES, QUICK, TEXTS
from multihot import (
    LabelMatrix,
    LabelSpace,
    Listener,
    MultiLabelClassifier,
    TrainOptions,
    read_examples,
)
from multihot.core.recipes import option_types
from multihot.errors import (
    ArtifactError,
    DataError,
    LabelError,
    MultihotError,
    OptionError,
    StorageError,
)
from multihot.inference.artifact import is_artifact

MULTI_HOT = LabelMatrix.from_names(NAMES, LabelSpace(LABELS)).values.astype(np.int64)


class Frame:
    """As much of a pandas data frame as a table of labels needs."""

    def __init__(self, columns: list[str], values: npt.NDArray[np.int64]) -> None:
        self.columns = columns
        self.values = values
        self.shape = values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.values, dtype=dtype)


@pytest.fixture(scope="module")
def quick(tiny_encoder: Path) -> dict[str, Any]:
    """Options for fits whose quality does not matter."""
    return {"encoder": str(tiny_encoder), **QUICK, "epochs": 1, "validation_fraction": 0.25}


@pytest.fixture(scope="module")
def fitted(tiny_encoder: Path) -> MultiLabelClassifier:
    classifier = MultiLabelClassifier(tiny_encoder, **QUICK)  # type: ignore[arg-type]
    return classifier.fit(TEXTS, NAMES, validation=(TEXTS[:24], NAMES[:24]))


@pytest.fixture(scope="module")
def by_names(quick: dict[str, Any]) -> MultiLabelClassifier:
    """A quick fit on lists of names; read it, never change it."""
    return MultiLabelClassifier(**quick).fit(TEXTS, NAMES)


@pytest.fixture
def loaded(tiny_model: Path) -> MultiLabelClassifier:
    return MultiLabelClassifier.load(tiny_model, device="cpu")


def test_it_learns_names_and_answers_with_names(fitted: MultiLabelClassifier) -> None:
    assert fitted.predict(TEXTS) == NAMES
    assert fitted.classes_.tolist() == list(LABELS)
    assert list(fitted.thresholds_) == list(LABELS)
    assert fitted.validation_report_.rows == 24
    assert fitted.validation_report_.rows_fitted == 24


def test_probabilities_stand_in_the_order_of_the_classes(fitted: MultiLabelClassifier) -> None:
    probabilities = fitted.predict_proba(["happy in love", "scared of it"])

    assert probabilities.shape == (2, 3)
    assert probabilities.dtype == np.float32
    joy, fear = fitted.classes_.tolist().index("joy"), fitted.classes_.tolist().index("fear")
    assert probabilities[0, joy] > probabilities[0, fear]
    assert probabilities[1, fear] > probabilities[1, joy]


def test_an_evaluation_prints_metrics_and_one_row_per_label(fitted: MultiLabelClassifier) -> None:
    report = fitted.evaluate(TEXTS[24:], NAMES[24:])

    assert report.metrics["jaccard"] == 1
    assert report.rows_fitted == 0
    for word in ("jaccard", "micro_f1", *LABELS, "24 texts."):
        assert word in str(report)
    assert json.dumps(report.to_json(), allow_nan=False)


def test_the_score_is_the_goal(fitted: MultiLabelClassifier) -> None:
    wrong = [["fear"]] * 48

    assert fitted.score(TEXTS, NAMES) == 1
    assert fitted.score(TEXTS, wrong) == fitted.evaluate(TEXTS, wrong).metrics["micro_f1"]


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([tuple(row) for row in NAMES], LABELS),
        (LabelMatrix.from_names(NAMES), None),
        (MULTI_HOT, LABELS),
        (MULTI_HOT.astype(bool), LABELS),
        (MULTI_HOT.astype(np.float64), LABELS),
        (scipy.sparse.csr_matrix(MULTI_HOT), LABELS),
        (Frame(list(LABELS), MULTI_HOT), LABELS),
        (Frame(list(LABELS[::-1]), MULTI_HOT[:, ::-1]), LABELS),
    ],
    ids="tuples matrix int bool float sparse frame backwards".split(),
)
def test_every_form_of_the_same_labels_gives_the_same_model(
    quick: dict[str, Any], by_names: MultiLabelClassifier, y: Any, classes: Any
) -> None:
    model = MultiLabelClassifier(**quick).fit(TEXTS, y, classes=classes)

    np.testing.assert_array_equal(model.predict_proba(TEXTS), by_names.predict_proba(TEXTS))
    assert model.thresholds_ == by_names.thresholds_
    answer, expected = model.predict(TEXTS), by_names.predict(TEXTS)
    if isinstance(y, list | LabelMatrix):
        assert answer == expected
    else:  # after an array the answer is an array
        assert isinstance(answer, np.ndarray)
        assert answer.dtype == np.int64
        space = LabelSpace(LABELS)
        np.testing.assert_array_equal(answer, LabelMatrix.from_names(expected, space).values)
        assert 0 < answer.mean() < 1


def test_a_frame_names_its_own_classes(quick: dict[str, Any]) -> None:
    columns = ["love", "fear", "joy"]

    classifier = MultiLabelClassifier(**quick).fit(TEXTS, Frame(columns, MULTI_HOT))

    assert classifier.classes_.tolist() == columns


def test_unknown_cells_and_unlabelled_texts_are_allowed(quick: dict[str, Any]) -> None:
    partly = MULTI_HOT.astype(float)
    partly[::3, 1] = np.nan

    by_array = MultiLabelClassifier(**quick).fit(TEXTS, partly, classes=LABELS)
    by_names = MultiLabelClassifier(**quick).fit(TEXTS, [None, *NAMES[1:]])

    assert by_array.classes_.tolist() == by_names.classes_.tolist() == list(LABELS)


def test_texts_may_be_any_sequence(fitted: MultiLabelClassifier) -> None:
    assert fitted.predict(np.array(TEXTS[:3])) == NAMES[:3]
    assert fitted.predict(tuple(TEXTS[:3])) == NAMES[:3]
    assert fitted.predict(iter(TEXTS[:3])) == NAMES[:3]
    assert fitted.predict([]) == []
    assert fitted.predict_proba([]).shape == (0, 3)


def test_validation_may_be_a_file_that_was_read(quick: dict[str, Any], tmp_path: Path) -> None:
    from emotions import write_jsonl

    dev = read_examples(write_jsonl(tmp_path / "dev.jsonl", slice(0, 12)))

    classifier = MultiLabelClassifier(**quick).fit(TEXTS, NAMES, validation=dev)

    assert classifier.validation_report_.rows == 12


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("one text", [["joy"]], None), DataError, "expected a list of texts, got one string"),
        ((["a"], ["joy"], None), LabelError, "Row 0 has the string 'joy' where a list"),
        ((["a", "b"], [["joy"]], None), DataError, "2 texts, but 1 rows of labels"),
        ((["a"], MULTI_HOT[:1], ["joy"]), LabelError, r"expected \(rows, 1\)"),
        ((["a"], [[0, 1, 1]], None), LabelError, "the label 0, which is not a string"),
        ((["a"], np.array([["joy", "x"]]), ["a", "b"]), LabelError, "values that are not numbers"),
        ((["a"], np.array([[0, 2]]), ["a", "b"]), LabelError, "The label value 2 in row 0"),
        ((["a"], [["anger"]], LABELS), LabelError, "'anger', which is not among the labels: fear"),
        (([1], [["joy"]], None), DataError, "text 0 is int"),
        ((["a"], [None], None), LabelError, "There are no labels"),
    ],
)
def test_what_cannot_be_learnt_is_refused_with_a_reason(
    quick: dict[str, Any], given: tuple[Any, Any, Any], error: type[Exception], message: str
) -> None:
    X, y, classes = given

    with pytest.raises(error, match=message):
        MultiLabelClassifier(**quick).fit(X, y, classes=classes, validation=(["a"], [[]]))


def test_one_text_that_is_no_list_is_not_labelled_letter_by_letter(
    fitted: MultiLabelClassifier,
) -> None:
    for method in (fitted.predict, fitted.predict_proba):
        with pytest.raises(DataError, match=r"got one string: 'happy'. Put it in a list"):
            method("happy")


@pytest.mark.parametrize("call", ["predict", "predict_proba", "evaluate", "score", "save"])
def test_before_fit_there_is_nothing_to_ask(call: str, tmp_path: Path) -> None:
    given: dict[str, tuple[Any, ...]] = {
        "evaluate": (["a"], [["joy"]]),
        "score": (["a"], [["joy"]]),
        "save": (tmp_path / "m",),
    }

    with pytest.raises(NotFittedError, match=r"not fitted yet; call fit\(...\) or load"):
        getattr(MultiLabelClassifier(), call)(*given.get(call, (["a"],)))


def test_before_fit_our_own_error_comes_where_scikit_learn_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.exceptions", None)

    with pytest.raises(MultihotError, match=r"not fitted yet"):
        MultiLabelClassifier().predict(["a"])


def test_scikit_learn_knows_whether_it_is_fitted(fitted: MultiLabelClassifier) -> None:
    check_is_fitted(fitted)
    with pytest.raises(NotFittedError):
        check_is_fitted(MultiLabelClassifier())


def test_parameters_are_the_options_with_the_same_defaults() -> None:
    options = TrainOptions()
    parameters = MultiLabelClassifier().get_params()

    expected = {name: getattr(options, name) for name in option_types(TrainOptions)}
    del expected["data"]
    expected["objective"] = None  # the default one, which is no value that a signature can hold
    assert parameters == {
        **expected,
        "start_from": None,
        "classes": None,
        "label_hierarchy": None,
        "listener": None,
    }
    signature = inspect.signature(MultiLabelClassifier)
    assert list(parameters) == list(signature.parameters)


def test_parameters_are_set_by_name_and_unknown_ones_refused() -> None:
    classifier = MultiLabelClassifier()

    assert classifier.set_params(epochs=2, goal="jaccard") is classifier
    assert classifier.get_params()["epochs"] == 2
    with pytest.raises(OptionError, match=r"'epoch'\. Did you mean 'epochs'\? Known: encoder"):
        classifier.set_params(epoch=2)
    with pytest.raises(OptionError, match=r"'epoch'\. Did you mean 'epochs'\? Known: encoder"):
        MultiLabelClassifier(epoch=2)  # type: ignore[call-arg]


def test_only_what_differs_from_the_defaults_is_shown() -> None:
    assert repr(MultiLabelClassifier()) == "MultiLabelClassifier()"
    assert repr(MultiLabelClassifier("e", epochs=2)) == (
        "MultiLabelClassifier(encoder='e', epochs=2)"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"goal": "f1"}, "'goal' is 'f1'"),
        ({"epochs": 0}, "'epochs' is 0; expected at least 1"),
        ({"epochs": 1.5}, "'epochs' is 1.5; expected a whole number"),
        ({"batch_size": None}, "'batch_size' is None; expected a whole number"),
        ({"epochs": "3"}, "'epochs' is '3'; expected a whole number"),
        ({"objective": {"focal_gamma": "2"}}, "'objective.focal_gamma' is '2'; expected a number"),
        ({"objective": "zlpr"}, "objective is 'zlpr'; expected ObjectiveOptions"),
        ({"threads": 10**9}, "'threads' is 1000000000; expected at most 1024"),
        ({"encoder": 5}, "'encoder' is 5; expected a string"),
        ({"start_from": 5}, "start_from is 5; expected a path"),
        ({"listener": print}, "listener is <built-in function print>; expected an object"),
    ],
)
def test_options_are_checked_when_fitting(
    quick: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        MultiLabelClassifier(**{**quick, **changes}).fit(TEXTS, NAMES)


def test_numbers_of_numpy_are_numbers(quick: dict[str, Any]) -> None:
    grid = {"epochs": np.arange(1, 2)[0], "learning_rate": np.logspace(-2, -1, 2)[0]}

    classifier = MultiLabelClassifier(**{**quick, **grid}).fit(TEXTS, NAMES)

    assert classifier.predict_proba(TEXTS).shape == (48, 3)


def test_a_clone_has_the_parameters_and_is_not_fitted(fitted: MultiLabelClassifier) -> None:
    copied = clone(fitted)

    assert copied.get_params() == fitted.get_params()
    assert not hasattr(copied, "classes_")
    with pytest.raises(NotFittedError):
        copied.predict(["a"])


@pytest.mark.slow
def test_a_grid_search_chooses_the_number_of_epochs(quick: dict[str, Any]) -> None:
    model = MultiLabelClassifier(**quick)
    search = GridSearchCV(model, {"epochs": np.array([1, 8])}, cv=2, error_score="raise")

    search.fit(TEXTS, MULTI_HOT, classes=LABELS)

    assert search.best_params_ == {"epochs": 8}
    assert search.best_score_ == search.cv_results_["mean_test_score"][1] > 0.5
    assert search.predict(TEXTS).shape == (48, 3)
    assert search.classes_.tolist() == list(LABELS)


def test_it_is_the_last_step_of_a_pipeline(quick: dict[str, Any]) -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = Pipeline([("lower", lower), ("model", MultiLabelClassifier(**quick))])

    pipeline.fit([text.upper() for text in TEXTS], NAMES)

    assert pipeline.predict_proba(TEXTS).shape == (48, 3)
    assert pipeline.predict([TEXTS[0].upper()]) == pipeline.predict([TEXTS[0]])
    pipeline.set_params(model__epochs=3)
    assert pipeline.get_params()["model__epochs"] == 3


def test_fitting_again_starts_again_and_another_seed_gives_other_scores(
    quick: dict[str, Any], by_names: MultiLabelClassifier
) -> None:
    classifier = MultiLabelClassifier(**quick)
    first = classifier.set_params(seed=4).fit(TEXTS, NAMES).predict_proba(TEXTS)

    second = classifier.set_params(seed=quick["seed"]).fit(TEXTS, NAMES).predict_proba(TEXTS)
    other = classifier.fit(TEXTS, [["only"] if names else [] for names in NAMES])

    assert not np.allclose(first, second)
    np.testing.assert_array_equal(second, by_names.predict_proba(TEXTS))
    assert other.classes_.tolist() == ["only"]
    assert classifier.predict_proba(TEXTS).shape == (48, 1)


def test_fitting_on_names_after_an_array_answers_with_names(quick: dict[str, Any]) -> None:
    classifier = MultiLabelClassifier(**quick).fit(TEXTS, MULTI_HOT, classes=LABELS)

    assert isinstance(classifier.fit(TEXTS, NAMES).predict(TEXTS), list)


def test_a_saved_model_answers_the_same(fitted: MultiLabelClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "deep" / "model")

    again = MultiLabelClassifier.load(tmp_path / "deep" / "model", device="cpu")

    np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert again.predict(TEXTS) == fitted.predict(TEXTS)
    assert again.thresholds_ == fitted.thresholds_
    assert again.classes_.tolist() == fitted.classes_.tolist()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]


def test_a_model_is_saved_into_an_empty_folder_but_over_nothing(
    loaded: MultiLabelClassifier, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", "utf-8")

    loaded.save(str(tmp_path / "empty"))

    assert MultiLabelClassifier.load(tmp_path / "empty").predict(TEXTS[:2]) == NAMES[:2]
    for target in (tmp_path / "full", tmp_path / "full" / "mine.txt"):
        with pytest.raises(OptionError, match=r"Choose another"):
            loaded.save(target)
    with pytest.raises(StorageError, match=r"Cannot write"):
        loaded.save(tmp_path / "full" / "mine.txt" / "below")
    assert (tmp_path / "full" / "mine.txt").read_text("utf-8") == "mine"


def test_the_temporary_folder_goes_with_the_object(quick: dict[str, Any]) -> None:
    classifier = MultiLabelClassifier(**quick).fit(TEXTS, NAMES)
    folder = classifier._fitted.artifact.folder
    assert folder.is_dir()

    del classifier

    assert not folder.exists()


def test_a_chosen_folder_stays_and_is_a_model(quick: dict[str, Any], tmp_path: Path) -> None:
    classifier = MultiLabelClassifier(**quick).fit(TEXTS, NAMES, output=tmp_path / "m")
    scores = classifier.predict_proba(TEXTS)
    del classifier

    np.testing.assert_array_equal(
        MultiLabelClassifier.load(tmp_path / "m", device="cpu").predict_proba(TEXTS), scores
    )


def test_a_loaded_model_goes_on_from_where_it_was(
    loaded: MultiLabelClassifier, tiny_model: Path
) -> None:
    before = loaded.predict_proba(TEXTS)
    loaded.set_params(epochs=1, batch_size=8, learning_rate=1e-9, precision="fp32")

    loaded.fit(TEXTS, MULTI_HOT)

    assert loaded.get_params()["start_from"] == tiny_model
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), before, atol=1e-5)
    assert loaded.classes_.tolist() == list(LABELS)
    with pytest.raises(LabelError, match=r"'anger', which is not among the labels"):
        loaded.fit(TEXTS, [["anger"]] * 48)


@pytest.mark.parametrize("thresholds", ["per_label", 0.3])
def test_a_loaded_model_keeps_how_its_thresholds_are_chosen(
    quick: dict[str, Any], tmp_path: Path, thresholds: str | float
) -> None:
    options = {**quick, "thresholds": thresholds, "goal": "jaccard", "max_length": 16}
    MultiLabelClassifier(**options).fit(TEXTS, NAMES).save(tmp_path / "m")

    parameters = MultiLabelClassifier.load(tmp_path / "m").get_params()

    assert parameters["thresholds"] == thresholds
    assert (parameters["goal"], parameters["max_length"]) == ("jaccard", 16)


def test_a_listener_hears_the_run(quick: dict[str, Any]) -> None:
    said: list[str] = []

    class Recorder(Listener):
        def say(self, message: str) -> None:
            said.append(message)

    MultiLabelClassifier(**quick, listener=Recorder()).fit(TEXTS, NAMES)

    assert any("12 of 48 labelled rows are set aside" in message for message in said)


def test_a_run_says_nothing_unasked(
    quick: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    MultiLabelClassifier(**quick).fit(TEXTS, NAMES).predict(TEXTS)

    assert capfd.readouterr() == ("", "")


def test_a_deep_copy_of_the_parameters_is_the_same_model() -> None:
    classifier = MultiLabelClassifier("e", epochs=3)

    assert copy.deepcopy(classifier).get_params() == classifier.get_params()


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["packed", "padded"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "attention", "labels"])
def test_a_fitted_classifier_survives_pickle_and_copy(
    quick: dict[str, Any], tmp_path: Path, pooling: str, execution: str
) -> None:
    many = TEXTS * 2  # enough for the fast execution of prediction
    options = {**quick, "pooling": pooling, "execution": execution}
    fitted = MultiLabelClassifier(**options).fit(TEXTS, NAMES)
    expected = fitted.predict_proba(many)
    joblib.dump(fitted, tmp_path / "model.joblib")
    pickled = pickle.dumps(fitted)
    fitted.save(tmp_path / "saved")
    loaded = MultiLabelClassifier.load(tmp_path / "saved", device="cpu")

    for again in (
        pickle.loads(pickled),
        joblib.load(tmp_path / "model.joblib"),
        copy.deepcopy(fitted),
        pickle.loads(pickle.dumps(loaded)),
    ):
        np.testing.assert_array_equal(again.predict_proba(many), expected)
        assert again.thresholds_ == fitted.thresholds_
        again.save(tmp_path / f"saved-{id(again)}")
        assert is_artifact(tmp_path / f"saved-{id(again)}")


def test_a_copy_has_files_of_its_own_which_go_with_it(by_names: MultiLabelClassifier) -> None:
    again = pickle.loads(pickle.dumps(by_names))
    folder = again._fitted.artifact.folder

    again.decide(TEXTS, NAMES, thresholds=0.25)

    assert set(again.thresholds_.values()) == {0.25} != set(by_names.thresholds_.values())
    assert pickle.loads(pickle.dumps(again)).thresholds_ == again.thresholds_
    assert folder != by_names._fitted.artifact.folder
    assert folder.exists()
    del again
    assert not folder.exists()
    assert by_names._fitted.artifact.folder.exists()


@pytest.mark.slow
def test_another_process_computes_the_same(by_names: MultiLabelClassifier) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        scores = pool.apply(by_names.predict_proba, (TEXTS,))

    np.testing.assert_array_equal(scores, by_names.predict_proba(TEXTS))


def test_a_model_whose_folder_is_gone_or_changed_is_not_pickled(
    tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    loaded = MultiLabelClassifier.load(tmp_path / "model", device="cpu")
    (tmp_path / "model" / "tokenizer.json").write_text("{}", "utf-8")

    with pytest.raises(ArtifactError, match=r"tokenizer.json was changed"):
        pickle.dumps(loaded)
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"there is no such folder"):
        copy.deepcopy(loaded)


@pytest.mark.parametrize("method", ["evaluate", "score", "decide"])
def test_rows_to_measure_are_there_and_have_every_label(
    loaded: MultiLabelClassifier, method: str
) -> None:
    call = getattr(loaded, method)

    with pytest.raises(DataError, match=r"there are no rows"):
        call([], [])
    with pytest.raises(DataError, match=r"there is no known label"):
        call(TEXTS[:2], [None, None])
    with pytest.raises(LabelError, match=r"no column for love"):
        call(TEXTS, Frame(list(LABELS[:2]), MULTI_HOT[:, :2]))


def test_labels_may_lack_where_that_is_asked_for(loaded: MultiLabelClassifier) -> None:
    frame = Frame(list(LABELS[:2]), MULTI_HOT[:, :2])

    report = loaded.evaluate(TEXTS, frame, partial_labels=True)

    assert report.labels["joy"].support == MULTI_HOT[:, 1].sum()
    assert report.labels["love"].f1 is None


def test_classes_name_the_columns_of_an_array_for_a_model_to_go_on_from(
    loaded: MultiLabelClassifier,
) -> None:
    loaded.set_params(epochs=1, batch_size=8, learning_rate=1e-9, precision="fp32")

    loaded.fit(TEXTS, MULTI_HOT[:, ::-1], classes=np.array(LABELS[::-1]))

    assert loaded.classes_.tolist() == list(LABELS)
    assert loaded.score(TEXTS, NAMES) > 0.9
    with pytest.raises(LabelError, match=r"the model in .* does not know: anger"):
        loaded.fit(TEXTS, NAMES, classes=["joy", "anger"])


def test_the_decision_can_be_fitted_again(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    classifier = MultiLabelClassifier.load(tmp_path / "model", device="cpu")

    result = classifier.decide(
        TEXTS, NAMES, goal="cost=1:3", thresholds="per_label", calibration="platt"
    )

    assert result.rows == 48
    assert classifier.thresholds_ == dict(zip(LABELS, result.decision.thresholds, strict=True))
    assert classifier.score(TEXTS, NAMES) == result.decision.fitted_on.goal_value
    again = MultiLabelClassifier.load(tmp_path / "model", device="cpu")
    assert again.thresholds_ == classifier.thresholds_
    assert (again.goal, again.thresholds, again.calibration) == ("cost=1:3", "per_label", "platt")
