from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from emotions import NAMES, TEXTS, write_jsonl
from multihot.data.labelled_file import read_examples
from multihot.data.text_stream import TextRow
from multihot.errors import DataError, LabelError, OptionError
from multihot.inference.predictor import Predictor
from multihot.workflows.suggest import suggest, suggest_by_names


def rows(texts: list[str]) -> list[TextRow]:
    return [TextRow(n, f"r{n}", text, {}) for n, text in enumerate(texts, start=1)]


@pytest.fixture(scope="module")
def predictor(tiny_model: Path) -> Predictor:
    return Predictor.load(tiny_model, device="cpu")


def test_texts_of_the_rarest_label_are_suggested_first(
    predictor: Predictor, tmp_path: Path
) -> None:
    several = [place for place, names in enumerate(NAMES) if names and "fear" not in names]
    path = tmp_path / "labelled.jsonl"
    lines = write_jsonl(tmp_path / "all.jsonl").read_text("utf-8").splitlines()
    path.write_text("\n".join(lines[place] for place in several) + "\n", "utf-8")
    labelled = read_examples(path, space=predictor.space)

    found = suggest(predictor, rows(TEXTS), 1, labelled=labelled)

    assert {row.reasons[0] for row in found.rows} == {"fear"}
    assert all("fear" in NAMES[TEXTS.index(row.text)] for row in found.rows)
    assert not {row.text for row in found.rows} & {TEXTS[place] for place in several}
    assert [row.value for row in found.rows] == sorted((r.value for r in found.rows), reverse=True)


def test_what_says_the_same_is_suggested_once_and_what_is_left_out_is_counted(
    predictor: Predictor, tmp_path: Path
) -> None:
    labelled = read_examples(write_jsonl(tmp_path / "some.jsonl", slice(0, 1)))
    given = ["I am HAPPY!", "i am happy", "  ", TEXTS[0].upper(), "sad day"]

    found = suggest(predictor, rows(given), 10, labelled=labelled)

    assert sorted(row.id for row in found.rows) == ["r1", "r5"]
    assert found.num_texts == 5
    assert found.notes[0] == (
        "Left out: 1 text said the same as an earlier one, 1 text labelled already, 1 text without a "
        "word."
    )
    assert found.notes[1] == "There are only 2 texts to choose from."


def test_without_a_model_texts_near_to_each_name_are_suggested_in_turn(tiny_encoder: Path) -> None:
    texts = [
        *(f"happy happy {word}" for word in ("day", "year", "good")),
        *(f"afraid afraid {word}" for word in ("day", "year", "good")),
        *(f"the people {word}" for word in ("know", "believe", "about", "from", "again", "but")),
    ]

    found = suggest_by_names(
        ["joy", "fear"],
        rows(texts),
        4,
        descriptions={"joy": "happy happy", "fear": "afraid afraid"},
        encoder=str(tiny_encoder),
        device="cpu",
    )

    first = Counter(row.text.split()[0] for row in found.rows[:2])
    assert first == {"happy": 1, "afraid": 1}
    assert all(-1 <= score <= 1.001 for row in found.rows for score in row.scores.values())


def test_nothing_to_choose_from_and_unknown_names_are_errors(
    predictor: Predictor, tiny_encoder: Path
) -> None:
    with pytest.raises(DataError, match="no text to choose from"):
        suggest(predictor, rows([" ", ""]), 1)
    with pytest.raises(OptionError, match="count is 0"):
        suggest(predictor, rows(TEXTS), 0)
    with pytest.raises(LabelError, match="Unknown label 'anger'"):
        suggest_by_names(["joy"], rows(TEXTS), 1, descriptions={"anger": "rage"})
