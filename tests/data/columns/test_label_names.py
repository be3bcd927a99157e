from __future__ import annotations

import json
from pathlib import Path

import pytest

from multihot.core.options import DataOptions
from multihot.data.columns.label_names import nearly_equal_names, read_label_names, spelling_of
from multihot.errors import DataError, OptionError


def written(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        '{"1": "love", "0": "joy", "2": "anger"}',
        '{"love": 1, "joy": 0, "anger": 2}',
        '["joy", "love", "anger"]',
        '{"model_type": "bert", "id2label": {"0": "joy", "1": "love", "2": "anger"}}',
        "id,name\n0,joy\n2,anger\n1,love\n",
        "0\tjoy\n1\tlove\n2\tanger\n",
        "joy,0\nlove,1\nanger,2\n",
        "joy\nlove\nanger\n",
    ],
)
def test_names_are_read_by_their_indices(tmp_path: Path, content: str) -> None:
    assert read_label_names(written(tmp_path, "names", content)) == ("joy", "love", "anger")


@pytest.mark.parametrize(
    "content",
    [
        '{"1": "love", "2": "joy"}',
        '{"0": "joy", "a": "love"}',
        '{"0": {"name": "joy"}}',
        '["joy", 1]',
        '["joy", "joy"]',
        "{joy\nlove",
        "[" * 100_000,
        "1,joy\n2,love\n",
        "id,name\n0,joy\n0,love\n",
    ],
)
def test_names_without_a_clear_order_are_errors(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, "names.json", content)

    with pytest.raises(DataError) as error:
        read_label_names(path)
    assert error.value.path == path


def test_names_with_commas_stay_names(tmp_path: Path) -> None:
    assert read_label_names(written(tmp_path, "n.txt", "Dallas, TX\nParis\n")) == (
        "Dallas, TX",
        "Paris",
    )


def test_aliases_and_case_make_names_equal(tmp_path: Path) -> None:
    tables = {
        "a.json": json.dumps({"Bill": "Billing", "invoice": "Billing"}),
        "a.toml": 'Bill = "Billing"\ninvoice = "Billing"\n',
        "a.csv": "Bill,Billing\ninvoice,Billing\n",
    }
    for name, content in tables.items():
        data = DataOptions(label_aliases=written(tmp_path, name, content))
        kept = spelling_of(data)
        assert [kept(each) for each in ("Bill", "bill", "invoice", "joy")] == [
            "Billing",
            "bill",
            "Billing",
            "joy",
        ]
        folded = spelling_of(DataOptions(label_aliases=data.label_aliases, label_case="fold"))
        assert [folded(each) for each in ("BILL", "Invoice", "BILLING")] == ["billing"] * 3


@pytest.mark.parametrize("table", ['{"a": "b", "b": "c"}', '{"a": 1}', '{"a": ""}', "[1]", "{"])
def test_a_table_of_aliases_that_leads_nowhere_is_an_error(tmp_path: Path, table: str) -> None:
    with pytest.raises(OptionError):
        spelling_of(DataOptions(label_aliases=written(tmp_path, "a.json", table)))


def test_aliases_stored_with_a_model_that_are_too_deep_are_an_error() -> None:
    with pytest.raises(OptionError, match="not valid JSON"):
        spelling_of(DataOptions(label_aliases='{"a":' * 100_000))


def test_an_unknown_case_rule_is_an_error() -> None:
    with pytest.raises(OptionError):
        spelling_of(DataOptions(label_case="lower"))


def test_nearly_equal_names_are_found() -> None:
    names = [
        "Billing",
        "billing",
        "BILLING ",
        "refund",
        "refunds",
        "sign-up",
        "sign up",
        "joy",
        "class",
        "clas",
    ]

    assert nearly_equal_names(names) == [
        ("Billing", "billing", "BILLING "),
        ("refund", "refunds"),
        ("sign-up", "sign up"),
    ]
