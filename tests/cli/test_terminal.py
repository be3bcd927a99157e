"""What people see: names and keys that are suggested, tables that fit, characters that do no harm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emotions import write_jsonl
from multihot.cli.arguments import flags_of
from multihot.cli.main import COMMANDS, main
from multihot.core.text_tables import display_width


def table(path: Path, labels: list[str], num_rows: int = 60) -> Path:
    """Write texts with two labels each, in turn."""
    rows = [
        json.dumps(
            {
                "text": f"text number {row} of {path.name}",
                "labels": [labels[row % len(labels)], labels[row * 7 % len(labels)]],
            }
        )
        for row in range(num_rows)
    ]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def eighty_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    # Sentences are broken on terminals only.
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: True)


def widest(text: str) -> int:
    """Return the width of the widest line; a path that stands alone may take more."""
    return max(display_width(line) for line in text.splitlines() if " " in line.strip())


LONG = [f"complaints/delivery/the parcel of kind {n} came late and broken" for n in range(12)]
WIDE = ["对汽车油耗的正面评价和负面评价以及没有评价的中性文本", "a" * 200]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trian", "multihot train"),
        ("Predict", "multihot predict"),
        ("fill_mask", "multihot fill-mask"),
        ("eval", "multihot evaluate"),
        ("classify", "multihot predict"),
        ("hlep", "multihot help"),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_was_meant(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([typed]) == 2
    assert capsys.readouterr().err.endswith(f"unknown command '{typed}'. Did you mean '{meant}'?\n")


def test_a_file_or_a_flag_in_place_of_the_command_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_jsonl(tmp_path / "rows.jsonl"))

    assert main([path]) == 2
    assert f"did you mean 'multihot inspect {path}'?" in capsys.readouterr().err
    assert main(["--json", "inspect", path]) == 2
    assert "multihot inspect ... --json" in capsys.readouterr().err


def test_help_and_version_are_commands_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    usage = capsys.readouterr().out
    assert all(f"  {command} " in usage for command in COMMANDS)
    assert main(["version"]) == main(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    with pytest.raises(SystemExit) as leaving:
        main(["help", "split"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith("usage: multihot split ")


def test_the_help_of_train_lists_a_dozen_options_and_says_where_all_are(
    eighty_columns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])

    page = capsys.readouterr().out
    assert "  epochs                Passes over the training set\n" in page
    assert "  data.text_column " in page
    assert "weight_decay" not in page
    assert "All of them: multihot options" in page


def test_options_are_listed_with_default_and_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "weight_decay"]) == 0
    assert "weight_decay=0.01\n    Decoupled weight decay" in capsys.readouterr().out
    assert main(["options"]) == 0
    everything = capsys.readouterr().out
    assert all(f"\n{name}=" in everything for name in ("epochs", "data.header", "objective.loss"))
    assert main(["options", "pretrain", "masking_rate"]) == 0
    assert capsys.readouterr().out.startswith("masking_rate=0.15\n")
    assert main(["options", "no such words"]) == 2


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("help", "version")])
def test_every_command_can_be_quiet(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["help", command])
    assert "--quiet" in capsys.readouterr().out


def test_quiet_leaves_results_and_errors(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = str(write_jsonl(tmp_path / "rows.jsonl"))

    assert main(["evaluate", str(tiny_model), rows, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert "micro_f1" in out
    assert err == ""
    assert main(["evaluate", str(tiny_model), "missing.csv", "--quiet"]) == 2
    assert "There is no such file" in capsys.readouterr().err
    assert main(["evaluate", str(tiny_model), rows]) == 0
    assert "Texts: " in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_completion_script_knows_commands_flags_and_keys(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0

    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert all(
        word in script
        for word in ("--unlabelled", "epochs=", "data.text_column=", "objective.loss=")
    )


def test_bash_completes_with_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    main(["completion", "bash"])
    script = tmp_path / "script"
    script.write_text(
        capsys.readouterr().out
        + 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _multihot; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )

    def completed(*words: str) -> list[str]:
        command = [bash, str(script), "multihot", *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout.split()

    assert completed("tr") == ["train"]
    assert completed("split", "--fo") == ["--folds", "--force"]
    assert completed("evaluate", "data.hea") == ["data.header="]
    (tmp_path / "epochs.csv").touch()
    assert completed("train", "epo") == ["epochs=", "epochs.csv"]
    assert completed("help", "pre") == ["predict", "pretrain"]


def test_files_and_labels_of_long_names_are_inspected_within_80_columns(
    tmp_path: Path, eighty_columns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{kind}_of_customer_support_messages_in_two_languages" for kind in "abc"]
    paths = [str(table(tmp_path / f"{name}.jsonl", LONG + WIDE)) for name in names]

    assert main(["inspect", *paths]) == 0

    out = capsys.readouterr().out
    assert widest(out) <= 80
    assert all(f"\n...kind {n} " in out for n in range(12))  # where the names differ
    assert "\n对汽车油耗...中性文本 " in out or "\n对汽车油" in out
    assert "tokens per text, 95th percentile" in out or "words per text, maximum" in out


def test_many_parts_follow_below_each_other(
    tmp_path: Path, eighty_columns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(table(tmp_path / "all.jsonl", LONG))

    assert main(["split", path, "--output", str(tmp_path / "o"), "--folds", "10"]) == 0

    out = capsys.readouterr().out
    heads = [line.split() for line in out.splitlines() if "fold-" in line and "jsonl" not in line]
    assert [word for line in heads[:2] for word in line] == [
        "all",
        *(f"fold-{number}" for number in range(1, 11)),
    ]
    assert max(display_width(line) for line in out.splitlines()[:28]) <= 80


def test_reports_of_a_model_fit_80_columns(
    tiny_model: Path, tmp_path: Path, eighty_columns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = str(write_jsonl(tmp_path / "rows.jsonl"))
    model = shutil.copytree(tiny_model, tmp_path / "m")

    for arguments in (
        ["evaluate", str(model), rows],
        ["compare", str(model), str(model), rows],
        ["decide", str(model), rows, "--goal", "macro_f1", "--thresholds", "per_label"],
        ["inspect", str(model)],
    ):
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert widest(out) <= 80


def test_of_many_labels_the_first_and_last_are_shown_unless_all_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [f"label{number:04d}" for number in range(300)]
    path = str(table(tmp_path / "all.jsonl", labels, 900))
    arguments = ["split", path, "--force", "--output", str(tmp_path / "o")]

    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "Labels: the first 40 and the last 20 of 300; --all-labels or --json" in out
    assert len(out.splitlines()) < 90
    assert main([*arguments, "--all-labels"]) == 0
    assert all(f"\n{label} " in capsys.readouterr().out for label in labels[:1])
    assert main(["inspect", path, "--all-labels"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{label} " in out for label in labels)


def test_names_that_a_terminal_would_obey_are_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(table(tmp_path / "a\u202eb.jsonl", ["joy", "\u202eevil", "zero\u200bwidth"]))

    assert main(["inspect", path]) == 0
    out = capsys.readouterr().out
    assert "\n\\u202eevil " in out
    assert "zero\\u200bwidth" in out
    assert not {"\u202e", "\u200b"} & set(out)
    assert main(["inspect", path, "--json"]) == 0
    assert "\u202eevil" in json.loads(capsys.readouterr().out)["files"][0]["labels"]
    assert main(["inspect", path + "\x1b[2J"]) == 2
    err = capsys.readouterr().err
    assert "\\x1b[2J: There is no such file" in err
    assert "\x1b" not in err


def test_the_highest_scores_are_chosen_with_top(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = ["predict", str(tiny_model)]

    assert main([*predict, "so happy", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert main([*predict, "so happy", "--json", "--top", "2"]) == 0
    highest = json.loads(capsys.readouterr().out)["scores"]
    assert list(highest.items()) == sorted(scores.items(), key=lambda pair: -pair[1])[:2]
    assert main([*predict, "so happy\x1b[2J", "--top", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("so happy\\x1b[2J\n")
    assert f"  highest: {next(iter(highest))} " in out
    assert main([*predict, "so happy", "--top", "0"]) == 2
    assert main([*predict, "so happy", "--top", "1", "--output", str(tmp_path / "o.csv")]) == 2
    assert "add --json" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_every_character_is_written_to(tmp_path: Path, encoding: str) -> None:
    path = table(tmp_path / "all.jsonl", ["正面", "joy\u202e", "Freude \U0001f600", "größer"])
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LANG": "C"}

    for arguments in (["inspect", str(path)], ["help"], ["inspect", "正面.csv"]):
        ended = subprocess.run(
            [sys.executable, "-m", "multihot", *arguments],
            capture_output=True,
            check=False,
            env=environment,
        )
        assert b"Error" not in ended.stderr
        assert ended.returncode == (2 if "正面.csv" in arguments else 0)


def test_a_closed_pipe_ends_quietly() -> None:
    for arguments in (["options"], ["train", "--help"]):
        process = subprocess.Popen(
            [sys.executable, "-c", _LATE, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == 0


_LATE = "import sys, time; time.sleep(0.3); from multihot.cli.main import main; sys.exit(main())"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_full_disk_behind_standard_output_is_said() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "multihot", "options"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"multihot options: standard output cannot be written: ")


def test_flags_are_those_of_the_parser() -> None:
    from multihot.cli.split import build_parser

    assert {"--folds", "--quiet", "--all-labels", "-h"} <= set(flags_of(build_parser()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "ROWS", "label_delimiter=|"], "Did you mean 'data.label_delimiter'?"),
        (["train", "ROWS", "epoch=3"], "Did you mean 'epochs'?"),
        (["train", "ROWS", "text_colum=a"], "Did you mean 'data.text_column'?"),
        (["evaluate", "ROWS", "MODEL"], "give the model first"),
        (["decide", "MODEL", "ROWS", "textcolumn=a"], "Did you mean 'data.text_column'?"),
    ],
)
def test_a_mistyped_key_or_a_wrong_order_is_explained(
    arguments: list[str],
    message: str,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"ROWS": str(write_jsonl(tmp_path / "rows.jsonl")), "MODEL": str(tiny_model)}

    assert main([places.get(word, word) for word in arguments]) == 2
    assert message in capsys.readouterr().err
