from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from multihot.core.options import GOALS, DataOptions, TrainOptions
from multihot.core.recipes import (
    build_options,
    option_types,
    parse_assignments,
    read_recipe,
    to_plain,
    updated,
)
from multihot.errors import OptionError


def test_assignments_become_tables() -> None:
    pairs = ["epochs=3", "data.text_column=Tweet", " data.header =false", "encoder=a=b", "goal="]

    assert parse_assignments(pairs) == {
        "epochs": "3",
        "data": {"text_column": "Tweet", "header": "false"},
        "encoder": "a=b",
        "goal": "",
    }


def test_the_last_of_two_assignments_counts() -> None:
    assert parse_assignments(["epochs=3", "epochs=4"]) == {"epochs": "4"}


@pytest.mark.parametrize("pair", ["epochs", "=3", " =3", ""])
def test_what_is_no_assignment_is_refused(pair: str) -> None:
    with pytest.raises(OptionError, match=f"'{pair}' is not an option: write key=value"):
        parse_assignments([pair])


def test_a_value_cannot_also_be_a_table() -> None:
    with pytest.raises(OptionError, match=r"'data' is already set to a plain value"):
        parse_assignments(["data=1", "data.header=false"])


def test_changes_are_laid_over_table_by_table() -> None:
    base = {"epochs": 1, "data": {"text_column": "a", "header": True}}

    assert updated(base, {"goal": "jaccard", "data": {"text_column": "b"}}) == {
        "epochs": 1,
        "goal": "jaccard",
        "data": {"text_column": "b", "header": True},
    }
    assert base == {"epochs": 1, "data": {"text_column": "a", "header": True}}
    assert updated({"data": 1}, {"data": {"header": True}}) == {"data": {"header": True}}


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("epochs=3", 3),
        ("learning_rate=3e-5", 3e-5),
        ("learning_rate=1", 1.0),
        ("learning_rate=none", None),
        ("thresholds=0.3", 0.3),
        ("thresholds=per_label", "per_label"),
        ("length_bucketing=off", False),
        ("length_bucketing=Yes", True),
        ("max_length=none", None),
        ("max_length=128", 128),
        ("trackers=tensorboard, wandb", ("tensorboard", "wandb")),
        ("trackers=", ()),
        ("encoder=12", "12"),
    ],
)
def test_a_string_takes_the_type_of_its_option(pair: str, expected: object) -> None:
    (key, value), *_ = parse_assignments([pair]).items()

    built = getattr(build_options(TrainOptions, {key: value}), key)

    assert built == expected
    assert type(built) is type(expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "three"}, "Option 'epochs' is 'three'; expected a whole number"),
        ({"epochs": 2.5}, "'epochs' is 2.5; expected a whole number"),
        ({"epochs": True}, "'epochs' is True; expected a whole number"),
        ({"epochs": "none"}, "'epochs' is 'none'; expected a whole number"),
        ({"learning_rate": "fast"}, "'fast'; expected a number or none"),
        ({"length_bucketing": "maybe"}, "'maybe'; expected true or false"),
        ({"length_bucketing": 1}, "is 1; expected true or false"),
        ({"encoder": 3}, "'encoder' is 3; expected a string"),
        ({"trackers": [1]}, r"'trackers' is \[1\]; expected a list of names separated by commas"),
        ({"data": {"header": "?"}}, r"'data.header' is '\?'; expected true or false"),
        ({"data": 3}, "'data' is a table; set 'data.NAME' instead"),
        ({"thresholds": True}, "'thresholds' is True; expected a string or a number"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_options(TrainOptions, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, r"Unknown option 'epoch'. Did you mean 'epochs'\? Options here: encoder, "),
        ({"lr": 3}, r"Unknown option 'lr'. Options here: encoder"),
        (
            {"data": {"text_colum": "a"}},
            r"Unknown option 'data.text_colum'. Did you mean 'data.text_column'\?",
        ),
        ({"data": {"epochs": 3}}, r"Unknown option 'data.epochs'. Options here: format, text"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        build_options(TrainOptions, values)


def test_types_are_those_of_the_fields_in_order() -> None:
    types = option_types(DataOptions)

    assert list(types) == [field.name for field in fields(DataOptions)]
    assert types["header"] is bool
    assert types["delimiter"] == (str | None)


ALL_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "goal": st.sampled_from(GOALS),
        "thresholds": st.sampled_from(["global", "per_label"]) | st.floats(0.01, 0.99),
        "epochs": st.integers(1, 100),
        "learning_rate": st.none() | st.floats(1e-6, 1.0),
        "max_length": st.none() | st.integers(3, 512),
        "length_bucketing": st.booleans(),
        "trackers": st.lists(st.sampled_from(["tensorboard", "wandb"])).map(tuple),
        "encoder": st.text(st.characters(exclude_categories=("Cs",)), min_size=1),
        "data": st.builds(
            DataOptions,
            text_column=st.none() | st.text(st.characters(exclude_categories=("Cs",))),
            label_columns=st.lists(st.sampled_from(["joy", "a,b", "ä"])).map(tuple),
            header=st.booleans(),
        ),
    },
)


@given(ALL_OPTIONS)
def test_options_survive_the_way_to_a_recipe_and_back(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    options = TrainOptions(**values)
    path = tmp_path_factory.getbasetemp() / "recipe.toml"

    path.write_text(tomli_w.dumps(to_plain(options)), "utf-8")

    assert build_options(TrainOptions, read_recipe(path)) == options


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs = ", "r.toml: is not a valid TOML recipe: "),
        (b"goal = 'jaccard'\ngoal = 'x'", "r.toml: is not a valid TOML recipe: "),
        (b"seed = " + b"1" * 5000, "r.toml: is not a valid TOML recipe: "),
        (b"seed = " + b"[" * 20_000, "r.toml: is not a valid TOML recipe: "),
        (b"goal = '\xff'", "r.toml: is not a valid TOML recipe: .*utf-8"),
    ],
)
def test_a_broken_recipe_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "r.toml").write_bytes(content)

    with pytest.raises(OptionError, match=message):
        read_recipe(tmp_path / "r.toml")


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no.toml: there is no such recipe"):
        read_recipe(tmp_path / "no.toml")
    with pytest.raises(OptionError, match=r"cannot be read: Is a directory"):
        read_recipe(tmp_path)
