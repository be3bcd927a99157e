"""A split of a file: every line once, stratified, and what belongs together in one part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multihot import split
from multihot.core.options import DataOptions
from multihot.data.duplicates import normalised
from multihot.data.examples import portable
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.errors import DataError, OptionError, StorageError

HEADER = "id,text,joy,fear,author\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two hundred rows, some of whose texts and authors repeat."""
    generator = np.random.default_rng(0)
    values = generator.random((200, 2)) < (0.4, 0.1)
    rows = [
        f"{row},Text {row % 160}{'!' * (row // 160)},{int(joy)},{int(fear)},{row % 70 or ''}\n"
        for row, (joy, fear) in enumerate(values)
    ]
    target = tmp_path / "all.csv"
    target.write_text(HEADER + "".join(rows), "utf-8")
    return target


IGNORED = DataOptions(ignore_columns=("author",))


def lines_of(path: Path) -> list[str]:
    first, *lines = path.read_text("utf-8").splitlines(keepends=True)
    assert first == HEADER
    return lines


def test_every_line_is_in_one_part_in_its_order(path: Path, tmp_path: Path) -> None:
    report = split(path, tmp_path / "o", data=IGNORED)

    parts = [lines_of(Path(part.files[0])) for part in report.parts]
    everything = lines_of(path)
    assert [Path(part.files[0]).name for part in report.parts] == [
        "train.csv",
        "dev.csv",
        "test.csv",
    ]
    assert sorted(line for part in parts for line in part) == sorted(everything)
    for part in parts:
        assert part == [line for line in everything if line in set(part)]
    assert [part.rows for part in report.parts] == list(map(len, parts)) == [160, 20, 20]
    assert report.largest_deviation < 0.04


def test_near_duplicates_stay_together(path: Path, tmp_path: Path) -> None:
    report = split(path, tmp_path / "o", data=IGNORED)

    texts = [
        {normalised(text) for text in read_examples(part.files[0], IGNORED).texts}
        for part in report.parts
    ]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]
    assert (report.alike.groups, report.alike.rows, report.alike.largest) == (40, 80, 2)
    assert "80 rows in 40 groups with near-duplicate texts" in str(report)


@pytest.mark.parametrize("data", [DataOptions(split_by="author"), DataOptions(group_by="author")])
def test_groups_stay_together(path: Path, tmp_path: Path, data: DataOptions) -> None:
    report = split(path, tmp_path / "o", data=data, parts={"a": 2, "b": 1})

    authors = [
        {line.rstrip("\n").rpartition(",")[2] for line in lines_of(Path(part.files[0]))} - {""}
        for part in report.parts
    ]
    assert not authors[0] & authors[1]
    assert len(authors[0] | authors[1]) == 69
    assert report.groups is not None
    assert report.groups.rows == 197
    assert "equal values of 'author'" in str(report)


def test_folds_are_dev_once_and_train_otherwise(path: Path, tmp_path: Path) -> None:
    report = split(path, tmp_path / "o", folds=4, data=IGNORED)

    everything = sorted(lines_of(path))
    validated = []
    for part in report.parts:
        train, dev = (lines_of(Path(file)) for file in part.files)
        assert sorted(train + dev) == everything
        assert part.rows == len(dev)
        validated += dev
    assert sorted(validated) == everything
    assert sorted(file.name for file in (tmp_path / "o").iterdir()) == [
        f"fold-{number}" for number in range(1, 5)
    ]


def test_a_seed_determines_the_split(path: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        split(path, tmp_path / name, seed=seed, data=IGNORED)

    first, again, other = (lines_of(tmp_path / name / "dev.csv") for name in "abc")
    assert first == again
    assert first != other


def test_nothing_is_overwritten_without_force(path: Path, tmp_path: Path) -> None:
    output = tmp_path / "o"
    output.mkdir()
    split(path, output, data=IGNORED)
    (output / "mine.txt").write_text("mine", "utf-8")
    before = (output / "dev.csv").read_bytes()

    with pytest.raises(OptionError, match="--force"):
        split(path, output, data=IGNORED, seed=5)
    assert (output / "dev.csv").read_bytes() == before
    split(path, output, data=IGNORED, seed=5, force=True)

    assert (output / "dev.csv").read_bytes() != before
    assert (output / "mine.txt").read_text("utf-8") == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.csv", "o"]


def test_a_failed_write_leaves_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")

    with pytest.raises(StorageError):
        split(path, tmp_path / "file" / "o", data=IGNORED)
    with pytest.raises(OptionError):
        split(path, tmp_path / "file", data=IGNORED)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.csv", "file"]


def test_the_report_is_json(path: Path, tmp_path: Path) -> None:
    report = split(path, tmp_path / "o", data=IGNORED)

    content = json.loads(json.dumps(report.to_json(), allow_nan=False))

    assert content["rows"] == 200
    assert (
        content["parts"][1]["labels"]["joy"]["positives"] == report.parts[1].labels["joy"].positives
    )
    assert content["deviating_label"] in ("joy", "fear")


def test_unknown_and_soft_labels_are_split_too(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    rows = [f"t{row},{('', 0.2, 0.5, 0.8)[row % 4]}\n" for row in range(80)]
    path.write_text("text,joy\n" + "".join(rows), "utf-8")

    report = split(path, tmp_path / "o", data=DataOptions(soft_labels=True), parts={"a": 1, "b": 1})

    for part in report.parts:
        assert part.labels["joy"].positives == 10
        assert part.rows == 40


def test_labels_that_a_part_lacks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("text,joy,rare\na,1,1\nb,1,0\nc,0,0\nd,0,0\n", "utf-8")

    report = split(path, tmp_path / "o", parts={"a": 1, "b": 1})

    assert report.without_positives() == ["rare"]
    assert "Labels without a positive in some part: rare." in str(report)
    assert report.lacking() == {"b": ["rare"]}
    assert "No row of b has: rare." in str(report)


def test_many_labels_that_a_part_lacks_are_counted_and_not_all_named(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    rows = "".join(f"text number {row},L{row}\n" for row in range(30))
    path.write_text("text,labels\n" + rows, "utf-8")

    report = split(path, tmp_path / "o", parts={"train": 0.9, "test": 0.1})

    assert len(report.lacking()["train"]) == 3
    assert len(report.lacking()["test"]) == 27
    assert "and 17 more." in str(report)
    assert "data.unknown_labels=ignore" in str(report)


def test_labels_that_only_one_fold_has_are_named(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("text,joy,rare\na,1,1\nb,1,0\nc,0,0\nd,0,0\n", "utf-8")

    report = split(path, tmp_path / "o", folds=2)

    untaught = [line for line in str(report).splitlines() if "cannot know rare;" in line]
    assert len(untaught) == 1
    assert "/train.csv" in untaught[0]


def test_training_accepts_the_parts_of_grouped_rows_with_rare_labels(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    generator = np.random.default_rng(0)
    rows = [f"sentence {generator.integers(0, 22)},code{min(row, 30)}\n" for row in range(60)]
    path.write_text("text,code\n" + "".join(rows), "utf-8")
    data = DataOptions(label_column="code", text_column="text", group_by="text")

    split(path, tmp_path / "o", data=data)

    train = open_labelled(tmp_path / "o" / "train.csv", data)
    for name in ("dev", "test"):
        open_labelled(tmp_path / "o" / f"{name}.csv", portable(train.data), space=train.space)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"parts": {"a": 1, "b": 1}, "folds": 2}, "parts or folds"),
        ({"parts": {"a": 1}}, "two parts"),
        ({"parts": {"../a": 1, "b": 1}}, r"'\.\./a'"),
        ({"folds": 1, "data": IGNORED}, "1 folds"),
        ({"data": DataOptions(group_by="id", split_by="author")}, "data.group_by=id"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    path: Path, tmp_path: Path, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(OptionError, match=named):
        split(path, tmp_path / "o", **arguments)
    assert not (tmp_path / "o").exists()


def test_a_column_that_does_not_exist_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        split(path, tmp_path / "o", data=DataOptions(split_by="writer"))

    assert raised.value.path == str(path)
    assert not (tmp_path / "o").exists()
