from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.data.examples import portable
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError, OptionError

OFFICIAL = (
    "ID\tTweet\tanger\tjoy\tlove\n"
    '2018-1\t"Worry\u201d is NA\t1\t0\t0\n'
    "2018-2\tnull, 007\t0\t1\t1\n"
    "2018-3\t\t0\t0\t0\n"
)


def written(folder: Path, name: str, content: str, codec: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content.encode(codec))
    return path


def said(examples: object) -> str:
    return "\n".join(getattr(examples, "notes", ()))


def test_an_official_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, "2018-E-c-En-train.txt", OFFICIAL)

    examples = read_examples(path)

    assert examples.labels is not None
    assert examples.texts == ['"Worry\u201d is NA', "null, 007", ""]
    assert examples.ids == ["2018-1", "2018-2", "2018-3"]
    assert examples.lines == [2, 3, 4]
    assert examples.source == str(path)
    assert examples.labels.space.names == ("anger", "joy", "love")
    np.testing.assert_array_equal([[1, 0, 0], [0, 1, 1], [0, 0, 0]], examples.labels.values)
    assert examples.data == DataOptions(
        text_column="Tweet", id_column="ID", label_columns=("anger", "joy", "love")
    )
    assert examples.notes == (
        "Columns are separated by tab, without quoting.",
        "Texts: column 'Tweet'; ids: column 'ID'.",
        "Labels: 3 0/1 columns: anger, joy, love; all columns that have no other meaning.",
        "1 of 3 texts are empty.",
        "1 of 3 texts have no label.",
    )


def test_rows_can_be_taken_by_index_or_mask(tmp_path: Path) -> None:
    examples = read_examples(written(tmp_path, "t.txt", OFFICIAL))

    taken = examples.take([2, 0])
    assert (taken.ids, taken.lines, len(taken)) == (["2018-3", "2018-1"], [4, 2], 2)
    assert taken.labels is not None
    assert taken.labels.to_names() == [[], ["anger"]]
    assert examples.take([False, True, False]).texts == ["null, 007"]
    assert replace(examples, labels=None).take([1]).labels is None
    assert len(examples.take(np.array([], dtype=np.int64))) == 0


def test_the_unlabelled_official_file_is_refused_or_read_without_labels(tmp_path: Path) -> None:
    path = written(tmp_path, "t.txt", "ID\tTweet\tanger\tjoy\n1\ta\tNONE\tNONE\n")

    for space in (None, LabelSpace(("anger", "joy"))):
        with pytest.raises(
            DataError, match=r"t.txt:2, column 'anger': .*unlabelled official test file"
        ):
            read_examples(path, space=space)
    examples = read_examples(path, labels="ignore")
    assert examples.labels is None
    assert examples.texts == ["a"]


def test_the_native_format_tells_no_labels_from_unlabelled(tmp_path: Path) -> None:
    lines = [
        {"id": "1", "text": "a", "labels": ["love", "joy"]},
        {"id": "2", "text": "b", "labels": []},
        {"id": "3", "text": "c"},
        {"id": "4", "text": "d", "labels": None},
    ]
    path = written(tmp_path, "t.jsonl", "\n".join(map(json.dumps, lines)))

    examples = read_examples(path)

    assert examples.labels is not None
    nan = np.nan
    np.testing.assert_array_equal([[1, 1], [0, 0], [nan, nan], [nan, nan]], examples.labels.values)
    assert examples.labels.space.names == ("joy", "love")
    assert examples.data.label_column == "labels"
    assert "2 of 4 texts are unlabelled." in examples.notes
    assert "1 of 4 texts have no label." in examples.notes


def test_delimited_cells_are_split_and_names_sorted(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "text,labels,author\na,love|joy,me\nb,,you\n")

    examples = read_examples(path)

    assert examples.labels is not None
    assert examples.labels.to_names() == [["joy", "love"], []]
    assert examples.ids == ["1", "2"]
    assert examples.data.label_delimiter == "|"
    assert examples.data.ignore_columns == ("author",)
    assert "Columns not used: author." in examples.notes
    assert "2 labels: joy, love." in examples.notes
    assert "ids: row numbers." in said(examples)


def test_a_second_id_is_unused_and_said(tmp_path: Path) -> None:
    examples = read_examples(written(tmp_path, "t.csv", ",id,text,joy\n0,x,a,1\n1,y,b,0\n"))

    assert examples.ids == ["x", "y"]
    assert "Columns not used: index." in examples.notes


def test_unknown_cells_of_label_columns_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "text,joy,love\na,1,\nb,-1,null\nc,0,1\n")

    examples = read_examples(path)

    assert examples.labels is not None
    assert not examples.labels.known[1].any()
    assert "1 of 3 texts are unlabelled." in examples.notes
    assert "1 label cell is unknown (empty, null, NaN, NA or -1)." in examples.notes


def test_labels_that_are_never_zero_are_noted(tmp_path: Path) -> None:
    examples = read_examples(written(tmp_path, "t.csv", "text,joy,love\na,1,-1\nb,-1,1\n"))

    assert "No label cell is 0: if -1 means negative (absent), write 0" in said(examples)


def test_json_columns_of_values_are_read(tmp_path: Path) -> None:
    lines = '{"text": "a", "joy": true, "love": 0.0}\n{"text": "b", "joy": NaN, "love": null}\n'

    examples = read_examples(written(tmp_path, "t.jsonl", lines))

    assert examples.labels is not None
    np.testing.assert_array_equal([[1, 0], [np.nan, np.nan]], examples.labels.values)


def test_a_names_file_fixes_the_order_and_turns_indices_into_names(tmp_path: Path) -> None:
    names = written(tmp_path, "labels.txt", "love\nanger\njoy")
    path = written(tmp_path, "train.tsv", "hello\t2,0\tx1\nyou\t1\tx2\n")
    data = DataOptions(
        header=False, text_column="1", label_column="2", id_column="3", label_names=str(names)
    )

    examples = read_examples(path, data)

    assert examples.labels is not None
    assert examples.labels.space.names == ("love", "anger", "joy")
    assert examples.labels.to_names() == [["love", "joy"], ["anger"]]
    assert (examples.ids, examples.lines) == (["x1", "x2"], [1, 2])
    assert "They are 0-based indices into 3 label names." in said(examples)


def test_a_names_file_also_orders_columns_and_names(tmp_path: Path) -> None:
    data = DataOptions(label_names=str(written(tmp_path, "labels.txt", "love\njoy\n")))
    columns = written(tmp_path, "a.csv", "text,joy,love,author\na,1,0,me\n")
    cells = written(tmp_path, "b.csv", "text,labels\na,joy\n")

    for path in (columns, cells):
        examples = read_examples(path, data)
        assert examples.labels is not None
        assert examples.labels.space.names == ("love", "joy")
        assert examples.labels.to_names() == [["joy"]]


def test_later_files_take_indices_from_the_known_labels_wherever_the_names_file_went(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "t.csv", "text,labels\na,1\n")
    names = written(tmp_path, "names.txt", "joy\nanger\n")
    train = read_examples(path, DataOptions(label_column="labels", label_names=str(names)))
    assert train.labels is not None
    names.write_text("love\nhate\n", "utf-8")
    later = portable(train.data)

    again = read_examples(path, later, space=train.labels.space)

    assert again.labels is not None
    assert again.labels.to_names() == train.labels.to_names() == [["anger"]]
    with pytest.raises(OptionError, match="labels of a model, and there is none here"):
        read_examples(path, later)
    names.unlink()
    with pytest.raises(DataError, match="no such file of label names"):
        read_examples(path, train.data, space=train.labels.space)


GROUPED = "content_id,content,subject,word\n7,good car ,price,a\n8,bad,space,b\n7,good car,fuel,c\n"
BY_CONTENT = DataOptions(text_column="content", label_column="subject", group_by="content_id")


def test_lines_of_one_text_are_merged(tmp_path: Path) -> None:
    examples = read_examples(written(tmp_path, "t.csv", GROUPED), BY_CONTENT)

    assert examples.labels is not None
    assert examples.labels.to_names() == [["fuel", "price"], ["space"]]
    assert examples.ids == ["7", "8"]
    assert examples.texts == ["good car ", "bad"]
    assert examples.lines == [2, 3]
    assert "3 lines with equal 'content_id' were merged into 2 texts." in examples.notes
    texts_only = read_examples(written(tmp_path, "t.csv", GROUPED), BY_CONTENT, labels="ignore")
    assert texts_only.texts == examples.texts


def test_lines_of_one_text_with_different_texts_are_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", GROUPED.replace("7,good car,", "7,other,"))

    with pytest.raises(
        DataError, match="column 'content_id': The texts of line 2 and line 4 differ"
    ) as error:
        read_examples(path, BY_CONTENT)
    assert error.value.line == 4


def test_lines_may_be_grouped_by_the_text_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "text,label\na,joy\nb,love\na,love\n")

    examples = read_examples(path, DataOptions(group_by="text"))

    assert examples.labels is not None
    assert examples.labels.to_names() == [["joy", "love"], ["love"]]
    assert examples.ids == ["1", "2"]


def test_merging_unites_columns_of_values(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "text,key,joy,love,fear\na,1,0,,\na,1,1,0,\n")

    examples = read_examples(path, DataOptions(group_by="key"))

    assert examples.labels is not None
    np.testing.assert_array_equal([[1, 0, np.nan]], examples.labels.values)
    assert examples.data.id_column == "key"


def test_a_missing_group_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"There is no column 'key' \(data.group_by\).*data.group_by=none"
    ):
        read_examples(written(tmp_path, "t.csv", "text,joy\na,1\n"), DataOptions(group_by="key"))


def test_validation_matches_columns_by_name(tmp_path: Path) -> None:
    train = read_examples(written(tmp_path, "train.txt", OFFICIAL))
    assert train.labels is not None
    path = written(tmp_path, "dev.csv", "love,author,anger,joy,Tweet\n1,me,0,0,hi\n")

    for data in (DataOptions(), portable(train.data)):
        dev = read_examples(path, data, space=train.labels.space)
        assert dev.labels is not None
        assert dev.labels.space == train.labels.space
        assert dev.labels.to_names() == [["love"]]
        assert "Columns not used: author." in dev.notes
    assert "There is no id column 'ID' in this file: rows are numbered." in dev.notes


def test_json_lines_may_follow_a_tab_separated_file(tmp_path: Path) -> None:
    train = read_examples(written(tmp_path, "train.txt", OFFICIAL))
    assert train.labels is not None
    line = {"ID": 5, "joy": 1, "anger": 0, "love": None, "Tweet": "hi"}

    dev = read_examples(
        written(tmp_path, "dev.jsonl", json.dumps(line)),
        portable(train.data),
        space=train.labels.space,
    )

    assert dev.labels is not None
    np.testing.assert_array_equal([[0, 1, np.nan]], dev.labels.values)
    assert dev.ids == ["5"]


def test_columns_unused_in_training_stay_unused(tmp_path: Path) -> None:
    options = DataOptions(label_columns=("joy",))
    train = read_examples(written(tmp_path, "t.csv", "text,joy,spam\na,1,0\nb,0,1\n"), options)
    assert train.labels is not None

    again = read_examples(tmp_path / "t.csv", portable(train.data), space=train.labels.space)

    assert again.data == train.data


def test_a_label_that_only_validation_has_is_an_error(tmp_path: Path) -> None:
    space = LabelSpace(("joy", "love"))
    columns = written(tmp_path, "a.csv", "text,joy,love,fear\na,1,0,1\n")
    with pytest.raises(
        DataError, match=r"a.csv, column 'fear': .*not among the known labels: fear"
    ):
        read_examples(columns, space=space)

    names = written(
        tmp_path, "b.jsonl", '{"text": "a", "labels": ["joy"]}\n{"text": "b", "labels": ["fear"]}'
    )
    with pytest.raises(
        DataError, match=r"b.jsonl:2, column 'labels': The label 'fear' is not among"
    ):
        read_examples(names, space=space)


def test_a_known_label_without_column_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text,joy\na,1\n")

    with pytest.raises(DataError, match="The label column 'love' is missing"):
        read_examples(path, space=LabelSpace(("joy", "love")))


def test_names_that_are_a_known_space_with_nothing_positive_are_noted(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"text": "a", "labels": []}')

    assert "Not a single text has a label." in read_examples(path, space=LabelSpace(("joy",))).notes
    with pytest.raises(DataError, match="column 'labels': Not a single label occurs"):
        read_examples(path)
    zeros = read_examples(written(tmp_path, "b.csv", "text,joy,love\na,0,0\n"))
    assert "Not a single text has a label." in zeros.notes


def test_a_file_without_labels_is_an_error_unless_they_are_ignored(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "id,text\n1,a\n")

    with pytest.raises(DataError, match="There is no label column"):
        read_examples(path)
    assert read_examples(path, labels="ignore").labels is None


def test_a_header_without_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is a header, but not a single row"):
        read_examples(written(tmp_path, "a.csv", "id,text,joy\n"))


def test_bad_label_names_are_an_error_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"text": "a", "labels": ["jo\\u0007y"]}')

    with pytest.raises(DataError, match=r"a.jsonl: .*control character"):
        read_examples(path)


def test_a_text_that_is_no_text_names_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"text": "a", "joy": 1}\n{"text": 5, "joy": 1}\n')

    with pytest.raises(DataError, match=r"a.jsonl:2, column 'text': The text is 5, not a text"):
        read_examples(path)


def test_many_label_names_are_shortened_in_the_note(tmp_path: Path) -> None:
    names = [f"label{number}" for number in range(300)]
    path = written(tmp_path, "a.csv", f"text,{','.join(names)}\na{',1' * 300}\n")

    assert "Labels: 300 0/1 columns: label0, " in said(read_examples(path))
    assert said(read_examples(path)).count("label299") == 0


@pytest.mark.parametrize(
    ("codec", "word"),
    [
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("gb18030", "not UTF-8; taken as GB18030"),
        ("utf-16-le", "UTF-16-LE"),
    ],
)
def test_spreadsheet_exports_are_read_and_the_encoding_is_said(
    tmp_path: Path, codec: str, word: str
) -> None:
    content = "编号;内容;标签\r\n1;这辆车的动力很好，油耗也不高。;动力、油耗\r\n2;外观不错;外观\r\n"

    examples = read_examples(written(tmp_path, "t.csv", content, codec))

    assert examples.labels is not None
    assert examples.labels.space.names == ("动力", "外观", "油耗")
    assert examples.ids == ["1", "2"]
    assert f"Encoding: {word}" in said(examples)
    assert "separated by semicolon" in said(examples)
    assert examples.data.encoding is None
    assert examples.data.delimiter is None


def test_what_the_user_set_stays_and_parts_of_a_file_do_not() -> None:
    data = DataOptions(encoding="cp1252", delimiter=";", quoting=True, sheet="A", split="train")

    assert portable(data) == replace(data, sheet=None, split=None)


def test_both_label_options_exclude_each_other(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text,joy,labels\na,1,joy\n")

    with pytest.raises(OptionError, match="exclude each other"):
        read_examples(path, DataOptions(label_column="labels", label_columns=("joy",)))


TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1)


@given(TEXTS)
def test_csv_and_json_lines_give_the_same_texts_and_labels(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["id", "text", "labels"])
    writer.writerows([f"n{row}", text, "joy|love"] for row, text in enumerate(texts))
    lines = [
        json.dumps({"id": f"n{row}", "text": text, "labels": ["joy", "love"]}, ensure_ascii=False)
        for row, text in enumerate(texts)
    ]
    table = written(folder, "same.csv", buffer.getvalue())
    jsonl = written(folder, "same.jsonl", "\n".join(lines))

    first, second = read_examples(table), read_examples(jsonl)

    assert texts == first.texts == second.texts
    assert first.ids == second.ids
    assert first.labels is not None
    assert second.labels is not None
    np.testing.assert_array_equal(first.labels.values, second.labels.values)
