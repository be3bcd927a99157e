from __future__ import annotations

import json
from pathlib import Path

import pytest

from multihot.cli.main import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "all.csv"
    rows = [f"text number {row},{row % 2},{row % 5 // 4}" for row in range(40)]
    target.write_text("\n".join(["text,joy,fear", *rows]) + "\n", "utf-8")
    return target


def test_parts_are_written_and_shown(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = path.with_name("o")

    code = main(["split", str(path), "--output", str(output), "--parts", "big=3,small=1"])

    out, err = capfd.readouterr()
    assert code == 0
    assert "Labels: 2 0/1 columns: joy, fear;" in err
    assert out.splitlines()[:3] == [
        "          all      big    small",
        "rows       40       30       10",
        "joy   50.00 %  50.00 %  50.00 %",
    ]
    assert f"small: {output / 'small.csv'}" in out


def test_folds_as_json(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = path.with_name("o")

    code = main(
        ["split", "--output", str(output), str(path), "--folds", "4", "--seed", "3", "--json"]
    )

    content = json.loads(capfd.readouterr().out)
    assert code == 0
    assert [part["rows"] for part in content["parts"]] == [10] * 4
    assert content["parts"][0]["files"] == [
        str(output / "fold-1" / "train.csv"),
        str(output / "fold-1" / "dev.csv"),
    ]
    assert content["seed"] == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--parts", "train"], "'train' is not NAME=SIZE, such as train=0.8"),
        (["--parts", "a=1,a=2"], "the part 'a' occurs twice"),
        (["--parts", "a=1,b=0"], "expected numbers above 0"),
        (["--parts", "a=1,b=1", "--folds", "2"], "parts or folds, not both"),
        (["other.csv"], "Expected one file to split, not 2"),
        (["seed=3"], "'seed' is not an option of this command; only data.KEY=VALUE is"),
        (["data.split_by=who"], "There is no column 'who' (data.split_by)"),
    ],
)
def test_a_wrong_command_is_explained(
    path: Path, arguments: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    output = path.with_name("o")

    code = main(["split", str(path), "--output", str(output), *arguments])

    assert code == 2
    assert text in capfd.readouterr().err
    assert not output.exists()
