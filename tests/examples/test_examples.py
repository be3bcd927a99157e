"""Each example is a folder of one pattern, runs from a fresh folder, and gives what it promises."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from examples.scripts import EXAMPLES, ROOT, script

NAMES = ("chinese-opinions", "emotions", "mini-bert", "serve", "tickets")


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_the_folders_are_of_one_pattern() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("*/run.sh")}
    assert folders == set(NAMES)

    for name in NAMES:
        folder = EXAMPLES / name
        tomllib.loads((folder / "recipe.toml").read_text("utf-8"))
        readme = (folder / "README.md").read_text("utf-8")
        assert f"sh examples/{name}/run.sh" in readme
        assert f"({name}/README.md)" in (EXAMPLES / "README.md").read_text("utf-8")
        figures = json.loads((folder / "expected.json").read_text("utf-8"))["figures"]
        assert figures
        for figure in figures:
            assert figure["low"] <= figure["value"] <= figure["high"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_what_it_promises(name: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT / "src"),
        "PORT": str(_free_port()),
        "SECONDS_OF_BENCH": "1",
    }

    done = subprocess.run(
        ["sh", EXAMPLES / name / "run.sh"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    lines, is_as_expected = script("check.py").check(EXAMPLES / name, tmp_path / "runs" / name)
    assert is_as_expected, lines


def test_a_figure_outside_its_interval_is_not_as_expected(tmp_path: Path) -> None:
    figure = {"name": "f1", "file": "result.json", "keys": ["a", "b"], "value": 0.8}
    expected = {"figures": [{**figure, "low": 0.7, "high": 0.9}]}
    (tmp_path / "expected.json").write_text(json.dumps(expected), "utf-8")
    check = script("check.py").check

    verdicts = []
    for value in (0.7, 0.69):
        (tmp_path / "result.json").write_text(json.dumps({"a": {"b": value}}), "utf-8")
        verdicts.append(check(tmp_path, tmp_path)[1])

    assert verdicts == [True, False]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_the_tickets_are_the_same_each_time_and_are_read_without_options(
    ending: str, tmp_path: Path
) -> None:
    from multihot.data.labelled_file import read_examples

    made = script("tickets/make_data.py")
    assert made.tickets(40, 0) == made.tickets(40, 0) != made.tickets(40, 1)
    file = tmp_path / f"tickets.{ending}"
    made.main([str(file), "--rows", "40"])

    examples = read_examples(file)

    assert examples.labels is not None
    assert len(examples.texts) == 40
    assert set(examples.labels.space.names) == set(made.SENTENCES)


def test_the_chinese_opinions_are_read_without_options(tmp_path: Path) -> None:
    from multihot.data.labelled_file import read_examples

    made = script("chinese-opinions/make_data.py")
    made.main([str(tmp_path / "opinions.csv"), "--rows", "60"])

    examples = read_examples(tmp_path / "opinions.csv")

    assert examples.labels is not None
    assert len(set(examples.texts)) == 60
    assert set(examples.labels.space.names) == set(made.CLAUSES)
