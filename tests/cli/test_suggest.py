from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from emotions import LABELS, TEXTS, write_jsonl
from multihot.cli.main import main
from multihot.core.text_tables import counted
from multihot.data.labelled_file import read_examples
from multihot.data.text_stream import stream_texts

HOSTILE = [
    "=1+1 happy",
    "'=1+1 sad",
    "@me happy",
    "-1 for joy",
    "so\x1b[2J happy",
    "<script> in love",
    "afraid\u202e of it",
]


@pytest.fixture
def texts(tmp_path: Path) -> str:
    path = tmp_path / "texts.jsonl"
    lines = (json.dumps({"id": f"t{n}", "text": text}) for n, text in enumerate([*TEXTS, *HOSTILE]))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def raw_rows(path: Path) -> list[tuple[int, list[str]]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(enumerate(csv.reader(handle, delimiter="\t" if path.suffix == ".tsv" else ",")))


@pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx", "jsonl"])
def test_the_written_file_trains_once_it_is_labelled_and_says_nothing_before(
    tiny_model: Path, texts: str, tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / f"label.{ending}"
    command = ["suggest", str(tiny_model), texts, "--count", "60", "--output", str(output)]

    assert main(command) == 0
    found = read_examples(output)

    assert found.labels is not None
    assert found.labels.space.names == LABELS
    assert np.isnan(found.labels.values).all()
    written = {*TEXTS, *HOSTILE}
    if ending == "xlsx":  # whose XML has no escape character
        written = {text.replace("\x1b", "\ufffd") for text in written}
    said = capfd.readouterr().err
    if ending in ("csv", "tsv"):
        formulas = {text for text in written if text.lstrip("'")[0] in "=+-@"}
        assert f"{counted(len(formulas), 'row')} would be read as formulas" in said
        cells = {cell for _, cells in raw_rows(output) for cell in cells}
        assert {f"'{text}" for text in formulas} < cells
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")]
    assert set(found.texts) == written
    assert [row.text for row in stream_texts(str(output)).rows] == list(found.texts)
    assert "55 texts to label in" in said


def test_a_label_called_like_a_column_of_the_model_keeps_its_column(
    texts: str, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("truncated\nscore_truncated\n", "utf-8")
    output = tmp_path / "label.csv"
    command = ["suggest", "--labels", str(tmp_path / "names.txt"), texts, "--count", "2"]

    assert main([*command, "--output", str(output)]) == 0

    heads = output.read_text("utf-8").splitlines()[0].split(",")
    assert heads[2:4] == ["truncated", "score_truncated"]
    assert len(set(heads)) == len(heads)


def test_a_label_that_is_a_formula_is_for_workbooks_and_json(
    texts: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_text("joy\n=1+1\n", "utf-8")
    command = ["suggest", "--labels", str(tmp_path / "names.txt"), texts, "--count", "2"]

    assert main([*command, "--output", str(tmp_path / "label.csv")]) == 2
    assert "the label '=1+1' as a formula" in capfd.readouterr().err
    assert not (tmp_path / "label.csv").exists()
    assert main([*command, "--output", str(tmp_path / "label.xlsx")]) == 0


def test_cells_that_are_filled_are_labels_and_the_others_stay_unknown(
    tiny_model: Path, texts: str, tmp_path: Path
) -> None:
    output = tmp_path / "label.csv"
    assert main(["suggest", str(tiny_model), texts, "--count", "5", "--output", str(output)]) == 0
    with output.open(newline="", encoding="utf-8") as handle:
        table = list(csv.reader(handle))
    table[1][2:5] = ["1", "0", ""]
    with output.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows(table)

    found = read_examples(output)

    assert found.labels is not None
    np.testing.assert_array_equal(found.labels.values[0], [1, 0, np.nan])
    assert np.isnan(found.labels.values[1:]).all()


def test_json_says_why_and_leaves_out_what_is_labelled(
    tiny_model: Path, texts: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = str(write_jsonl(tmp_path / "train.jsonl", slice(0, 40)))

    code = main(["suggest", str(tiny_model), texts, "--count", "20", "--labelled", train, "--json"])

    out, err = capfd.readouterr()
    found = json.loads(out)
    assert code == 0
    assert found["texts"] == len(TEXTS) + len(HOSTILE)
    assert {row["text"] for row in found["rows"]} == {*TEXTS[40:], *HOSTILE}
    assert all(set(row["scores"]) == set(LABELS) for row in found["rows"])
    assert "40 texts labelled already" in err
    assert "only 15 texts" in err


def test_names_of_labels_are_enough_and_a_label_called_text_is_no_column_of_texts(
    tiny_encoder: Path, texts: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names, output = tmp_path / "names.txt", tmp_path / "label.csv"
    names.write_text("joy\ntext\n", "utf-8")
    command = ["suggest", "--labels", str(names), texts, "--count", "3", "--output", str(output)]

    assert main([*command, "--encoder", str(tiny_encoder), "--device", "cpu"]) == 0

    assert "data.text_column=text_" in capfd.readouterr().err
    head = output.read_text("utf-8").splitlines()[0]
    assert head.startswith("id,text_,joy,text,predicted_labels,")


def test_what_a_terminal_would_obey_is_escaped_in_the_list(
    tiny_model: Path, texts: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["suggest", str(tiny_model), texts, "--count", "60"]) == 0

    out = capfd.readouterr().out
    assert r"so\x1b[2J happy" in out
    assert not {"\x1b", "\u202e"} & set(out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["TEXTS"], "1 argument given; expected a model folder and a file of texts"),
        (["MODEL", "TEXTS", "--labels", "names.txt"], "expected a file of texts"),
        (["MODEL", "no.csv"], "no.csv: There is no such file"),
        (["MODEL", "TEXTS", "--count", "0"], "count is 0"),
        (["MODEL", "TEXTS", "--diversity", "2"], "diversity is 2"),
        (["MODEL", "TEXTS", "--output", "a.pdf"], "no known ending"),
        (["MODEL", "TEXTS", "--output", "TEXTS"], "exists"),
        (["MODEL", "TEXTS", "--descriptions", "a.json"], "--descriptions is for --labels"),
        (["--labels", "no.txt", "TEXTS"], "no.txt: There is no such file of label names"),
    ],
)
def test_a_wrong_command_is_explained(
    tiny_model: Path,
    texts: str,
    arguments: list[str],
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    places = {"MODEL": str(tiny_model), "TEXTS": texts}

    assert main(["suggest", *(places.get(word, word) for word in arguments)]) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
