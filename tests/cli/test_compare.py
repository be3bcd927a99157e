from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from emotions import write_jsonl
from multihot.cli.main import main


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", slice(24, 48))


@pytest.fixture
def other_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with thresholds at which it gives nearly every label."""
    folder = tmp_path / "other"
    shutil.copytree(tiny_model, folder)
    path = folder / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    content["thresholds"] = dict.fromkeys(content["thresholds"], 0.001)
    content["threshold_kind"] = "fixed"
    content["fitted_on"] = None
    path.write_text(json.dumps(content), "utf-8")
    return folder


def test_the_table_goes_to_stdout_and_the_rest_to_stderr(
    tiny_model: Path, other_model: Path, rows: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tiny_model), str(other_model), str(rows)]) == 0

    out, err = capfd.readouterr()
    assert out.startswith(f"A = {tiny_model}\nB = {other_model}\n")
    assert "micro_f1" in out
    assert "24 texts, 3 labels." in out
    assert "0.5 points would take about" in out
    assert "Texts: column 'text'" in err


def test_json_is_one_document_and_the_seed_repeats_it(
    tiny_model: Path, other_model: Path, rows: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "--json", str(tiny_model), str(other_model), str(rows)]
    found = []
    for seed in ("0", "0", "1"):
        assert main([*arguments, "--seed", seed]) == 0
        out, err = capfd.readouterr()
        found.append(json.loads(out))
        assert "24 texts, 3 labels." in err

    assert found[0] == found[1] != found[2]
    assert found[0]["second"] == str(other_model)
    assert found[0]["metrics"]["jaccard"]["difference"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["MODEL", "no", "ROWS"], "no: there is no such folder; expected a model folder"),
        (["MODEL", "MODEL", "no.csv"], "no.csv: There is no such file"),
        (["MODEL", "MODEL", "ROWS", "epochs=1"], "'epochs' is not an option of this command"),
        (["MODEL", "MODEL", "ROWS", "--seed", "-1"], "--seed is -1; expected a whole number"),
    ],
)
def test_a_wrong_command_is_explained(
    tiny_model: Path,
    rows: Path,
    arguments: list[str],
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    places = {"MODEL": str(tiny_model), "ROWS": str(rows)}

    assert main(["compare", *(places.get(word, word) for word in arguments)]) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err
