"""`multihot audit`: from scores to a table, from a filled table to a corrected copy and its record."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multihot.cli.main import main

LABELS = ("joy", "=fear", "sad")
WRONG = ((3, 0), (10, 1), (20, 2), (31, 0))
"""Row and label of the cells that are turned over."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 60 rows with four wrong cells, an unknown one and an unlabelled row, and its scores."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(3)
    truth = generator.random((60, 3)) < 0.4
    given = truth.astype(int)
    for cell in WRONG:
        given[cell] = 1 - given[cell]
    lines = ["id,text," + ",".join(LABELS)]
    for row in range(60):
        cells = [str(value) for value in given[row]]
        if row == 40:
            cells = [""] * 3
        if row == 41:
            cells[1] = ""
        lines.append(f"r{row},text number {row},{','.join(cells)}")
    lines.append(f"again,Text number 5!,{','.join(str(value) for value in 1 - given[5])}")
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n", "utf-8")
    scores = np.vstack([truth, truth[5:6]]) * 0.9 + 0.05
    scores += generator.uniform(-0.02, 0.02, scores.shape)
    rows = [{"scores": dict(zip(LABELS, row, strict=True))} for row in scores.tolist()]
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return Path("train.csv")


def audit(*words: str, scores: str = "scores.jsonl", output: str = "a") -> int:
    return main(["audit", "train.csv", "--scores", scores, "--output", output, *words])


def table(path: str = "a/corrections.csv") -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def fill(rows: Sequence[dict[str, Any]], path: str = "a/corrections.csv") -> None:
    with Path(path).open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def apply(*words: str, source: str = "train.csv", path: str = "a/corrections.csv") -> int:
    return main(["audit", source, "--apply", path, *words])


def record(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_wrong_cells_come_first_and_unknown_ones_last(path: Path) -> None:
    assert audit() == 0

    found = table()
    places = [(int(row["row"]) - 1, row["label"].removeprefix("'")) for row in found]
    expected = {(row, LABELS[label]) for row, label in WRONG} | {(60, label) for label in LABELS}
    kinds = [row["reason"] == "unlabelled" for row in found]
    assert set(places[: len(expected)]) == expected
    assert kinds == sorted(kinds)
    assert {places[at][0] for at, unknown in enumerate(kinds) if unknown} <= {40, 41}
    assert all(
        row["given"] == "unknown" for row, unknown in zip(found, kinds, strict=True) if unknown
    )
    again = next(row for row in found if row["id"] == "again")
    assert again["reason"].endswith(" + conflict")
    assert "line 7" in again["evidence"]


def test_a_filled_table_makes_a_copy_and_a_record(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = path.read_bytes()
    audit()
    rows = table()
    rows[0]["corrected"], rows[1]["corrected"] = rows[0]["suggested"], rows[1]["given"]
    fill(rows)
    capfd.readouterr()

    assert apply("--output", "new.csv", "--json") == 0

    report = json.loads(capfd.readouterr().out)
    lines, old = Path("new.csv").read_bytes().split(b"\n"), before.split(b"\n")
    changed = [
        number for number, pair in enumerate(zip(lines, old, strict=True), 1) if len(set(pair)) > 1
    ]
    assert changed == [int(rows[0]["line"])]
    assert path.read_bytes() == before
    assert (report["changed"], report["confirmed"]) == (1, 1)
    entries = record("new.csv.changes.jsonl")
    assert [entry["from"] == entry["to"] for entry in entries] == [False, True]
    assert entries[0]["row"] == int(rows[0]["row"])


def test_what_was_decided_is_kept_and_not_suspected_again(path: Path) -> None:
    audit()
    rows = table()
    rows[0]["corrected"], rows[1]["corrected"] = rows[0]["suggested"], rows[1]["given"]
    decided = {(row["row"], row["label"]) for row in rows[:2]}
    fill(rows)
    apply("--output", "new.csv")

    words = ["--scores", "scores.jsonl", "--output", "b"]
    assert main(["audit", "new.csv", *words]) == 0
    again = table("b/corrections.csv")
    assert decided.isdisjoint((row["row"], row["label"]) for row in again)

    again[0]["corrected"] = again[0]["suggested"]
    fill(again, "b/corrections.csv")
    assert apply("--output", "c.csv", source="new.csv", path="b/corrections.csv") == 0
    assert len(record("c.csv.changes.jsonl")) == 3


def test_a_copy_is_not_replaced_where_decisions_would_be_lost(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    audit()
    rows = table()
    fill([{**rows[0], "corrected": "1"}, {**rows[1], "corrected": "1"}])
    apply("--output", "new.csv")
    copy = Path("new.csv").read_bytes()

    fill([{**rows[0], "corrected": "1"}])
    assert apply("--output", "new.csv") == 2
    assert apply("--output", "new.csv", "--force") == 2
    assert "has decisions about 1 cells" in capfd.readouterr().err
    assert Path("new.csv").read_bytes() == copy

    fill(
        [
            {**rows[0], "corrected": "1"},
            {**rows[1], "corrected": "1"},
            {**rows[2], "corrected": "1"},
        ]
    )
    assert apply("--output", "new.csv", "--force") == 0
    assert len(record("new.csv.changes.jsonl")) == 3


WRONG_TABLES = {
    "row out of range": ({"row": "62"}, "row"),
    "row zero": ({"row": "0"}, "row"),
    "unknown label": ({"label": "joyful"}, "label"),
    "another given value": ({"given": "0.5"}, "given"),
    "another file": ({"file": "sha256:0000000000000000"}, "file"),
}


@pytest.mark.parametrize("case", WRONG_TABLES)
def test_a_table_that_does_not_fit_changes_nothing_and_names_its_line(
    case: str, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changes, column = WRONG_TABLES[case]
    audit()
    rows = table()
    rows[0]["corrected"] = rows[1]["corrected"] = "1"
    rows[1] |= changes
    fill(rows)
    capfd.readouterr()

    assert apply("--output", "new.csv") == 2

    assert f"corrections.csv:3, column '{column}'" in capfd.readouterr().err
    assert not list(Path().glob("*new.csv*"))


def test_numbers_of_rows_that_were_exchanged_alone_are_refused(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert audit() == 0
    first, *others = table()
    twin = next(
        row for row in others if row["given"] == first["given"] and row["label"] == first["label"]
    )
    fill([{**first, "row": twin["row"], "corrected": first["suggested"]}])

    assert apply("--output", "new.csv") == 2

    assert "has another id" in capfd.readouterr().err
    assert not Path("new.csv").exists()


@pytest.mark.parametrize("other", [{"id": "1E5"}, {"text": "shortened by hand ..."}])
def test_an_id_or_a_text_that_a_spreadsheet_rewrote_is_no_obstacle(
    path: Path, other: dict[str, str]
) -> None:
    assert audit() == 0
    fill([{**row, "corrected": row["suggested"], **other} for row in table()[:3]])

    assert apply("--output", "new.csv") == 0


def test_suggestions_are_accepted_by_scores_with_a_decimal_comma(path: Path) -> None:
    assert audit() == 0
    num_certain = sum(float(row["score"]) >= 0.9 for row in table())
    fill([{**row, "score": row["score"].replace(".", ",")} for row in table()])

    assert apply("--output", "new.csv", "--accept", "0.9") == 0

    assert 0 < num_certain == len(record("new.csv.changes.jsonl"))


@pytest.mark.parametrize("column", ["score", "suggested"])
def test_accepting_needs_the_scores_and_the_suggestions(
    path: Path, column: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert audit() == 0
    fill([{key: cell for key, cell in row.items() if key != column} for row in table()])

    assert apply("--output", "new.csv", "--accept", "0.9") == 2

    assert f"The column '{column}' is missing, and --accept" in capfd.readouterr().err


def test_a_score_that_no_suggestion_has_is_said(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert audit() == 0
    fill([row for row in table() if float(row["score"]) < 0.99])

    assert apply("--output", "new.csv", "--accept", "0.99") == 2

    assert "has a score of 0.99 or more" in capfd.readouterr().err


def test_a_file_that_changed_since_the_audit_is_refused(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    audit()
    path.write_text(path.read_text("utf-8").replace("number 1,", "Number 1,"), "utf-8")

    assert apply("--output", "new.csv", "--accept", "0.9") == 2
    assert "another file" in capfd.readouterr().err
    scores = "a/out-of-fold.safetensors"
    assert audit(scores=scores, output="b") == 2
    assert "The scores are of another file" in capfd.readouterr().err


def test_scores_of_an_earlier_audit_give_the_same_table(path: Path) -> None:
    audit()
    audit(scores="a/out-of-fold.safetensors", output="b")

    assert Path("b/corrections.csv").read_bytes() == Path("a/corrections.csv").read_bytes()


def test_other_splits_are_evidence(path: Path) -> None:
    first = next(
        row for row in csv.DictReader(path.read_text("utf-8").splitlines()) if row["id"] == "r8"
    )
    flipped = ",".join(str(1 - int(first[name])) for name in LABELS)
    Path("dev.csv").write_text(f"id,text,{','.join(LABELS)}\nx,TEXT number 8,{flipped}\n", "utf-8")

    assert audit("--beside", "dev.csv") == 0

    report = json.loads(Path("a/audit.json").read_text("utf-8"))
    assert report["in_other_files"] == {"dev.csv": 1}


BAD: dict[str, tuple[list[str], str]] = {
    "no output of the copy": (["--apply", "t.csv"], "--apply needs --output"),
    "scores and --apply": (["--apply", "t.csv", "--scores", "s"], "--scores is not for --apply"),
    "--accept alone": (["--accept", "0.5"], "--accept is for --apply"),
    "two files": (["b.csv"], "Expected one file to audit, not 2"),
    "an unknown form": (
        ["--scores", "scores.jsonl", "--table-format", "ods"],
        "A table ends in one of",
    ),
    "no table": (["--apply", "t.csv", "--output", "n.csv"], "There is no such file"),
    "another ending": (["--apply", "t.csv", "--output", "n.jsonl"], "ends in .csv"),
    "the file itself": (["--apply", "t.csv", "--output", "train.csv"], "is the file itself"),
    "scores without labels": (["--scores", "train.csv"], "There are no scores of these labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_a_sentence(
    case: str, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words, sentence = BAD[case]

    assert main(["audit", "train.csv", *words]) == 2

    err = capfd.readouterr().err
    assert sentence in err
    assert "Traceback" not in err


def test_a_file_without_labels_is_refused(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("plain.csv").write_text("id,text\n1,a\n2,b\n", "utf-8")

    assert main(["audit", "plain.csv", "--scores", "scores.jsonl"]) == 2
    assert "There is no label column" in capfd.readouterr().err


def test_a_finished_audit_is_never_written_again(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    audit()
    before = Path("a/corrections.csv").read_bytes()

    assert audit() == 2
    assert audit("--resume") == 2
    assert "may have been filled in" in capfd.readouterr().err
    assert Path("a/corrections.csv").read_bytes() == before
