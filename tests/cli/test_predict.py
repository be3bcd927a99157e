from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from emotions import LABELS, NAMES, TEXTS, write_jsonl
from multihot.cli.main import main
from multihot.cli.prediction_tables import (
    TableStyle,
    delimited_rows,
    prediction_writer,
    table_style,
)
from multihot.core.options import DataOptions
from multihot.data.text_stream import TextRow, TextStream, stream_texts
from multihot.inference.prediction import Prediction

OURS = ["predicted_labels", "truncated", *(f"score_{label}" for label in LABELS)]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Put bytes on standard input, as a pipe would."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_texts_of_the_command_line_are_answered_in_words(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(["predict", str(tiny_model), "you are happy in love .", "we left again"])

    assert code == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0] == "you are happy in love ."
    assert lines[1].startswith("  -> joy (0.")
    assert ", love (0." in lines[1]
    assert lines[2:] == ["we left again", "  -> no label"]
    assert err == ""


def test_texts_that_the_model_cannot_read_are_remarked(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(tiny_model), "ขอบคุณ มาก", "i love it"]) == 0
    assert "unknown" not in capfd.readouterr().err

    assert main(["predict", str(tiny_model), "ขอบคุณ มาก"]) == 0
    assert "100 % of the tokens of these texts are unknown" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["-1 is cold", "--json", "a=b", ""])
def test_any_text_can_be_given_behind_two_dashes(
    tiny_model: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(tiny_model), "--", text]) == 0
    assert capfd.readouterr().out.startswith(f"{text}\n  -> ")


def test_json_is_a_line_per_text_with_all_scores_in_class_order(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(tiny_model), "--json", TEXTS[0], "happy " * 100]) == 0

    out, err = capfd.readouterr()
    first, second = json_lines(out)
    assert list(first) == ["id", "text", "labels", "scores", "truncated"]
    assert (first["id"], first["text"], first["labels"]) == ("1", TEXTS[0], NAMES[0])
    assert list(first["scores"]) == list(LABELS)
    assert (first["truncated"], second["truncated"]) == (False, True)
    assert err == "Cut to the first 64 tokens: 1 of 2 texts.\n"


def test_csv_keeps_every_column_and_adds_ours(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.csv"
    path.write_text(
        'id,note,text\n7,"a, b",i am happy today .\n8,,"so ""afraid"", again"\n9,x\u2028y,\n',
        "utf-8",
    )

    assert main(["predict", str(tiny_model), "--input", str(path)]) == 0

    rows = table(capfd.readouterr().out)
    assert list(rows[0]) == ["id", "note", "text", *OURS]
    assert [row["id"] for row in rows] == ["7", "8", "9"]
    assert [row["note"] for row in rows] == ["a, b", "", "x\u2028y"]
    assert rows[1]["text"] == 'so "afraid", again'
    assert rows[0]["predicted_labels"] == "joy"
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in OURS[2:])
    assert {row["truncated"] for row in rows} == {"false"}


def test_a_file_is_written_whole_and_can_be_read_back(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.jsonl"
    texts = ["line\nbreak", "carriage\rreturn", 'quo"te', "  spaces ", "plain", "a\r\nb"]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    target = tmp_path / "new folder" / "out.csv"

    assert main(["predict", str(tiny_model), "--input", str(source), "--output", str(target)]) == 0

    out, err = capfd.readouterr()
    assert out == ""
    assert f"6 texts labelled in {target}." in err
    again = stream_texts(target, DataOptions(text_column="text"))
    assert [row.text for row in again.rows] == texts
    assert [path.name for path in target.parent.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(("ending", "is_said"), [("csv", True), ("tsv", True), ("xlsx", False)])
def test_cells_that_a_spreadsheet_would_compute_are_kept_and_told(
    tiny_model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    ending: str,
    is_said: bool,
) -> None:
    source, output = tmp_path / "in.csv", tmp_path / f"out.{ending}"
    source.write_text("text,number\n=1+1 happy,1\nhappy,-1\n@me sad,2\n", "utf-8")

    assert main(["predict", str(tiny_model), "--input", str(source), "--output", str(output)]) == 0

    said = capfd.readouterr().err
    assert ("2 rows of the table would be read as formulas" in said) is is_said
    texts = [row.text for row in stream_texts(str(output)).rows]
    assert texts == ["=1+1 happy", "happy", "@me sad"]


def test_jsonl_in_gives_jsonl_out_with_the_ids_kept(tiny_model: Path, tmp_path: Path) -> None:
    source, target = write_jsonl(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"

    assert main(["predict", str(tiny_model), "--input", str(source), "--output", str(target)]) == 0

    rows = json_lines(target.read_text("utf-8"))
    assert [row["id"] for row in rows] == [f"e-{number}" for number in range(48)]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["labels"] for row in rows] == NAMES


def test_a_column_that_is_called_like_ours_is_kept_too(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.csv"
    path.write_text("text,truncated\nhappy,by hand\n", "utf-8")

    assert main(["predict", str(tiny_model), "--input", str(path)]) == 0

    (row,) = table(capfd.readouterr().out)
    assert row["truncated"] == "by hand"
    assert row["truncated_"] == "false"


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"\n\none, two", ["", "", "one, two"]),
        ("na\u00efve\r\n".encode(), ["na\u00efve"]),
        (b'{"text": "one", "more": 1}\n{"text": "two"}\n', ["one", "two"]),
        (b"", []),
    ],
)
def test_standard_input_is_lines_of_text_or_of_json(
    tiny_model: Path,
    content: bytes,
    texts: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed(monkeypatch, content)

    assert main(["predict", str(tiny_model), "--input", "-", "--json"]) == 0
    assert [row["text"] for row in json_lines(capfd.readouterr().out)] == texts


def test_a_threshold_for_this_call_is_used(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for threshold, labels in (("0", list(LABELS)), ("1", [])):
        assert main(["predict", str(tiny_model), "a", "--json", "--threshold", threshold]) == 0
        assert json_lines(capfd.readouterr().out)[0]["labels"] == labels


def test_how_the_input_is_read_can_be_changed(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.csv"
    path.write_text("Tweet;text\nhappy;other\n", "utf-8")

    code = main(
        ["predict", str(tiny_model), "--input", str(path), "--json", "data.text_column=Tweet"]
    )

    assert code == 0
    assert json_lines(capfd.readouterr().out)[0]["text"] == "happy"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["MODEL"], "Nothing to label"),
        (["no", "text"], "no such folder"),
        (["MODEL", "text", "--threshold", "2"], "'threshold' is 2.0"),
        (["MODEL", "text", "--device", "gpu"], "device='gpu'"),
        (["MODEL", "--input", "no.csv"], "no.csv: There is no such file"),
        (["MODEL", "--input", "IN", "text"], "with --input, 'text' is a text"),
        (["MODEL", "--input", "IN", "data.text_column=x"], "There is no column 'x'"),
        (
            ["MODEL", "data.text_column=x"],
            "data.text_column=x' is an option for reading a file",
        ),
        (["MODEL", "text", "data.text_column=x"], "as a text, send it as a line of standard input"),
        (["MODEL", "--input", "IN", "data.x"], "with --input, 'data.x' is a text"),
        (["MODEL", "--input", "IN", "--output", "IN"], "--output is the input file"),
        (["MODEL", "--input", "IN", "--output", "HERE"], "is a folder; name a file"),
    ],
)
def test_a_wrong_command_is_explained(
    tiny_model: Path,
    tmp_path: Path,
    arguments: list[str],
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", slice(0, 2))
    before = source.read_bytes()
    places = {"MODEL": str(tiny_model), "IN": str(source), "HERE": str(tmp_path)}

    code = main(["predict", *(places.get(word, word) for word in arguments)])

    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    assert err.splitlines()[-1].startswith("multihot predict: ")
    assert words in err
    assert "Traceback" not in err
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--output", "out.txt"],
            "end it with .csv, .tsv (tab-separated), .xlsx, .jsonl or .ndjson",
        ),
        (["--output", "out"], "--output out has no known ending"),
        (["--output", "out.jsonl.gz"], "has no known ending"),
        (["--output", "out.csv", "--json"], "--output out.csv is a table: end it with .jsonl"),
        (["--output", "out.TSV", "--json"], "--output out.TSV is a table"),
    ],
)
def test_an_output_of_no_known_form_is_refused_before_the_model_is_loaded(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "no-such-model", "text", *words]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="pipes with names are those of POSIX")
def test_a_pipe_is_not_replaced_and_a_link_that_leads_nowhere_is(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", slice(0, 2))
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "circle.jsonl").symlink_to("circle.jsonl")
    command = ["predict", str(tiny_model), "--input", str(source), "--force", "--output"]

    assert main([*command, str(tmp_path / "pipe.jsonl")]) == 2
    assert "is a pipe or a device" in capfd.readouterr().err
    assert (tmp_path / "pipe.jsonl").is_fifo()
    assert main([*command, str(tmp_path / "circle.jsonl")]) == 0
    assert len((tmp_path / "circle.jsonl").read_text("utf-8").splitlines()) == 2


def test_tsv_is_separated_by_tabs_and_read_back(tiny_model: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.tsv"
    texts = ["a, b", "c\td", 'quo"te', "line\nbreak"]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")

    assert main(["predict", str(tiny_model), "--input", str(source), "--output", str(target)]) == 0

    assert target.read_text("utf-8").splitlines()[0].split("\t") == ["text", *OURS]
    again = stream_texts(target, DataOptions(quoting=True, text_column="text"))
    assert [row.text for row in again.rows] == texts


def test_lines_without_content_are_told_when_all_is_read(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,text\n1,a\n\n2,b\n", "utf-8")

    assert main(["predict", str(tiny_model), "--input", str(path), "--json"]) == 0

    out, err = capfd.readouterr()
    assert [row["id"] for row in json_lines(out)] == ["1", "2"]
    assert err.splitlines()[-1] == "1 blank lines were skipped; the first is line 3."
    assert err.count("Texts: column 'text'") == 1


def test_a_row_without_a_text_is_labelled_and_counted(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n{"text": null}\n{"id": 3}\n', "utf-8")

    assert main(["predict", str(tiny_model), "--input", str(path)]) == 0

    out, err = capfd.readouterr()
    assert [row["text"] for row in table(out)] == ["a", "", ""]
    assert "2 rows have no text; they count as empty texts." in err


def test_a_key_that_the_table_has_no_column_for_is_refused(
    tiny_model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = b'{"text": "a"}\n{"text": "b", "more": 1}\n'
    target = tmp_path / "out.csv"

    for ending in (["--output", str(target)], []):
        feed(monkeypatch, content)
        assert main(["predict", str(tiny_model), "--input", "-", *ending]) == 2
        err = capfd.readouterr().err
        assert "standard input:2, column 'more': The first line lacks this key" in err
        assert "Give every key in the first line, or use --json" in err
    assert not target.exists()

    feed(monkeypatch, content)
    assert main(["predict", str(tiny_model), "--input", "-", "--json"]) == 0


def test_an_input_that_breaks_off_is_not_blamed_on_the_output(
    tiny_model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class BreaksOff(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            line = super().readline(size)
            if not line:
                raise OSError(errno.EIO, "Input/output error")
            return line

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(BreaksOff(b"one\ntwo\n")))

    code = main(["predict", str(tiny_model), "--input", "-", "--output", str(tmp_path / "o.csv")])

    assert code == 2
    err = capfd.readouterr().err
    assert "standard input: The input cannot be read to its end: Input/output error." in err
    assert "Cannot write" not in err
    assert list(tmp_path.iterdir()) == []


def test_json_for_a_narrow_standard_output_is_still_json(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)

    assert main(["predict", str(tiny_model), "na\u00efve \U0001f600", "--json"]) == 0

    written = narrow.buffer.getvalue()  # type: ignore[attr-defined]
    assert json.loads(written)["text"] == "na\u00efve \U0001f600"


def test_a_table_for_a_narrow_standard_output_says_what_it_lost(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    feed(monkeypatch, "na\u00efve\n".encode())

    assert main(["predict", str(tiny_model), "--input", "-"]) == 0

    assert rb"na\xefve" in narrow.buffer.getvalue()  # type: ignore[attr-defined]
    assert "Standard output is ascii: characters that it lacks" in capfd.readouterr().err


def test_a_place_that_cannot_be_written_is_our_failure(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine", "utf-8")
    target = tmp_path / "file" / "out.csv"

    assert main(["predict", str(tiny_model), "a", "--output", str(target)]) == 1
    assert f"Cannot write {target}" in capfd.readouterr().err
    assert (tmp_path / "file").read_text("utf-8") == "mine"


def test_a_bad_line_keeps_the_former_output(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "a"}\n{"text": 3}\n', "utf-8")
    target.write_text("former\n", "utf-8")
    command = ["predict", str(tiny_model), "--input", str(source), "--output", str(target)]

    assert main(command) == 2
    assert f"{target} exists. Choose another --output, or add --force" in capfd.readouterr().err
    code = main([*command, "--force"])

    assert code == 2
    assert "in.jsonl:2, column 'text': The text is 3, not a text" in capfd.readouterr().err
    assert target.read_text("utf-8") == "former\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_long_work_says_how_far_it_is(
    tiny_model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multihot.cli.console._SECONDS_BETWEEN_LINES", -1.0)

    assert main(["predict", str(tiny_model), "a", "b"]) == 0
    assert "2 texts, " in capfd.readouterr().err


def test_a_reader_that_goes_away_is_no_error(
    tiny_model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as gone:
        monkeypatch.setattr(sys, "stdout", gone)

        assert main(["predict", str(tiny_model), "a"]) == 0

        gone.write("and what comes later goes nowhere")
    assert "Broken" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"id,text,labels\n1,one,joy\n2,two,\n", 1),
        (b"\n;Text\n1;one, two\n", 2),
        (b'"ID"\t"Tweet"\n"1"\t"one"\n', 1),
        (b'text,topics\n"one\ntwo, three",x\n', 1),
        (b'[{"text": "one"},\n{"text": "two"}]', 1),
        (b"[\n  {}\n]", 1),
        (b"PK\x03\x04 and so on", 1),
    ],
)
def test_a_file_on_standard_input_is_not_labelled_line_by_line(
    tiny_model: Path,
    content: bytes,
    line: int,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed(monkeypatch, content)

    assert main(["predict", str(tiny_model), "--input", "-", "--json"]) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert f"standard input:{line}: This looks like " in err
    assert "--input FILE; if the lines are texts, set data.format=lines" in err
    feed(monkeypatch, content)
    assert main(["predict", str(tiny_model), "--input", "-", "--json", "data.format=lines"]) == 0


@pytest.mark.parametrize(
    "content",
    [
        "id, text\n",
        "text, id\nAll of this, you see, is one text.\n",
        "Yes, comment below.\nNo, do not.\n",
        "Paris, London\nRome, Oslo\n",
        "[laughs] no\nso\n",
        "The review, which is long and has no full stop, the end\na, b, c\n",
    ],
)
def test_texts_with_commas_are_texts(
    tiny_model: Path,
    content: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed(monkeypatch, content.encode())

    assert main(["predict", str(tiny_model), "--input", "-", "--json"]) == 0
    texts = [row["text"] for row in json_lines(capfd.readouterr().out)]
    assert texts == content.splitlines()


def test_a_first_line_that_may_be_a_header_and_no_line_at_all_are_remarked(
    tiny_model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for content, words in ((b"Text\none\n", "The first line of"), (b"", "holds no text")):
        feed(monkeypatch, content)
        assert main(["predict", str(tiny_model), "--input", "-", "--json"]) == 0
        assert words in capfd.readouterr().err


def test_the_name_of_a_file_is_no_text_unless_it_is_said(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my notes").write_text("text\nx\n", "utf-8")

    for name in (
        "test.csv",
        "data/new.XLSX",
        "a.jsonl.gz",
        str(tmp_path / "my notes"),
        f"{tmp_path}",
    ):
        assert main(["predict", str(tiny_model), name]) == 2
        out, err = capfd.readouterr()
        assert (out, f"--input {name}" in err) == ("", True)
        assert main(["predict", str(tiny_model), "--", name]) == 0
        capfd.readouterr()
    for text in ("see test.csv", "a.b", "word " * 2000, "x" * 5000, "null\0byte"):
        assert main(["predict", str(tiny_model), text]) == 0


def predicted(model: Path, source: Path, target: Path, *more: str) -> None:
    command = ["predict", str(model), "--input", str(source), "--output", str(target), *more]
    assert main(command) == 0


def test_a_table_follows_its_input(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text;price\nhappy;1,50\nna\u00efve;2,25\n", "utf-8-sig")

    predicted(tiny_model, source, target)

    content = target.read_bytes()
    assert content.startswith("\ufefftext;price;predicted_labels;".encode())
    scores = content.decode("utf-8-sig").splitlines()[1].split(";")[4:]
    assert all(0 < float(score.replace(",", ".")) < 1 and "," in score for score in scores)
    assert "scores have a decimal comma" in capfd.readouterr().err

    source.write_text("text;price\nhappy;1.50\n", "utf-8")
    predicted(tiny_model, source, target, "--force", "--output-encoding", "utf-8-sig")
    assert target.read_bytes().startswith(b"\xef\xbb\xbftext;price;")
    assert "," not in target.read_text("utf-8")
    predicted(tiny_model, source, target, "--force", "--decimal", "comma")
    assert "," in target.read_text("utf-8")


def test_options_of_tables_are_refused_for_json(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for options in (["--decimal", "comma"], ["--output-encoding", "utf-8-sig", "--json"]):
        assert main(["predict", str(tiny_model), "a", *options]) == 2
        assert f"{options[0]} is about tables" in capfd.readouterr().err


def test_a_workbook_is_written_with_texts_as_texts(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    source, target = tmp_path / "in.jsonl", tmp_path / "out.xlsx"
    texts = ["=1+1", "#N/A", "007", "bell \a", "  spaces ", "x" * 40_000, "line\nbreak", "+1", ""]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")

    predicted(tiny_model, source, target)

    head, *rows = openpyxl.load_workbook(target).active.iter_rows()
    assert [cell.value for cell in head] == ["text", *OURS]
    assert all(row[0].data_type in ("s", "inlineStr") for row in rows[:-1])
    assert [row[0].value for row in rows] == [
        *texts[:3],
        "bell \ufffd",
        texts[4],
        "x" * 32767,
        *texts[6:8],
        None,
    ]
    assert all(row[2].value is False for row in rows)
    assert all(isinstance(row[3].value, float) for row in rows)
    err = capfd.readouterr().err
    assert "1 cells were cut to 32767 characters" in err
    assert "Control characters of 1 cells" in err
    again = stream_texts(target, DataOptions(text_column="text"))
    assert [row.text for row in again.rows][:3] == texts[:3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.xlsx"]


def test_a_workbook_that_fails_leaves_the_former_one(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    source, target = tmp_path / "in.jsonl", tmp_path / "out.xlsx"
    source.write_text('{"text": "a"}\n{"text": 3}\n', "utf-8")
    target.write_bytes(b"former")

    command = ["predict", str(tiny_model), "--input", str(source), "--output", str(target)]
    assert main([*command, "--force"]) == 2

    assert target.read_bytes() == b"former"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.xlsx"]


@pytest.mark.parametrize(
    ("names", "stored", "separator"),
    [
        (["a", "b"], None, "|"),
        (["a", "b"], ";", ";"),
        (["a", "b"], "，、；", "，"),
        (["a b", "c"], " ", "|"),
        (["a", "c"], "\n", "|"),
        (["a|b", "c"], "|", ";"),
        (["a|b;c", "d"], None, ","),
        (["a|b", "c;d", "e, f"], None, None),
    ],
)
def test_what_separates_labels_is_in_none_of_their_names(
    names: list[str], stored: str | None, separator: str | None
) -> None:
    stream = TextStream(("text",), iter(()), [])

    _, style = table_style(
        stream, names, stored_separator=stored, ending=".csv", encoding=None, decimal=None
    )

    assert style.separator == separator
    assert bool(style.notes) is (separator != "|")


def test_labels_whose_names_hold_every_separator_are_a_json_list() -> None:
    names = ["a|b", "c;d", "e, f"]
    output = io.StringIO()
    style = TableStyle(",", ".", "utf-8", None, ())
    write = prediction_writer(
        delimited_rows(output, style), ("text",), names, style, abstains=False
    )

    scores = dict.fromkeys(names, 0.75)
    write(TextRow(1, "1", "x", {"text": "x"}), Prediction(names[:2], scores, truncated=False))

    (row,) = table(output.getvalue())
    assert json.loads(row["predicted_labels"]) == names[:2]
