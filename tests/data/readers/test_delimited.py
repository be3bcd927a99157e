from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.data.readers.delimited import read_delimited
from multihot.errors import DataError, OptionError


def read(folder: Path, content: str, **options: Any) -> tuple[list[Any], tuple[str, ...], str]:
    path = folder / "table.csv"
    path.write_bytes(content.encode())
    table = read_delimited(path, **options)
    rows = list(table.rows)
    return rows, table.columns, " ".join(table.notes)


def test_cells_stay_strings(tmp_path: Path) -> None:
    rows, columns, notes = read(tmp_path, "id,text\n007,NA\n1e5,null\n,None\n", usual=",")

    assert columns == ("id", "text")
    assert rows == [(2, ["007", "NA"]), (3, ["1e5", "null"]), (4, ["", "None"])]
    assert notes == ""


@pytest.mark.parametrize(
    ("delimiter", "word"),
    [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "vertical bar")],
)
def test_delimiter_is_detected_and_said(tmp_path: Path, delimiter: str, word: str) -> None:
    lines = ["id,text,joy", "1,hello; world,0", "2,a | b,1"]
    content = "\n".join(delimiter.join(line.split(",")) for line in lines)
    if delimiter in ";|":
        content = content.replace(f"hello{delimiter} world", "hello").replace("a | b", "a")

    rows, columns, notes = read(tmp_path, content)

    assert columns == ("id", "text", "joy")
    assert len(rows) == 2
    assert f"Columns are separated by {word}" in notes


def test_delimiters_inside_quotes_do_not_count(tmp_path: Path) -> None:
    rows, _, notes = read(tmp_path, 'text;label\n"a,b;c,d";x\n"a,""b,c";y\n', usual=",")

    assert rows == [(2, ["a,b;c,d", "x"]), (3, ['a,"b,c', "y"])]
    assert "semicolon, with quoting" in notes


def test_the_usual_delimiter_is_preferred(tmp_path: Path) -> None:
    _, columns, notes = read(tmp_path, "a,b|c|d\n1,2|3|4\n", usual=",")

    assert columns == ("a", "b|c|d")
    assert notes == ""


def test_two_equally_good_delimiters_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="both give 2 columns"):
        read(tmp_path, "a,b;c\n1,2;3\n")


def test_a_table_of_one_column_is_read(tmp_path: Path) -> None:
    rows, columns, _ = read(tmp_path, "text\nhello world\n")

    assert (rows, columns) == ([(2, ["hello world"])], ("text",))


@pytest.mark.parametrize("option", ["tab", "\\t", "\t"])
def test_tab_may_be_written_as_a_word(tmp_path: Path, option: str) -> None:
    rows, _, notes = read(tmp_path, "a\tb\n1,5\t2\n", delimiter=option)

    assert rows == [(2, ["1,5", "2"])]
    assert notes == ""


@pytest.mark.parametrize("option", ["", ",,", '"'])
def test_delimiter_must_be_one_character(tmp_path: Path, option: str) -> None:
    with pytest.raises(OptionError, match="is not one character"):
        read(tmp_path, "a,b\n", delimiter=option)


def test_excels_separator_line_is_understood(tmp_path: Path) -> None:
    rows, columns, notes = read(tmp_path, "sep=;\r\na;b\r\n1,5;2\r\n", usual=",")

    assert columns == ("a", "b")
    assert rows == [(3, ["1,5", "2"])]
    assert "semicolon" in notes


def test_tabs_mean_no_quoting(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path, 'ID\tTweet\n1\t"hello" he said\n2\t"open\n', usual="\t")

    assert rows == [(2, ["1", '"hello" he said']), (3, ["2", '"open'])]


def test_ragged_unquoted_reading_suggests_quoting(tmp_path: Path) -> None:
    content = 'id\ttext\n1\t"a\tb"\n'

    with pytest.raises(DataError, match=r"has 3 cells, but 2 were expected \(id, text\)") as error:
        read(tmp_path, content, usual="\t")
    assert error.value.line == 2
    assert "data.quoting=true" in str(error.value)
    assert read(tmp_path, content, usual="\t", quoting=True)[0] == [(2, ["1", "a\tb"])]


def test_cells_that_look_quoted_are_noted_when_read_without_quoting(tmp_path: Path) -> None:
    _, _, notes = read(tmp_path, 'id\ttext\n1\t"say ""hi"""\n', usual="\t")

    assert "1 line (the first is 2) with cells that look quoted" in notes


@pytest.mark.parametrize("line", ["2,a,b", "2"])
def test_ragged_record_names_counts_and_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"expected \(id, text\), separated by comma") as error:
        read(tmp_path, f'id,text\n1,"two\nlines"\n{line}\n')
    assert error.value.line == 4


def test_line_numbers_are_those_of_the_first_line_of_a_record(tmp_path: Path) -> None:
    rows, _, notes = read(tmp_path, 'id,text\r\n1,"a\r\nb"\r\n\r\n2,c\r\n')

    assert rows == [(2, ["1", "a\r\nb"]), (5, ["2", "c"])]
    assert "1 blank lines were skipped; the first is line 4." in notes


def test_unclosed_quote_is_named_by_the_line_where_it_opens(tmp_path: Path) -> None:
    content = 'id,text,more\n1,"fine ""one""",\n2,"multi\nline","never closed\n3,x,y\n'

    with pytest.raises(DataError, match="opens a cell in this line and is never closed") as error:
        read(tmp_path, content)
    assert error.value.line == 4
    assert "data.quoting=false" in str(error.value)


def test_text_after_a_closing_quote_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in line 4 text follows its closing quote") as error:
        read(tmp_path, 'id,text\n1,""\n2,"open\n3,"fine"\n')
    assert error.value.line == 3


def test_very_long_cells_are_read(tmp_path: Path) -> None:
    long = "word, " * 200_000

    rows, _, _ = read(tmp_path, f'id,text\n1,"{long}"\n2,b\n', usual=",")

    assert rows[0] == (2, ["1", long])


def test_every_line_is_a_row_where_there_is_one_column_and_no_header(tmp_path: Path) -> None:
    rows, columns, notes = read(tmp_path, "\na\n\nb\n\n", header=False)

    assert columns == ("1",)
    assert rows == [(1, [""]), (2, ["a"]), (3, [""]), (4, ["b"]), (5, [""])]
    assert "3 blank lines are empty texts, since there is one column; the first is line 1" in notes
    assert "skipped" not in notes


def test_columns_without_header_are_numbered(tmp_path: Path) -> None:
    rows, columns, _ = read(tmp_path, "a,b\nc,d\n", header=False)

    assert columns == ("1", "2")
    assert rows == [(1, ["a", "b"]), (2, ["c", "d"])]


def test_duplicate_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'joy': Two columns have the same name"):
        read(tmp_path, "id,joy, joy\n")


def test_unnamed_column_is_an_error_unless_it_is_the_index_of_pandas(tmp_path: Path) -> None:
    assert read(tmp_path, ",text\n0,a\n")[1] == ("index", "text")
    with pytest.raises(DataError, match="Column 2 of 2 has no name"):
        read(tmp_path, "text,\na,\n")


def test_nothing_but_blank_lines_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no content"):
        read(tmp_path, "\n\n")


def test_old_mac_line_ends_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, "id,text\r1,a\r")[0] == [(2, ["1", "a"])]


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from('",;|\t\r\n \u2028\x85')
)


@given(st.lists(TEXTS, min_size=1), st.sampled_from(",;|\t"), st.sampled_from(["\n", "\r\n"]))
def test_texts_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], delimiter: str, end: str
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["text", "number"], *([text, str(row)] for row, text in enumerate(texts))])
    path = tmp_path_factory.getbasetemp() / "texts.csv"
    path.write_bytes(buffer.getvalue().encode())

    table = read_delimited(path, delimiter=delimiter, quoting=True)

    assert texts == [cells[0] for _, cells in table.rows]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('id,text,a,b\n1,"open,0,1\n2,ok,1,0\n3,fine,0,0\n4,closed",1,1\n5,last,0,1\n', (2, 5)),
        ('id,text,a,b\r\n0,x,0,0\r\n1,"open,0,1\r\n4,closed",1,1\r\n', (3, 4)),
        ('text;a\n"open;1\nx;0\nclosed";1\n', (2, 4)),
        ('id,text,a\n1,"a, b\nc, d\ne, f",1\n', None),
        ('id,text,a\n1,"one\n\ntwo, three",1\n', None),
        ('id,text,a\n1,"dear you, yes\nbye, me",1\n', None),
    ],
)
def test_a_cell_that_holds_rows_is_remarked_with_its_lines(
    tmp_path: Path, content: str, lines: tuple[int, int] | None
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8", newline="")

    table = read_delimited(path)
    list(table.rows)

    remarks = [note for note in table.notes if "look like rows" in note]
    assert len(remarks) == (lines is not None)
    if lines is not None:
        assert f"the first goes from line {lines[0]} to {lines[1]}." in remarks[0]
