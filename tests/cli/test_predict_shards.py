from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from emotions import LABELS, TEXTS, write_jsonl
from multihot.cli.main import main
from multihot.core.block_output import BlockOutput, record_path
from multihot.data.readers.excel import read_workbook

WINDOW = 4


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multihot.inference.predictor.WINDOW_ROWS", WINDOW)


@pytest.fixture
def label(tiny_model: Path, tmp_path: Path) -> Callable[..., int]:
    """Run `multihot predict` over the sentences."""
    source = write_jsonl(tmp_path / "in.jsonl")

    def run(output: str, *more: str, model: Path = tiny_model, source: Path = source) -> int:
        target = str(tmp_path / output)
        return main(["predict", str(model), "--input", str(source), "--output", target, *more])

    return run


def stopped(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Let the block of that number not be written any more, as if the process was stopped."""
    commit = BlockOutput.commit

    def stopping(self: BlockOutput, num_rows: int, *, num_truncated: int = 0) -> None:
        if self.record.done_rows == block * WINDOW:
            raise KeyboardInterrupt
        commit(self, num_rows, num_truncated=num_truncated)

    monkeypatch.setattr(BlockOutput, "commit", stopping)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_shards_joined_are_what_one_run_writes(
    label: Callable[..., int], tmp_path: Path, ending: str, count: int
) -> None:
    assert label(f"plain.{ending}") == 0
    for number in range(1, count + 1):
        assert label(f"out.{ending}", "--shard", f"{number}/{count}") == 0

    joined = tmp_path / f"out.{ending}"
    assert main(["predict", "--join", str(joined)]) == 0
    plain = (tmp_path / f"plain.{ending}").read_text("utf-8")
    if count < 7:
        assert joined.read_text("utf-8") == plain
    else:  # less than four windows each, whose scores may differ in the last digit
        lines = joined.read_text("utf-8").splitlines()
        assert [line[:20] for line in lines] == [line[:20] for line in plain.splitlines()]


def test_shards_of_a_workbook_are_joined_to_one(label: Callable[..., int], tmp_path: Path) -> None:
    assert label("plain.xlsx") == 0
    for number in (1, 2):
        assert label("out.xlsx", "--shard", f"{number}/2") == 0
    assert main(["predict", "--join", str(tmp_path / "out.xlsx")]) == 0

    plain, joined = (
        list(read_workbook(tmp_path / name).rows) for name in ("plain.xlsx", "out.xlsx")
    )
    assert joined == plain


@pytest.mark.parametrize("output", ["out.csv", "out.jsonl", "out.xlsx"])
@pytest.mark.parametrize("shard", [(), ("--shard", "2/2")])
def test_an_interrupted_run_continues_behind_what_is_done(
    label: Callable[..., int],
    tmp_path: Path,
    output: str,
    shard: tuple[str, ...],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert label(f"plain-{output}", "--resume", *shard) == 0
    with pytest.MonkeyPatch.context() as patch:
        stopped(patch, 3)
        assert label(output, "--resume", *shard) == 130
    assert "12 of" in capfd.readouterr().err
    stem, suffix = output.split(".")
    written = f"{stem}-2-of-2.{suffix}" if shard else output
    assert not (tmp_path / written).exists()

    assert label(output, *shard) == 2
    assert label(output, "--resume", *shard) == 0
    assert "12 of" in capfd.readouterr().err
    expected = tmp_path / f"plain-{written}"
    if suffix == "xlsx":
        plain, continued = (
            list(read_workbook(path).rows) for path in (expected, tmp_path / written)
        )
        assert continued == plain
    else:
        assert (tmp_path / written).read_bytes() == expected.read_bytes()
    assert label(output, "--resume", *shard) == 0
    assert "complete" in capfd.readouterr().err


def test_a_shard_of_another_model_input_or_number_is_refused_and_nothing_written(
    label: Callable[..., int], tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert label("out.csv", "--shard", "1/3") == 0
    other = shutil.copytree(tiny_model, tmp_path / "other")
    content = json.loads((other / "thresholds.json").read_text("utf-8"))
    content["thresholds"] = dict.fromkeys(LABELS, 0.25)
    (other / "thresholds.json").write_text(json.dumps(content), "utf-8")
    fewer = write_jsonl(tmp_path / "fewer.jsonl", slice(0, 40))
    before = {path.name for path in tmp_path.iterdir()}
    capfd.readouterr()

    for more, kept, said in [
        (("--shard", "2/3"), {"model": other}, "the model folder"),
        (("--shard", "2/3"), {"source": fewer}, "the number of rows is 48 there and 40 here"),
        (("--shard", "2/4"), {}, "the number of shards is 3 there and 4 here"),
        (("--shard", "2/3", "--threshold", "0.3"), {}, "--threshold"),
        (("--shard", "4/3"), {}, "numbered 1 to 3"),
        (("--shard", "0/3"), {}, "numbered 1 to 3"),
    ]:
        assert label("out.csv", *more, **kept) == 2
        assert said in capfd.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == before


def test_an_incomplete_set_of_shards_is_not_joined(
    label: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.csv"
    assert main(["predict", "--join", str(output)]) == 2
    assert "no shards" in capfd.readouterr().err
    assert label("out.csv", "--shard", "1/4") == 0
    with pytest.MonkeyPatch.context() as patch:
        stopped(patch, 1)
        assert label("out.csv", "--shard", "3/4") == 130
    capfd.readouterr()

    assert main(["predict", "--join", str(output)]) == 2
    assert "missing: 2, 4; unfinished: 3 (4 of 12 rows)" in capfd.readouterr().err
    assert not output.exists()


def test_a_shard_that_was_changed_is_not_joined(
    label: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.csv"
    for number in (1, 2):
        assert label("out.csv", "--shard", f"{number}/2") == 0
    part = tmp_path / "out-2-of-2.csv"
    part.write_text(part.read_text("utf-8").replace("happy", "sad"), "utf-8")
    capfd.readouterr()

    assert main(["predict", "--join", str(output)]) == 2
    assert "out-2-of-2.csv: This shard was changed" in capfd.readouterr().err
    assert not output.exists()


def test_the_shard_that_is_unlike_the_others_is_named(
    label: Callable[..., int], tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    content = json.loads((other / "thresholds.json").read_text("utf-8"))
    content["thresholds"] = dict.fromkeys(LABELS, 0.25)
    (other / "thresholds.json").write_text(json.dumps(content), "utf-8")
    for number, model in ((1, tiny_model), (2, other), (3, tiny_model)):
        assert label("out.csv", "--shard", f"{number}/3", "--force", model=model) == 0
    capfd.readouterr()

    assert main(["predict", "--join", str(tmp_path / "out.csv")]) == 2
    said = capfd.readouterr().err
    assert "out-2-of-3.csv was made differently from other shards: the model folder is" in said
    assert f"in {tmp_path / 'out-1-of-3.csv'}. Write the one that is wrong again" in said

    assert label("out.csv", "--shard", "2/3", "--force") == 0
    assert main(["predict", "--join", str(tmp_path / "out.csv")]) == 0


def test_a_damaged_model_leaves_nothing(
    label: Callable[..., int], tiny_model: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(tiny_model, tmp_path / "damaged")
    (damaged / "head.safetensors").write_bytes(b"nothing")
    before = set(tmp_path.iterdir())

    assert label("out.csv", "--shard", "1/2", model=damaged) == 2
    assert set(tmp_path.iterdir()) == before


def test_shards_without_a_row_are_complete(label: Callable[..., int], tmp_path: Path) -> None:
    few = write_jsonl(tmp_path / "few.jsonl", slice(0, 1))
    for number in (1, 2, 3):
        assert label("out.csv", "--shard", f"{number}/3", source=few) == 0
        assert record_path(tmp_path / f"out-{number}-of-3.csv").exists()
    assert main(["predict", "--join", str(tmp_path / "out.csv")]) == 0

    assert (tmp_path / "out.csv").read_text("utf-8").count("\n") == 2
    assert TEXTS[0] in (tmp_path / "out.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["m", "--input", "in.csv", "--shard", "1/2"], "--output FILE"),
        (["m", "--input", "-", "--output", "o.csv", "--shard", "1/2"], "standard input"),
        (["m", "a text", "--output", "o.csv", "--resume"], "--input FILE"),
        (["m", "--input", "in.csv", "--output", "o.csv", "--shard", ""], "--shard ''; expected"),
        (["m", "--join", "o.csv"], "stands alone"),
        (["--join", "o.csv", "--shard", "1/2"], "stands alone"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *arguments]) == 2
    assert said in capfd.readouterr().err
