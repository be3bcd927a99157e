from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pytest

from multihot import demo
from multihot.cli.main import main
from multihot.data.labelled_file import read_examples
from multihot.inference.artifact import load_artifact


@pytest.fixture
def quick_demo(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo train a tiny encoder for one epoch; all else is as it is."""
    options = replace(
        demo.DEMO_OPTIONS, encoder=str(tiny_encoder), epochs=1, device="cpu", threads=1
    )
    monkeypatch.setattr(demo, "run_demo", functools.partial(demo.run_demo, options=options))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_demo")
def test_the_demo_trains_compares_predicts_and_replaces_its_own_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = Path("runs") / "multihot-demo"
    output.mkdir(parents=True)
    (output / "old.txt").write_text("old", "utf-8")

    assert main(["demo"]) == 0

    out, err = capfd.readouterr()
    assert "On the 202 test rows:" in out
    assert "TF-IDF + logistic regression" in out
    assert "anticipation" in out
    assert all(f"{text}\n  -> " in out for text in demo.DEMO_TEXTS)
    assert "Threshold fitted on 202 validation rows: " in err
    assert f'multihot predict {output} "your text"' in err
    assert len(load_artifact(output).decision.space) == 11
    assert not (output / "old.txt").exists()


@pytest.mark.usefixtures("quick_demo")
def test_the_demo_empties_no_other_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")

    assert main(["demo", "--output", str(tmp_path)]) == 2
    assert f"{tmp_path}" in capfd.readouterr().err
    assert (tmp_path / "mine.txt").exists()


def test_the_data_in_the_package_has_three_parts_with_the_same_labels() -> None:
    parts = {part: read_examples(path) for part, path in demo.demo_data().items()}

    assert {part: len(rows) for part, rows in parts.items()} == {
        "train": 808,
        "validation": 202,
        "test": 202,
    }
    spaces = {rows.labels.space for rows in parts.values() if rows.labels is not None}
    assert len(spaces) == 1
    assert len({text for rows in parts.values() for text in rows.texts}) == 1212


def test_the_data_set_as_files_has_the_layout_of_the_contest_and_the_same_rows(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    assert main(["demo", "--data", str(folder)]) == 0

    parts = ("train", "dev", "test")
    files = [folder / f"{part}.tsv" for part in parts]
    assert capfd.readouterr().out.split() == [str(path) for path in files]
    assert (folder / "dev.tsv").read_text("utf-8").startswith("ID\tTweet\tanger\tanticipation\t")
    for path, bundled in zip(files, demo.demo_data().values(), strict=True):
        read, original = read_examples(path), read_examples(bundled)
        assert read.labels is not None
        assert original.labels is not None
        assert (read.texts, read.ids) == (original.texts, original.ids)
        assert read.labels.to_names() == original.labels.to_names()


def test_the_data_set_is_written_into_no_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")

    assert main(["demo", "--data", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
