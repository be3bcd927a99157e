from __future__ import annotations

import importlib
import io
import runpy
import sys
from importlib.metadata import version

import pytest

from multihot.cli.main import main
from multihot.errors import InterruptedRunError, StorageError

COMMANDS = ("train", "evaluate", "predict", "inspect", "fill-mask", "next-sentence", "demo")


def test_help_lists_the_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["-h"]):
        assert main(arguments) == 0

        out, err = capsys.readouterr()
        assert all(f"  {command} " in out for command in COMMANDS)
        assert "Exit codes: 0 success, 1 multihot failed, 2 invalid command" in out
        assert err == ""


def test_without_a_command_the_usage_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: multihot COMMAND ...")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"multihot {version('multihot')}\n", "")


@pytest.mark.parametrize("name", ["frobnicate", "main", "--train", "Train", ""])
def test_an_unknown_command_is_named_with_the_known_ones(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert f"unknown command '{name}'" in err
    assert "  train " in err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])

    assert leaving.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: multihot {command} ")
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_an_unknown_flag(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([command, "a", "b", "--nonsense"])

    assert leaving.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"usage: multihot {command} ")
    assert "--nonsense" in err


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["train"], "TRAIN"),
        (["evaluate"], "MODEL, FILE"),
        (["evaluate", "m"], "FILE"),
        (["predict"], "MODEL"),
        (["inspect"], "FILE|MODEL"),
        (["fill-mask"], "MODEL"),
        (["next-sentence"], "MODEL"),
    ],
)
def test_only_what_is_missing_is_asked_for(
    arguments: list[str], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)

    assert leaving.value.code == 2
    assert f"the following arguments are required: {missing}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InterruptedRunError("stopped; resume"), 130, "multihot inspect: stopped; resume\n"),
        (StorageError("the disk is full"), 1, "multihot inspect: the disk is full\n"),
        (KeyboardInterrupt(), 130, "multihot inspect: interrupted.\n"),
        (
            ZeroDivisionError("division by zero"),
            1,
            "multihot inspect: internal error: ZeroDivisionError: division by zero\n"
            "Run again with MULTIHOT_TRACEBACK=1 to see the traceback, and please report it.\n",
        ),
    ],
)
def test_every_failure_has_its_exit_code_and_a_message(
    error: BaseException,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(importlib.import_module("multihot.cli.inspect"), "run", run)

    assert main(["inspect", "a"]) == code
    assert capsys.readouterr() == ("", message)


def test_the_traceback_of_an_internal_error_is_shown_on_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(arguments: list[str]) -> int:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(importlib.import_module("multihot.cli.inspect"), "run", run)
    monkeypatch.setenv("MULTIHOT_TRACEBACK", "1")

    with pytest.raises(ZeroDivisionError, match=r"ours"):
        main(["inspect", "a"])


def test_characters_that_the_terminal_cannot_encode_are_escaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", stream)

    assert main(["inspect", "caf\u00e9.csv"]) == 2

    written = stream.buffer.getvalue()  # type: ignore[attr-defined]
    assert written.startswith(rb"multihot inspect: caf\xe9.csv: ")


def test_output_without_an_encoding_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)

    assert main(["--version"]) == 0
    assert out.getvalue() == f"multihot {version('multihot')}\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            ["train", "f.csv", "--epochs", "3"],
            "options are written key=value, for example epochs=3",
        ),
        (["train", "f.csv", "--max-length=64"], "written key=value, for example max_length=64"),
        (["train", "f.csv", "--text-column", "x"], "for example data.text_column=x"),
        (["train", "f.csv", "--data.header", "--resume"], "for example data.header=..."),
        (["train", "f.csv", "--ouput", "x"], "; did you mean --output?"),
        (["evaluate", "m", "f", "--jsn"], "; did you mean --json?"),
        (["train", "f.csv", "--max-lenght", "64"], "for example max_length=64"),
        (["evaluate", "m", "f", "--delimiter", ";"], "for example data.delimiter=;"),
        (["predict", "m", "--input", "f", "--sheet", "2"], "for example data.sheet=2"),
        (["inspect", "f.csv", "--header=false"], "for example data.header=false"),
        (["inspect", "f.csv", "--epochs", "3"], ""),
        (["demo", "--sheet", "2"], ""),
        (["train", "f.csv", "-x"], ""),
    ],
)
def test_an_option_given_as_a_flag_is_answered_with_its_key_value_form(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)

    assert leaving.value.code == 2
    err = capsys.readouterr().err.rstrip("\n")
    assert "unrecognized arguments: -" in err
    assert err.endswith(hint)
    is_hinted = any(words in err.splitlines()[-1] for words in ("key=value", "did you mean"))
    assert is_hinted == bool(hint)


def test_it_is_also_a_module_that_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["multihot", "--version"])
    monkeypatch.delitem(sys.modules, "multihot.__main__", raising=False)

    with pytest.raises(SystemExit) as leaving:
        runpy.run_module("multihot", run_name="__main__")

    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"multihot {version('multihot')}\n"
