"""Values of 0/1 columns as survey programs, R and spreadsheets write them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from multihot.core.options import DataOptions
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError


def table(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def values_of(examples: Examples) -> list[list[float | None]]:
    assert examples.labels is not None
    return [[None if math.isnan(v) else float(v) for v in row] for row in examples.labels.values]


def test_what_r_writes_is_read(tmp_path: Path) -> None:
    path = table(tmp_path, '"","text","joy","love"', '"1","a",TRUE,NA', '"2","b",FALSE,TRUE')
    examples = read_examples(path)
    assert values_of(examples) == [[1.0, None], [0.0, 1.0]]
    assert any("label cell is unknown" in note for note in examples.notes)


def test_decimal_commas_are_read(tmp_path: Path) -> None:
    path = table(tmp_path, "id;text;joy;love", "1;a;0,5;1,0", "2;b;0,0;0,25")
    assert values_of(read_examples(path, DataOptions(soft_labels=True))) == [
        [0.5, 1.0],
        [0.0, 0.25],
    ]


@pytest.mark.parametrize(
    ("cells", "advice"),
    [
        ("1212", "data.true_values=1 data.false_values=2"),
        ("0190", "9 may stand for a missing value"),
        ("1532", "grades of a scale"),
        (["50%", "0%", "100%", "50%"], "percentages as fractions"),
        (["joy", "0", "0", "joy"], "data.true_values=joy."),
    ],
)
def test_other_codes_lead_to_their_own_advice(
    tmp_path: Path, cells: str | list[str], advice: str
) -> None:
    path = table(tmp_path, "id,text,joy", *(f"{n},text {n},{cell}" for n, cell in enumerate(cells)))
    with pytest.raises(DataError) as error:
        read_examples(path)
    assert error.value.column == "joy"
    assert advice in str(error.value)


def test_what_each_annotator_chose_is_not_taken_for_words_of_yes_and_no(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "id,text,rater1,rater2",
        "1,a,joy,love",
        "2,b,love,joy",
        "3,c,joy,joy",
        "4,d,love,joy",
    )
    with pytest.raises(DataError, match="what each annotator chose"):
        read_examples(path)


@pytest.mark.parametrize("index", ["Unnamed: 0", "__index_level_0__", "level_0", "HITId"])
def test_index_columns_of_data_frames_are_no_labels(tmp_path: Path, index: str) -> None:
    path = table(tmp_path, f"{index},text,joy,love", "0,a,0,1", "1,b,1,1")
    examples = read_examples(path)
    assert examples.labels is not None
    assert examples.labels.space.names == ("joy", "love")


def test_a_column_of_fractions_named_like_labels_is_ambiguous(tmp_path: Path) -> None:
    path = table(tmp_path, "text,target", "a,0.1", "b,0.5", "c,0")
    with pytest.raises(
        DataError, match=r"data.label_columns=target data.soft_labels=true"
    ) as error:
        read_examples(path)
    assert error.value.column == "target"
    soft = DataOptions(label_columns=("target",), soft_labels=True)
    assert values_of(read_examples(path, soft))[1] == [0.5]


@pytest.mark.parametrize(
    ("header", "row", "options", "remark"),
    [
        ("text,joy,is_train", "{},1,0", DataOptions(), "is_train may be facts about a row"),
        ("text,labels", "{},joy|nan", DataOptions(), "programs write a missing value"),
        ("text,labels", "{},3", DataOptions(), "All label names are numbers"),
        ("text,labels,annotator", "{},joy,A", DataOptions(), "set data.group_by to its id"),
        (
            "text,labels,WorkerId",
            "{},joy,A",
            DataOptions(id_column="x"),
            "set data.group_by to its id",
        ),
        (
            "text,label,annotator1",
            "{},joy,0",
            DataOptions(label_column="label"),
            "data.vote_columns=annotator1",
        ),
        ("text,label,answer", "{},joy,reject", DataOptions(), "exports of Prodigy"),
    ],
)
def test_columns_and_names_that_may_mean_something_else_are_remarked(
    tmp_path: Path, header: str, row: str, options: DataOptions, remark: str
) -> None:
    path = table(tmp_path, header, row.format("a"), row.format("b"))
    assert any(remark in note for note in read_examples(path, options).notes)


def test_several_numbers_in_a_cell_are_not_one_name(tmp_path: Path) -> None:
    path = table(tmp_path, "text,labels", "a,5 1", "b,0")
    with pytest.raises(DataError, match=r"data.label_delimiter=space"):
        read_examples(path)


@pytest.mark.parametrize(("one", "zero"), [("1.000000e+00", "0.0e0"), ("+1", "0")])
def test_0_and_1_are_read_as_programs_print_numbers(tmp_path: Path, one: str, zero: str) -> None:
    path = table(tmp_path, "id,text,joy,love", f"1,a,{one},{zero}", f"2,b,{zero},{one}")
    assert values_of(read_examples(path)) == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("cells", "advice"),
    [
        (["☑", "☐", "☐", "☑"], "data.true_values=☑ data.false_values=☐"),
        (
            ["Selected", "Not Selected"] * 2,
            "data.true_values=selected 'data.false_values=not selected'",
        ),
        (["１", "０"] * 2, "data.true_values"),
        (["1", "0", "?", "1"], "'?' stands beside 0 and 1"),
        (["1", "0", "None", "1"], "'none' stands beside 0 and 1"),
        (["1", "2", "3", "14"], "data.ignore_columns=joy"),
    ],
)
def test_signs_and_counts_lead_to_their_own_advice(
    tmp_path: Path, cells: list[str], advice: str
) -> None:
    path = table(tmp_path, "id,text,joy", *(f"{n},text {n},{cell}" for n, cell in enumerate(cells)))
    with pytest.raises(DataError) as error:
        read_examples(path)
    assert advice in str(error.value)


@pytest.mark.parametrize(("column", "yes", "no"), [("agree", "yes", "no"), ("yes_votes", "3", "0")])
def test_what_says_whether_a_label_holds_is_not_dropped_when_lines_are_merged(
    tmp_path: Path, column: str, yes: str, no: str
) -> None:
    rows = [f"{n // 2},text {n // 2},{('joy', 'love')[n % 2]},{(yes, no)[n % 2]}" for n in range(8)]
    path = table(tmp_path, f"id,text,label,{column}", *rows)
    with pytest.raises(DataError, match=f"data.vote_columns={column}") as error:
        read_examples(path, DataOptions(group_by="id", label_column="label"))
    assert error.value.column == column
    told = DataOptions(
        group_by="id",
        label_column="label",
        vote_columns=(column,),
        true_values=("yes",),
        false_values=("no",),
    )
    assert values_of(read_examples(path, told)) == [[1.0, 0.0]] * 4


def test_names_joined_in_a_list_and_names_that_always_stand_together_are_remarked(
    tmp_path: Path,
) -> None:
    joined = tmp_path / "joined.jsonl"
    joined.write_text('{"text": "a", "labels": ["joy|love"]}\n{"text": "b", "labels": ["joy"]}\n')
    assert any("joined by '|'" in note for note in read_examples(joined).notes)
    path = table(
        tmp_path, "text,labels", 'a,"Slow, but fine, Price"', "b,Price", 'c,"Slow, but fine"'
    )
    assert any("'Slow, but fine' always" in note for note in read_examples(path).notes)


def test_objects_of_spans_are_not_read_by_the_text_of_the_span(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text('{"text": "a b", "label": [{"start": 0, "text": "a", "labels": ["joy"]}]}\n')
    with pytest.raises(DataError, match=r"data.label_key=text") as error:
        read_examples(path)
    assert error.value.column == "label"
