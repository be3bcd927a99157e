"""Names of columns in several languages, and the one rule by which a text column is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from multihot.core.options import DataOptions
from multihot.data.columns.headings import (
    is_id_name,
    is_label_name,
    is_text_name,
    prediction_columns,
)
from multihot.data.columns.text_and_id import find_id_column, find_text_column
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError
from multihot.workflows.split import split


@pytest.mark.parametrize(
    ("heading", "is_name"),
    [
        ("Ticket ID", is_id_name),
        ("ticketId", is_id_name),
        ("TweetID", is_id_name),
        ("id_ticket", is_id_name),
        ("Lfd. Nr", is_id_name),
        ("工单ID", is_id_name),
        ("番号", is_id_name),
        ("Nachricht", is_text_name),
        ("Comment Text", is_text_name),
        ("tweetText", is_text_name),
        ("Descripción", is_text_name),
        ("Testo", is_text_name),
        ("Mensagem", is_text_name),
        ("本文", is_text_name),
        ("评价内容", is_text_name),
        ("用户反馈", is_text_name),
        ("Schlagwörter", is_label_name),
        ("Catégories", is_label_name),
        ("Etiquetas", is_label_name),
        ("emotion labels", is_label_name),
        ("ラベル", is_label_name),
        ("问题标签", is_label_name),
    ],
)
def test_headings_of_several_languages_are_known(heading: str, is_name: object) -> None:
    kinds = {is_id_name, is_text_name, is_label_name}
    assert {kind for kind in kinds if kind(heading)} == {is_name}


@pytest.mark.parametrize(
    "heading",
    ["covid", "Android", "valid", "identity attack", "context", "anger", "色情内容", "订单号"],
)
def test_other_words_mean_nothing(heading: str) -> None:
    assert not is_id_name(heading)
    assert not is_text_name(heading)
    assert not is_label_name(heading)


def test_a_file_with_german_headings_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Ticket ID;Nachricht;Schlagwörter\n7;Hallo Welt;a|b\n8;Servus;a\n", "utf-8")

    found = read_examples(path)

    assert found.labels is not None
    assert found.labels.to_names() == [["a", "b"], ["a"]]
    assert (found.texts, found.ids) == (["Hallo Welt", "Servus"], ["7", "8"])


def test_a_file_with_usual_chinese_headings_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "订单号,评价内容,星级,问题标签\n1,送得慢,2,物流、价格\n2,不错,5,价格\n", "utf-8"
    )

    found = read_examples(path)

    assert found.labels is not None
    assert found.labels.to_names() == [["价格", "物流"], ["价格"]]
    assert found.texts == ["送得慢", "不错"]


def test_names_known_before_go_before_those_of_other_languages() -> None:
    options = DataOptions()
    assert find_text_column(["description", "text", "Nachricht", "a"], options, "f") == "text"
    assert find_id_column(["tweetId", "text", "post_id"], options, "f", "text") == "post_id"
    assert find_id_column(["tweetId", "text", "userId"], options, "f", "text") is None


def test_a_column_named_in_another_language_holds_values_where_all_cells_do(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,topic\na,1\nb,0\n", "utf-8")

    found = read_examples(path)

    assert found.labels is not None
    assert found.labels.space.names == ("topic",)


@pytest.mark.parametrize("option", ["group_by", "split_by"])
def test_the_text_may_be_what_keeps_rows_together(tmp_path: Path, option: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,joy,anger\n" + "a,1,0\nb,0,1\nc,1,1\nd,0,0\n" * 2, "utf-8")
    data = DataOptions(**{option: "text"})

    assert read_examples(path, data).data.text_column == "text"
    report = split(path, tmp_path / "parts", parts={"one": 0.5, "two": 0.5}, data=data)

    assert len(report.parts) == 2
    columns = ["document", "text"]
    assert find_text_column(columns, DataOptions(**{option: "document"}), "f") == "text"


def test_without_a_header_the_advice_is_not_to_have_none() -> None:
    with pytest.raises(DataError, match=r"data.text_column=NAME; without a header") as error:
        find_text_column(["1", "2"], DataOptions(header=False), "f")

    assert "header=false" not in str(error.value)


def test_predictions_in_a_file_are_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "predicted.csv"
    path.write_text(
        "text,joy,predicted_labels,truncated,score_joy,checked\nhi,1,joy,false,0.9,1\nno,0,,false,0.1,0\n",
        "utf-8",
    )

    found = read_examples(path)

    assert found.labels is not None
    assert found.labels.space.names == ("joy", "checked")
    assert any("predictions of a model" in note for note in found.notes)
    asked = read_examples(path, DataOptions(label_column="predicted_labels"))
    assert asked.labels is not None
    assert asked.labels.space.names == ("joy",)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["text", "predicted_labels", "truncated", "abstained", "score_a", "score_b"], slice(1, 6)),
        (["predicted_labels_", "truncated_", "score_a_", "score_a"], slice(0, 3)),
        (["predicted_labels", "score_a"], slice(0)),
        (["predicted_labels", "truncated", "a"], slice(0)),
    ],
)
def test_predictions_are_known_by_all_their_columns(columns: list[str], found: slice) -> None:
    assert prediction_columns(columns) == tuple(columns[found])
