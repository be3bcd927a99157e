"""What a terminal would obey or hide is escaped wherever text from files is shown."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from emotions import TEXTS, write_jsonl
from multihot.cli.main import main
from multihot.core.files import read_json, write_json, write_text
from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.core.progress_line import ProgressLine
from multihot.core.recipes import build_options
from multihot.errors import DataError, MultihotError, OptionError, escaped
from multihot.inference.artifact import load_artifact

HIDDEN = "a\u202eb\x1b[2Jc\x9bd\u2028e"
SHOWN = r"a\u202eb\x1b[2Jc\x9bd\u2028e"
FOREIGN = os.fsdecode(b"caf\xe9.jsonl")


def test_an_error_holds_nothing_that_a_terminal_obeys_and_has_a_stated_length() -> None:
    error = DataError(f"{HIDDEN}\nnext line", path=f"{HIDDEN}.csv", line=3, column=HIDDEN)

    assert str(error) == f"{SHOWN}.csv:3, column '{SHOWN}': {SHOWN}\nnext line"
    assert error.column == HIDDEN
    long = str(MultihotError("x" * 10**6 + " What to do."))
    assert len(long) < 4100
    assert long.endswith("x What to do.")
    assert " ... " in long


def test_an_escaped_document_means_the_same() -> None:
    content = {HIDDEN: ["tab\t", "half \ud800", "emoji \U0001f600 \u200d"]}

    text = escaped(json.dumps(content, ensure_ascii=False, indent=1), json=True)

    assert json.loads(text) == content
    assert not set("\u202e\x1b\x9b\u2028\ud800") & set(text)
    assert "\U0001f600 \u200d" in text


def test_json_and_plain_lines_for_a_terminal_or_pipe_hide_nothing(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--json"]):
        assert main(["predict", str(tiny_model), HIDDEN, *more]) == 0
        out = capsys.readouterr().out
        assert not set("\u202e\x1b\x9b\u2028") & set(out)
    assert json.loads(out)["text"] == HIDDEN


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_is_escaped_on_a_terminal_and_unchanged_in_a_file(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.csv").write_text(f"text\n{HIDDEN}\n", "utf-8")
    predict = ["predict", str(tiny_model), "--input", str(tmp_path / "in.csv")]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)

    assert main(predict) == 0
    assert main([*predict, "--output", str(tmp_path / "out.csv")]) == 0

    assert SHOWN in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()
    assert HIDDEN in (tmp_path / "out.csv").read_text("utf-8")


def test_progress_of_a_fit_escapes_messages_and_passes_them_on_unchanged() -> None:
    heard: list[str] = []

    class Ears(Listener):
        def say(self, message: str) -> None:
            heard.append(message)

    stream = io.StringIO()
    ProgressLine(stream, Ears()).say(HIDDEN)

    assert stream.getvalue() == f"{SHOWN}\n"
    assert heard == [HIDDEN]


def test_an_endless_line_for_people_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no-such-file-" + "x/" * 9000]) == 2

    assert len(capsys.readouterr().err) < 5100


def test_what_utf_8_cannot_hold_is_written_as_the_text_of_its_code(tmp_path: Path) -> None:
    write_text(tmp_path / "a.md", FOREIGN)
    write_json(tmp_path / "a.json", {"source": FOREIGN})

    assert (tmp_path / "a.md").read_text("utf-8") == r"caf\udce9.jsonl"
    assert read_json(tmp_path / "a.json") == {"source": r"caf\udce9.jsonl"}
    with pytest.raises(OptionError, match=r"encoder=caf\\udce9.jsonl: this name is not UTF-8"):
        build_options(TrainOptions, {"encoder": FOREIGN})


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are Unicode")
def test_a_file_whose_name_is_in_another_encoding_is_read_and_named(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, rows = tmp_path / FOREIGN.removesuffix(".jsonl"), tmp_path / FOREIGN
    shutil.copytree(tiny_model, model)
    write_jsonl(rows)

    assert main(["decide", str(model), str(rows), "--goal", "micro_f1"]) == 0
    assert main(["inspect", str(model)]) == 0
    assert r"caf\udce9.jsonl" in capsys.readouterr().out
    assert main(["predict", str(model), TEXTS[0]]) == 0
    assert load_artifact(model).decision.fitted_on.source == r"caf\udce9.jsonl"


def test_a_line_break_in_the_name_of_a_column_begins_no_line_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = "c\nmultihot: all is well"
    head = f'text,labels,"{forged}"\n'
    rows = "".join(f"text number {n},{'a|b' if n % 2 else 'b'},{n}.5\n" for n in range(60))
    (tmp_path / "all.csv").write_text(head + rows, "utf-8")
    split = ["split", str(tmp_path / "all.csv"), "--output", str(tmp_path / "o"), "--force"]

    for more in ([], [f"data.text_column={forged}"]):
        main([*split, *more])
        printed = capsys.readouterr()
        assert "all is well" in printed.err
        assert not any(line.startswith("multihot: ") for line in printed.err.splitlines())
        assert not any(line.startswith("multihot: ") for line in printed.out.splitlines())
