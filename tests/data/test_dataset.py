"""Rows of a run: the same rows have the same fingerprint, and labels are matched by name."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.core.progress import Listener
from multihot.data import encode as encoded_files
from multihot.data.dataset import (
    Labelled,
    Subset,
    describe_rows,
    encode,
    label_space,
    with_validation,
)
from multihot.data.examples import Examples
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.data.tokens import load_tokenizer
from multihot.data.union import open_union
from multihot.errors import DataError, LabelError

SPACE = LabelSpace(("joy", "fear"))
TEXTS = ["i am happy", "afraid of the day"]
VALUES = [[1.0, 0.0], [np.nan, 1.0]]


def examples_of(
    texts: list[str] | None = None,
    values: list[list[float]] | None = None,
    space: LabelSpace = SPACE,
) -> Examples:
    labels = LabelMatrix(space, np.array(values or VALUES, dtype=np.float32))
    return Examples(texts or TEXTS, labels, ["1", "2"], "a.csv", DataOptions(), (), [2, 3])


def encoded(folder: Path, labelled: Labelled | None = None) -> Subset:
    labelled = labelled or examples_of()
    return encode(labelled, SPACE, load_tokenizer(folder / "tokenizer.json"), 16)


def held_out_of(training: Subset, fraction: float = 0.2, seed: int = 0) -> tuple[Subset, Subset]:
    return with_validation(training, None, fraction=fraction, seed=seed, listener=Listener())


def write_rows(path: Path, num_rows: int = 60) -> Path:
    """Write rows of all kinds: several labels, none, unknown ones, ids, and long texts."""
    with path.open("w", encoding="utf-8") as handle:
        for row in range(num_rows):
            labels = {"joy": row % 2, "fear": None if row % 7 == 0 else int(row % 3 == 0)}
            text = " ".join(["happy", "day", "sad"][: 1 + row % 3] * (1 + row % 9))
            handle.write(json.dumps({"id": f"r{row}", "text": f"{text} {row}", **labels}) + "\n")
    return path


def test_labels_and_columns_follow_the_models_order(tiny_encoder: Path) -> None:
    turned = LabelSpace(("fear", "joy"))
    other = examples_of(values=[[0.0, 1.0], [1.0, np.nan]], space=turned)
    found = encoded(tiny_encoder, other)

    assert found.space == SPACE
    np.testing.assert_array_equal(found.labels().values, VALUES)
    assert found.fingerprint() == encoded(tiny_encoder).fingerprint()


def test_a_label_that_the_model_lacks_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(LabelError):
        encoded(tiny_encoder, examples_of(space=LabelSpace(("joy", "trust"))))


def test_rows_without_labels_are_refused(tiny_encoder: Path) -> None:
    bare = replace(examples_of(), labels=None)

    for read in (label_space, partial(encoded, tiny_encoder)):
        with pytest.raises(DataError) as caught:
            read(bare)
        assert caught.value.path == "a.csv"


def test_the_fingerprint_follows_texts_labels_and_order(tiny_encoder: Path) -> None:
    found = {
        encoded(tiny_encoder, changed).fingerprint()
        for changed in (
            examples_of(),
            examples_of(["i am happy", "afraid of the days"]),
            examples_of(TEXTS[::-1], VALUES[::-1]),
            examples_of(values=[[1.0, 0.0], [0.0, 1.0]]),
        )
    }

    assert len(found) == 4


def test_only_labelled_rows_are_set_aside_for_validation(tiny_encoder: Path) -> None:
    labels = LabelMatrix.from_names([["joy"] if n % 8 == 0 else None for n in range(80)], SPACE)
    ids = [str(n) for n in range(80)]
    examples = Examples(ids, labels, ids, "a.jsonl", DataOptions(), (), list(range(80)))
    every = encoded(tiny_encoder, examples)

    for seed in range(5):
        kept, held_out = held_out_of(every, seed=seed)

        assert len(held_out) == 2
        assert held_out.has_known_label().all()
        names = [name for part in (kept, held_out) for name in part.dataset.names(part.indices)]
        assert sorted(names) == sorted(f"{n} (line {n})" for n in ids)


def test_a_single_labelled_row_is_too_few_to_set_one_aside(tiny_encoder: Path) -> None:
    labels = LabelMatrix.from_names([["joy"], None, None], SPACE)
    examples = Examples(["a"] * 3, labels, ["1"] * 3, "a.jsonl", DataOptions(), (), [1, 2, 3])

    with pytest.raises(DataError) as caught:
        held_out_of(encoded(tiny_encoder, examples))
    assert caught.value.path == "a.jsonl"


def test_rows_set_aside_are_those_of_the_examples_taken_one_by_one(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    examples = read_examples(write_rows(tmp_path / "a.jsonl"), space=SPACE)
    for part in held_out_of(encoded(tiny_encoder, examples)):
        alone = encoded(tiny_encoder, examples.take(part.indices))
        assert part.fingerprint() == alone.fingerprint()
        assert part.hashes().tolist() == alone.hashes().tolist()
        assert part.lengths().tolist() == alone.lengths().tolist()
        assert part.num_truncated() == alone.num_truncated()
        assert part.label_totals().positives.tolist() == alone.label_totals().positives.tolist()
        names = alone.dataset.names(alone.indices)
        assert part.dataset.names(part.indices) == names
        twice = part.take(np.arange(len(part))[::3]).take(np.array([1]))
        assert twice.dataset.names(twice.indices) == [names[3]]


@pytest.fixture(params=["held in memory", "made now", "made before"])
def from_file(
    request: pytest.FixtureRequest,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Subset:
    """The rows of `write_rows`, on each of the ways that a file may take."""
    path = write_rows(tmp_path / "a.jsonl")
    monkeypatch.setattr(encoded_files, "SMALL_FILE_BYTES", 0)
    in_memory = request.param == "held in memory"
    monkeypatch.setenv("MULTIHOT_CACHE", "off" if in_memory else str(tmp_path / "cache"))
    if request.param == "made before":
        encoded(tiny_encoder, open_labelled(path, space=SPACE))
    return encoded(tiny_encoder, open_labelled(path, space=SPACE))


def test_a_file_gives_the_same_rows_on_every_way(
    from_file: Subset, tiny_encoder: Path, tmp_path: Path
) -> None:
    expected = encoded(tiny_encoder, read_examples(tmp_path / "a.jsonl", space=SPACE))

    assert from_file.fingerprint() == expected.fingerprint()
    assert from_file.tokens.ids.tolist() == expected.tokens.ids.tolist()
    assert from_file.tokens.offsets.tolist() == expected.tokens.offsets.tolist()
    assert from_file.tokens.truncated.tolist() == expected.tokens.truncated.tolist()
    codes = [rows.dataset.rows.codes.tolist() for rows in (from_file, expected)]
    assert codes[0] == codes[1]
    for one, other in zip(held_out_of(from_file), held_out_of(expected), strict=True):
        assert one.fingerprint() == other.fingerprint()
        assert one.dataset.names(one.indices[:3]) == other.dataset.names(other.indices[:3])


def test_no_text_and_no_list_per_row_stays_alive(from_file: Subset) -> None:
    gc.collect()
    strings = lists = 0
    seen: set[int] = set()
    stack: list[object] = [from_file]
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen.add(id(one))
        strings += isinstance(one, str) and "happy" in one
        lists += isinstance(one, list | tuple) and len(one) >= 60
        stack += gc.get_referents(one) if not isinstance(one, np.ndarray) else []

    assert (strings, lists) == (0, 0)


def test_rows_of_a_file_that_is_gone_are_named_by_their_lines(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.jsonl")
    found = encoded(tiny_encoder, open_labelled(path, space=SPACE)).dataset

    assert found.names(np.array([5, 2])) == ["r5 (line 6)", "r2 (line 3)"]
    path.unlink()
    assert found.names(np.array([5, 2])) == ["row 6 (line 6)", "row 3 (line 3)"]


class Recorder(Listener):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


def test_what_needs_a_second_look_is_reported(from_file: Subset) -> None:
    recorder = Recorder()

    describe_rows(from_file, from_file, 16, recorder)

    assert recorder.messages == [
        "60 training and 60 validation rows, 2 labels.",
        "19 training texts are cut to max_length=16 tokens.",
        "9 training label cells are unknown and masked.",
        "19 validation texts are cut to max_length=16 tokens.",
        "9 validation label cells are unknown and masked.",
        "To read whole texts, in windows whose logits are pooled: windows=max.",
    ]


def test_few_validation_rows_and_labels_without_rows_are_reported(tiny_encoder: Path) -> None:
    rows = encoded(tiny_encoder, examples_of(values=[[1, 0], [np.nan, 0]]))
    recorder = Recorder()

    describe_rows(rows, rows.take(np.array([0])), 16, recorder, taught=True)

    assert recorder.messages == [
        "2 training and 1 validation rows, 2 labels.",
        "1 training label cell is unknown and filled with teacher scores.",
        "Only 1 validation rows, too few: the selected epoch and thresholds will have high variance. "
        "Label more rows, or use all for training and for thresholds: --folds 5, without a validation "
        "file.",
        "No training row has these labels: fear.",
    ]


def test_weights_and_soft_labels_follow_the_rows(tiny_encoder: Path) -> None:
    plain = examples_of(values=[[0.25, 0.75], [np.nan, 1]])
    rows = encoded(tiny_encoder, replace(plain, weights=np.array([2, 0], dtype=np.float32)))

    taken = rows.take(np.array([1, 0]))

    batch = taken.batch(np.array([1]), 0, packed=True)
    assert (batch.weights.tolist(), batch.rows.tolist()) == ([2], [0])  # type: ignore[union-attr]
    np.testing.assert_array_equal(batch.labels, [[0.25, 0.75]])  # type: ignore[arg-type]
    assert batch.texts[0].tolist() == rows.batch(np.array([0]), 0, packed=False).texts[0].tolist()
    assert encoded(tiny_encoder).batch(np.array([0]), 0, packed=True).weights is None


def test_the_fingerprint_knows_weights_and_fractions(tiny_encoder: Path) -> None:
    plain = examples_of()
    variants = [
        plain,
        replace(plain, weights=np.array([2, 1], dtype=np.float32)),
        replace(plain, weights=np.array([1, 1], dtype=np.float32)),
        examples_of(values=[[0.9, 0.0], [np.nan, 1.0]]),
        examples_of(values=[[0.8, 0.0], [np.nan, 1.0]]),
    ]

    prints = [encoded(tiny_encoder, variant).fingerprint() for variant in variants]

    assert len(set(prints)) == len(prints)


def test_rows_that_all_weigh_nothing_are_refused(tiny_encoder: Path) -> None:
    weightless = replace(examples_of(), weights=np.zeros(2, dtype=np.float32))

    with pytest.raises(DataError) as caught:
        encoded(tiny_encoder, weightless)
    assert caught.value.path == "a.csv"


def test_groups_are_not_parted_when_rows_are_set_aside(tiny_encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"day {row},{row % 2},{row % 3 % 2},{row // 4}" for row in range(80)]
    path.write_text("\n".join(["text,joy,fear,author", *rows]), "utf-8")
    file = open_labelled(path, DataOptions(split_by="author"))

    kept, held_out = held_out_of(encoded(tiny_encoder, file))

    lines = [part.dataset.rows.lines[part.indices] for part in (kept, held_out)]
    authors = [set(((each - 2) // 4).tolist()) for each in lines]
    assert not authors[0] & authors[1]
    assert len(held_out) == 16


def test_one_group_alone_cannot_be_set_aside(tiny_encoder: Path) -> None:
    with pytest.raises(DataError) as caught:
        held_out_of(encoded(tiny_encoder, replace(examples_of(), groups=["a", "a"])))
    assert caught.value.path == "a.csv"


def test_rows_of_several_files_are_named_with_their_file(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    for name, label in (("a.csv", "joy"), ("b.csv", "fear")):
        (tmp_path / name).write_text(f"text,{label}\nx,1\ny,0\n", "utf-8")
    file = open_union([tmp_path / "a.csv", tmp_path / "b.csv"])

    assert encoded(tiny_encoder, file).dataset.names(np.array([1, 2])) == [
        f"2 ({tmp_path / 'a.csv'}, line 3)",
        f"1 ({tmp_path / 'b.csv'}, line 2)",
    ]
