"""Label cells and files of label names as other programs write them: read right, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multihot.core.options import DataOptions
from multihot.data.columns.label_names import read_label_names
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError


def table(folder: Path, *cells: str) -> Path:
    path = folder / "cells.jsonl"
    rows = [{"text": f"text {number}", "labels": cell} for number, cell in enumerate(cells)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def names_of(examples: Examples) -> list[list[str]]:
    assert examples.labels is not None
    return [sorted(names) for names in examples.labels.to_names()]


def names_file(folder: Path, content: str = "a\nb\nc\n") -> str:
    path = folder / "names.txt"
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "cells",
    [
        ("[np.str_('a'), np.str_('b')]", "[np.str_('c')]"),
        ("Index(['a', 'b'], dtype='object')", "Index(['c'], dtype='object')"),
        ("dict_keys(['a', 'b'])", "dict_keys(['c'])"),
        ("deque(['a', 'b'])", "deque(['c'])"),
        ('c("a", "b")', 'c("c")'),
        ("\"['a', 'b']\"", "\"['c']\""),
        (
            "OrderedDict([('a', 1), ('b', 1), ('c', 0)])",
            "OrderedDict([('c', 1), ('a', 0), ('b', 0)])",
        ),
    ],
)
def test_collections_printed_by_other_libraries_are_read(
    tmp_path: Path, cells: tuple[str, str]
) -> None:
    assert names_of(read_examples(table(tmp_path, *cells))) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    "cells",
    [
        ("tensor([0., 1., 1.])", "tensor([1., 0., 0.], device='cuda:0')"),
        ("[False, True, True]", "[True, False, False]"),
        ("[False  True  True]", "[ True False False]"),
        ("0 1 1", "1 0 0"),
    ],
)
def test_vectors_of_tensors_and_of_true_and_false_are_read(
    tmp_path: Path, cells: tuple[str, str]
) -> None:
    data = DataOptions(label_names=names_file(tmp_path))
    assert names_of(read_examples(table(tmp_path, *cells), data)) == [["b", "c"], ["a"]]


@pytest.mark.parametrize(
    "cells",
    [
        ("WrappedArray(a, b)", "WrappedArray(c)"),
        ("<i>a</i><i>b</i>", "<i>c</i>"),
        ("0    a\n1    b\ndtype: object", "0    c\ndtype: object"),
        ("- a\n- b", "- c"),
        ("1:1 5:1", "0:1"),
        ("010", "110"),
        ("a;#b", "b"),
        ("a<br>b", "a", "b"),
        ("a > b", "a", "b"),
        ("a and b", "a", "b"),
    ],
)
def test_cells_of_foreign_formats_are_no_names(tmp_path: Path, cells: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as error:
        read_examples(table(tmp_path, *cells))
    assert error.value.column == "labels"


def test_a_missing_value_among_printed_lists_leads_to_both_readings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"write \[\]; .* data.empty_labels=unknown") as error:
        read_examples(table(tmp_path, "['a', 'b']", "nan"))
    assert error.value.line == 2


def test_names_that_join_other_names_are_remarked(tmp_path: Path) -> None:
    examples = read_examples(table(tmp_path, "a:b", "a", "b"))
    assert any("data.label_delimiter=:" in note for note in examples.notes)


def test_indices_that_never_are_0_are_remarked(tmp_path: Path) -> None:
    examples = read_examples(
        table(tmp_path, "1|2", "1"), DataOptions(label_names=names_file(tmp_path))
    )
    assert names_of(examples) == [["b", "c"], ["b"]]
    assert any("The index 0 never occurs" in note for note in examples.notes)


@pytest.mark.parametrize(
    "content",
    [
        "0 a\n1 b\n",
        "0: a\n1: b\n",
        "0. a\n1. b\n",
        "- a\n- b\n",
        "a,\nb,\n",
        '"a"\n"b"\n',
        "['a', 'b']",
        "{0: 'a', 1: 'b'}",
        '{"labels": ["a", "b"]}',
        "names:\n  0: a\n  1: b\n",
    ],
)
def test_label_names_in_other_forms_are_read(tmp_path: Path, content: str) -> None:
    assert read_label_names(names_file(tmp_path, content)) == ("a", "b")


@pytest.mark.parametrize(
    "content",
    [
        "# all labels\na\nb\n",
        "label\na\nb\n",
        "names: [a, b]\n",
        "a,b,c\n",
        "id,name,de\n0,a,x\n1,b,y\n",
    ],
)
def test_a_file_of_label_names_with_other_lines_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError) as error:
        read_label_names(names_file(tmp_path, content))
    assert error.value.line == 1


def test_names_that_begin_with_numbers_stay_names(tmp_path: Path) -> None:
    assert read_label_names(names_file(tmp_path, "18 Wheeler\n20 Questions\n")) == (
        "18 Wheeler",
        "20 Questions",
    )


@pytest.mark.parametrize(
    "cells",
    [
        ("joy:1,fear:0", "joy:0,fear:1"),
        ("joy=true;fear=false", "joy=false;fear=true"),
        ("joy (0.9), fear (0.1)", "fear (0.7), joy (0.3)"),
        ("joy: 3, fear: 1", "fear: 2"),
        ("joy 90%, fear 10%", "fear 70%, joy 30%"),
        ("defaultdict(<class 'int'>, {'joy': 1, 'fear': 0})",),
        ("Label(name='joy'), Label(name='fear')", "Label(name='joy')"),
        ('a:2:{i:0;s:3:"joy";i:1;s:4:"fear";}', 'a:1:{i:0;s:3:"joy";}'),
        ("['joy', 'fe", "['joy', 'fear'"),
        ("joy &amp; fear", "joy", "fear"),
        ("“joy”, “fear”", "“joy”"),
        ("joy｜fear", "joy", "fear"),
    ],
)
def test_what_programs_print_otherwise_is_not_cut_into_names(
    tmp_path: Path, cells: tuple[str, ...]
) -> None:
    path = table(tmp_path, *cells)
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert caught.value.column == "labels"
    as_one = read_examples(path, DataOptions(label_delimiter=""))
    assert names_of(as_one) == [[cell.strip()] for cell in cells]


@pytest.mark.parametrize(
    "cells",
    [
        ("GO:0006915|GO:0008152", "GO:0006915"),
        ("Heat (1995)|Heat (2013)", "Heat (1995)"),
        ("10:30|11:45", "10:30"),
        ("R&D; sales", "sales"),
        ("grade:a|grade:b", "grade:a"),
    ],
)
def test_names_with_numbers_and_signs_stay_names(tmp_path: Path, cells: tuple[str, ...]) -> None:
    parts = [[part.strip() for part in cell.replace(";", "|").split("|")] for cell in cells]
    assert names_of(read_examples(table(tmp_path, *cells))) == [sorted(names) for names in parts]


def test_an_escape_for_half_a_character_is_no_label_name(tmp_path: Path) -> None:
    path = table(tmp_path, '["joy", "\\ud800"]', '["joy"]')
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert (caught.value.line, caught.value.column) == (1, "labels")


def test_a_printed_list_inside_a_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        """{"text": "a", "labels": ["x"]}\n{"text": "b", "labels": ["['a', 'b']"]}\n""", "utf-8"
    )

    with pytest.raises(DataError, match="printed list inside the list") as caught:
        read_examples(path)

    assert caught.value.line == 2


@pytest.mark.parametrize("space", ["\u00a0", "\u3000"])
def test_other_spaces_may_separate_labels(tmp_path: Path, space: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"text,labels\na,joy{space}fear\nb,joy\nc,fear\n", "utf-8")

    with pytest.raises(DataError, match=r"data\.label_delimiter=space"):
        read_examples(path)
    found = read_examples(path, DataOptions(label_delimiter="space"))
    assert found.labels is not None
    assert found.labels.space.names == ("fear", "joy")
