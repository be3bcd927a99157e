"""Contenders are processes that are loaded once and work when told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Contender, run_rounds
from tables import section

_STUB = """
from contenders.gate import Gate, read_rows
gate = Gate()
texts, labels = read_rows(gate.setting)
print("a library's noise")
gate.open()
for step in range(100):
    gate.saw(2, 10)
    gate.tick()
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contender:
    """A training loop of batches of two texts with ten tokens."""
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "labels": ["x"]}\n', "utf-8")
    package = tmp_path / "contenders"
    package.mkdir()
    (package / "__init__.py").touch()
    gate = Path(__file__).parents[2] / "benchmarks" / "contenders" / "gate.py"
    (package / "gate.py").write_bytes(gate.read_bytes())
    (package / "stub.py").write_text(_STUB, "utf-8")
    (package / "broken.py").write_text("raise SystemExit('no such library')", "utf-8")
    monkeypatch.setattr("harness._FOLDER", tmp_path)
    setting = {"rows": str(tmp_path / "rows.jsonl"), "labels": ["x"]}
    return Contender("stub", "stub", setting)


def test_a_slice_ends_after_the_step_that_completes_it(stub: Contender) -> None:
    said: list[str] = []
    requests = {"stub": [("stub", lambda number: {"texts": 3 if number else 1})]}

    measured = run_rounds([stub], requests, rounds=2, threads=1, say=said.append)

    assert [(one.texts, one.tokens) for one in measured["stub"]] == [(4, 20), (4, 20)]
    assert all(one.seconds > 0 for one in measured["stub"])
    assert said[0] == "loading stub"
    assert [line.partition(":")[0] for line in said[1:4]] == [
        "warm-up",
        "round 1 of 2",
        "round 2 of 2",
    ]


def test_a_contender_that_cannot_start_says_why(stub: Contender) -> None:
    broken = Contender("a rival", "broken", {})

    with pytest.raises(SystemExit, match="a rival ended before it answered:\nno such library"):
        run_rounds([broken], {}, rounds=1, threads=1, say=lambda message: None)


def test_a_table_of_speeds_shows_ratios_with_their_spread() -> None:
    row = {
        "contender": "ours",
        "batch_size": "8",
        "precision": "bf16",
        "texts_per_second": "60",
        "times_tutorial": "6",
        "times_tutorial_least": "5",
        "times_tutorial_quartiles": "5.5 to 6.5",
        "share_of_bf16_roof": "0.412",
        "command": "python x",
        "commit": "abc",
        "hardware": "2 x y",
    }

    page = section("finetune_202601.csv", [row])

    assert "| ours | batch 8, bf16 | 60 | 6 (5.5 to 6.5; least 5) | 41 % |" in page
    assert "- `python x` at abc on 2 x y" in page
