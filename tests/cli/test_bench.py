"""`multihot bench`: what it measures, not how fast this machine is."""

from __future__ import annotations

import json
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from multihot.cli.main import main
from multihot.cli.serve import build_parser
from multihot.core.processors import usable_processors

SCHEMA = json.loads((files("multihot") / "schemas" / "bench.schema.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def report(exported_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is printed for a file of three texts."""
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    texts = ("i am happy", "i am so sad about it", "all my fear")
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    output = path.with_suffix(".json")
    command = ["bench", str(exported_model), str(path), "--seconds", "1", "--json", "--quiet"]
    with pytest.MonkeyPatch.context() as patch, output.open("w") as handle:
        patch.setattr("sys.stdout", handle)
        assert main(command) == 0
    found: dict[str, Any] = json.loads(output.read_text())
    return found


@pytest.mark.slow
def test_the_json_is_as_its_schema_says_and_knows_its_texts(report: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(report, SCHEMA)

    assert report["texts"] == {
        "source": "texts.jsonl",
        "count": 3,
        "mean_tokens": pytest.approx((5 + 8 + 5) / 3, abs=1),
        "longest_tokens": pytest.approx(8, abs=1),
        "truncated": 0,
    }


@pytest.mark.slow
def test_every_number_of_threads_has_a_process_of_its_own(report: dict[str, Any]) -> None:
    threads = [each["threads"] for each in report["processes"]]

    assert threads[0] == 1
    assert threads[-1] == usable_processors()
    assert {each["threads"] for each in report["batches"]} == set(threads)
    assert 1 in {each["batch_size"] for each in report["batches"]} <= {1, 8, 32, 128}


@pytest.mark.slow
def test_every_planned_request_is_answered_refused_or_late(report: dict[str, Any]) -> None:
    for level in report["loads"]:
        ends = level["num_answered"] + level["num_refused"] + level["num_late"]
        assert level["num_planned"] == ends
    assert [level["percent"] for level in report["loads"]] == [50, 80, 100, 200]


@pytest.mark.slow
def test_the_recommended_command_is_one_that_serve_understands(report: dict[str, Any]) -> None:
    best = report["recommended"]
    threads, program, command, *words = shlex.split(best["command"])
    given = build_parser().parse_args(words)

    assert (threads, program, command) == (
        f"OMP_NUM_THREADS={best['threads']}",
        "multihot",
        "serve",
    )
    assert given.workers == best["workers"]
    assert given.pass_tokens == best["pass_tokens"]
    assert given.max_queue_tokens == best["max_queue_tokens"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--seconds", "0"], "seconds is 0"),
        (["--seconds", "nan"], "seconds is nan"),
        (["missing.csv"], "missing.csv"),
        (["--backend", "torch"], "backend is torch"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(
    words: list[str], reason: str, exported_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(exported_model), "--quiet", *words]) == 2

    error = capfd.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
