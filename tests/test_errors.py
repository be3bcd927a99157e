from __future__ import annotations

import pytest

from multihot import errors
from multihot.errors import DataError, MissingExtraError, MultihotError, UserError


@pytest.mark.parametrize(
    ("name", "exit_code"),
    [
        ("MultihotError", 1),
        ("TrainingError", 1),
        ("NonFiniteError", 1),
        ("StorageError", 1),
        ("UserError", 2),
        ("OptionError", 2),
        ("DataError", 2),
        ("LabelError", 2),
        ("EncoderError", 2),
        ("ArtifactError", 2),
        ("MissingExtraError", 2),
        ("CheckFailedError", 3),
        ("InterruptedRunError", 130),
    ],
)
def test_every_error_has_the_exit_code_of_its_branch(name: str, exit_code: int) -> None:
    kind = getattr(errors, name)

    assert issubclass(kind, MultihotError)
    assert kind.exit_code == exit_code


def test_the_table_above_is_complete() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }

    assert defined == {name for name in errors.__all__ if name[0].isupper()}
    assert len(defined) == 13


def test_what_a_user_got_wrong_is_a_value_error_for_python_programs() -> None:
    assert issubclass(UserError, ValueError)
    assert issubclass(errors.TrainingError, RuntimeError)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, "is empty"),
        ({"path": "a.csv"}, "a.csv: is empty"),
        ({"path": "a.csv", "line": 3}, "a.csv:3: is empty"),
        ({"path": "a.csv", "line": 3, "column": "joy"}, "a.csv:3, column 'joy': is empty"),
        ({"path": "a.csv", "column": "joy"}, "a.csv, column 'joy': is empty"),
        ({"line": 3}, "line 3: is empty"),
        ({"column": "joy"}, "column 'joy': is empty"),
    ],
)
def test_a_data_error_begins_with_the_place(place: dict[str, object], expected: str) -> None:
    error = DataError("is empty", **place)  # type: ignore[arg-type]

    assert str(error) == expected
    assert (error.path, error.line, error.column) == (
        place.get("path"),
        place.get("line"),
        place.get("column"),
    )


def test_a_missing_package_names_the_extra_to_install() -> None:
    error = MissingExtraError("openpyxl", "excel", "Reading an .xlsx file")

    assert str(error) == (
        "Reading an .xlsx file needs the package 'openpyxl', which is not installed. "
        "Install it with: pip install 'multihot[excel]'"
    )
