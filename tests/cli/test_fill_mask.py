"""`multihot fill-mask` and `multihot next-sentence`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from models.pretraining.tiny import write_bert
from multihot.cli.main import main
from multihot.inference.masked_lm import fill_mask, next_sentence

PAIRS = [("i am happy", "the sun is good"), ("never again", "sad")]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small BERT with both heads."""
    return write_bert(tmp_path_factory.mktemp("bert"))


def _feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_masks_are_filled_in_plain_lines(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill-mask", str(bert), "i am [MASK]", "--top", "2"]) == 0

    out, err = capsys.readouterr()
    (fills,) = fill_mask(bert, "i am [MASK]", top=2)
    assert out.splitlines() == [
        "i am [MASK]",
        *(f"  {fill.score:6.4f}  {fill.token:<16}  {fill.text}" for fill in fills),
    ]
    assert err == ""


def test_several_masks_have_numbers(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill-mask", str(bert), "[MASK] am [MASK]", "--top", "1"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert (lines[1], lines[3]) == ("  mask 1:", "  mask 2:")
    assert len(lines) == 5


def test_json_has_a_line_per_text(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill-mask", str(bert), "i am [MASK]", "[MASK] [MASK]", "--json"]) == 0

    one, other = _json_lines(capsys.readouterr().out)
    (fills,) = fill_mask(bert, "i am [MASK]")
    assert one == {
        "text": "i am [MASK]",
        "masks": [
            [
                {
                    "token": fill.token,
                    "token_id": fill.token_id,
                    "score": pytest.approx(fill.score, abs=1e-5),
                    "text": fill.text,
                }
                for fill in fills
            ]
        ],
    }
    assert [len(fills) for fills in other["masks"]] == [5, 5]


@pytest.mark.parametrize("source", ["file", "-"])
def test_many_lines_are_read_and_blank_ones_left_out(
    source: str,
    bert: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = "\n".join(["i am [MASK]", "", *(f"{n} [MASK] sun" for n in range(300)), ""])
    (tmp_path / "texts.txt").write_text(content, "utf-8")
    _feed(monkeypatch, content.encode())

    where = "-" if source == "-" else str(tmp_path / "texts.txt")
    assert main(["fill-mask", str(bert), "--input", where, "--json", "--top", "1"]) == 0

    found = [line["text"] for line in _json_lines(capsys.readouterr().out)]
    assert found == [line for line in content.split("\n") if line]


def test_a_line_without_a_mask_is_named(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("i am [MASK]\n\ni am happy\n", "utf-8")

    assert main(["fill-mask", str(bert), "--input", str(path)]) == 2

    err = capsys.readouterr().err
    assert f"Line 3 of {path} ('i am happy') has no mask. Write [MASK], exactly so" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fill-mask", "m"], "Give texts, or --input FILE"),
        (["fill-mask", "m", "text", "--input", "f"], "one of the two, not both"),
        (["fill-mask", "m", "text", "--top", "0"], "--top 0; expected at least 1"),
        (["next-sentence", "m", "a"], "Give two texts, or --input FILE"),
        (["next-sentence", "m", "a", "b", "c"], "3 texts were given."),
        (["next-sentence", "m", "a", "b", "--input", "f"], "2 texts were given beside --input"),
        (["fill-mask", "./m", "[MASK]"], "There is no encoder folder ./m"),
        (["next-sentence", "./m", "a", "b"], "There is no encoder folder ./m"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"multihot {words[0]}: ")
    assert message in err


def test_a_file_that_is_not_there_is_named(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nothing.txt"

    assert main(["fill-mask", str(bert), "--input", str(path)]) == 2
    assert f"{path}: There is no such file." in capsys.readouterr().err


def test_a_pair_has_both_probabilities(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["next-sentence", str(bert), *PAIRS[0]]) == 0

    ((follows, random),) = next_sentence(bert, PAIRS[:1]).tolist()
    assert capsys.readouterr().out == (
        f"i am happy\nthe sun is good\n  -> is next {follows:.4f}, random {random:.4f}\n"
    )


def test_pairs_of_a_file_are_split_at_the_tab(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{first}\t{second}\n" for first, second in PAIRS), "utf-8")

    assert main(["next-sentence", str(bert), "--input", str(path), "--json"]) == 0

    found = _json_lines(capsys.readouterr().out)
    assert [(line["first"], line["second"]) for line in found] == PAIRS
    for line, (follows, random) in zip(found, next_sentence(bert, PAIRS).tolist(), strict=True):
        assert line["is_next"] == pytest.approx(follows, abs=1e-5)
        assert line["is_random"] == pytest.approx(random, abs=1e-5)


@pytest.mark.parametrize(("line", "tabs"), [("one text", 0), ("a\tb\tc", 2)])
def test_a_line_that_is_no_pair_is_named(
    line: str,
    tabs: int,
    bert: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _feed(monkeypatch, f"a\tb\n{line}\n".encode())

    assert main(["next-sentence", str(bert), "--input", "-"]) == 2
    assert f"Line 2 of standard input has {tabs} tabs; expected two texts with one tab" in (
        capsys.readouterr().err
    )


def test_a_program_can_feed_texts(
    bert: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("i am [MASK]\n"))

    assert main(["fill-mask", str(bert), "--input", "-", "--top", "1"]) == 0
    assert capsys.readouterr().out.startswith("i am [MASK]\n  0.")
