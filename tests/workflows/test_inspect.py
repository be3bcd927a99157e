"""Inspecting data files: every planted fault is in the figures, the JSON and the warnings."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.inspection.report import short_names
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.errors import (
    ArtifactError,
    DataError,
    EncoderError,
    MissingExtraError,
    OptionError,
)
from multihot.inference.artifact import Artifact, save_artifact
from multihot.workflows.inspect import inspect_artifact, inspect_files

PLAIN = DataOptions()


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """An encoder folder with a tokenizer of words that still carries padding and truncation."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    tokenizer = Tokenizer(WordLevel({"[CLS]": 0, "[SEP]": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 8}')
    return str(folder)


def write(path: Path, rows: list[tuple[str, str]], header: str = "text,joy,anger") -> Path:
    lines = [header, *(f"{text},{labels}" for text, labels in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def many(prefix: str, count: int, labels: str) -> list[tuple[str, str]]:
    return [(f"{prefix} number {number}", labels) for number in range(count)]


@pytest.fixture
def planted(tmp_path: Path) -> list[Path]:
    train = [
        *many("happy", 60, "1,0"),
        *many("both", 20, "1,1"),
        *many("cross", 60, "0,1"),
        ("So glad http://a.b/c", "1,0"),
        ("@ann so GLAD!", "0,1"),
        ("seen before", "1,0"),
        ("broken \uf629 face", "1,0"),
        ("   ", "1,0"),
        ("doubtful", ","),
        ("half known", "1,"),
    ]
    test = [
        *many("merry", 100, "1,0"),
        *many("plain", 5, "0,0"),
        ("Seen before!", "0,1"),
        ("one two three four five six seven eight nine", "1,0"),
    ]
    return [write(tmp_path / "d-train.csv", train), write(tmp_path / "d-test.csv", test)]


def test_planted_faults_are_in_the_figures(planted: list[Path], encoder: str) -> None:
    inspection = inspect_files(planted, PLAIN, encoder=encoder)

    train, test = inspection.files
    assert (train.rows, test.rows) == (147, 107)
    assert (train.row_counts.unlabelled, train.row_counts.with_several_labels) == (1, 20)
    assert (train.labels["joy"].positives, train.labels["joy"].unknown) == (85, 1)
    assert (train.labels["anger"].positives, train.labels["anger"].unknown) == (81, 2)
    assert (train.empty_texts, train.broken_texts) == (1, 1)
    assert (train.alike_repeats.texts, train.alike_repeats.conflicting) == (1, 1)
    assert train.equal_repeats.texts == 0
    (leak,) = inspection.leaks
    assert (leak.equal.texts, leak.alike.texts, leak.alike.conflicting) == (0, 1, 1)
    (comparison,) = inspection.comparisons
    assert comparison.shifts["joy"].significant
    assert (comparison.unseen_sets.rows, comparison.unseen_sets.examples) == (5, ((),))
    assert test.tokens is not None
    assert (test.tokens.max_length, test.tokens.lengths.longest, test.tokens.truncated) == (
        8,
        11,
        1,
    )


def test_planted_faults_are_warned_of(planted: list[Path], encoder: str) -> None:
    shown = str(inspect_files(planted, PLAIN, encoder=encoder))

    for text in (
        f"train: {planted[0]}",
        "train: 1 text is empty",
        "train: 1 text contains replacement, private-use or control characters",
        "train: 1 row is a near-duplicate of 1 text in the same file (0 exact); 1 text has "
        "conflicting labels.",
        "test: 1 row is a near-duplicate of 1 text in train",
        "    train, line 142: joy\n    train, line 143: anger\n",
        "    train, line 144: joy\n    test, line 107: anger\n",
        "test: fewer than 25 texts are positive for anger (1);",
        "test: label frequencies differ significantly from train: anger 55.9 % -> 0.9 %, "
        "joy 58.2 % -> 94.4 %.",
        "test: 5 texts have a label set that never occurs in train (1 distinct set, such as (none)).",
        "test: 1 text is longer than max_length=8 tokens",
        "Padding every text of train to max_length=8",
        "train: Texts: column 'text'",
        "unknown in train",
    ):
        assert text in shown


def test_the_table_aligns_counts_frequencies_and_differences(
    planted: list[Path], encoder: str
) -> None:
    lines = str(inspect_files(planted, PLAIN, encoder=encoder)).splitlines()

    start = next(number for number, line in enumerate(lines) if line.startswith("label "))
    assert lines[start].split() == (
        "label train freq. test freq. diff unknown in train unknown in test".split()
    )
    assert lines[start + 1].split() == "joy 85 58.2 % 101 94.4 % +36.2* 1 0".split()
    assert len({len(line) for line in lines[start : start + 3]}) == 1


def test_json_is_one_strict_document(planted: list[Path], encoder: str) -> None:
    inspection = inspect_files(planted, PLAIN, encoder=encoder)

    content: Any = json.loads(json.dumps(inspection.to_json(), allow_nan=False))

    assert set(content) == {"files", "comparisons", "leaks", "encoder", "remarks"}
    assert content["encoder"] == encoder
    assert content["files"][0]["source"] == str(planted[0])
    assert content["files"][0]["labels"]["joy"] == {
        "positives": 85,
        "unknown": 1,
        "share": pytest.approx(85 / 146),
    }
    assert content["files"][0]["alike_repeats"]["examples"][0]["occurrences"] == [
        {"source": str(planted[0]), "line": 142, "labels": ["joy"]},
        {"source": str(planted[0]), "line": 143, "labels": ["anger"]},
    ]
    assert content["comparisons"][0]["shifts"]["joy"]["significant"] is True
    assert content["leaks"][0]["alike"]["texts"] == 1


def test_rows_of_a_file_that_is_read_in_chunks_keep_their_lines(
    tmp_path: Path, encoder: str
) -> None:
    rows = [*many("happy", 1500, "1,0"), ("happy number 0", "0,1")]

    file = inspect_files([write(tmp_path / "long.csv", rows)], PLAIN, encoder=encoder).files[0]

    (duplicated,) = file.equal_repeats.examples
    assert (file.rows, file.labels["joy"].positives) == (1501, 1500)
    assert [(row.line, row.labels) for row in duplicated.occurrences] == [
        (2, ("joy",)),
        (1502, ("anger",)),
    ]


def test_a_clean_file_has_no_warning_but_the_cost_of_padding(tmp_path: Path, encoder: str) -> None:
    rows = [*many("happy", 30, "1,0"), *many("cross", 30, "0,1"), *many("both", 30, "1,1")]

    inspection = inspect_files([write(tmp_path / "clean.csv", rows)], PLAIN, encoder=encoder)

    assert (inspection.comparisons, inspection.leaks) == ((), ())
    assert len(inspection.remarks) == 2  # this encoder knows no word
    assert inspection.remarks[0].startswith("100 % of the tokens of clean.csv are unknown")
    assert inspection.remarks[1].startswith("Padding every text of clean.csv")
    assert "unknown in" not in str(inspection)
    assert "Conflicting" not in str(inspection)


def test_unknown_tokens_are_counted_per_file_and_shown(tmp_path: Path, encoder: str) -> None:
    rows = many("happy", 30, "1,0")

    inspection = inspect_files([write(tmp_path / "thai.csv", rows)], PLAIN, encoder=encoder)

    tokens = inspection.files[0].tokens
    assert tokens is not None
    assert (tokens.unknown, tokens.unknown_share) == (90, 1.0)
    assert "unknown tokens" in str(inspection)
    assert any("max_unknown_fraction" in remark for remark in inspection.remarks)


def test_one_label_in_every_row_is_multi_class(tmp_path: Path, encoder: str) -> None:
    rows = [*many("happy", 30, "1,0"), *many("cross", 30, "0,1"), ("doubtful", ",")]

    inspection = inspect_files([write(tmp_path / "classes.csv", rows)], PLAIN, encoder=encoder)

    assert inspection.files[0].is_multi_class
    assert any("looks like a multi-class task" in remark for remark in inspection.remarks)


def test_labels_without_both_values_are_named(tmp_path: Path, encoder: str) -> None:
    train = write(tmp_path / "train.csv", many("happy", 30, "1,0"))
    test = write(tmp_path / "test.csv", [*many("merry", 30, "1,0"), *many("cross", 30, "0,1")])

    remarks = inspect_files([train, test], PLAIN, encoder=encoder).remarks

    assert "train: no text is positive for anger; they cannot be learnt." in remarks
    assert "train: every text with a known value is positive for joy." in remarks


def test_a_label_that_only_a_later_file_names_is_reported(tmp_path: Path, encoder: str) -> None:
    train = write(tmp_path / "train.csv", [("a", "joy"), ("b", "joy|anger")], "text,labels")
    test = write(tmp_path / "test.csv", [("c", "pride"), ("d", "joy")], "text,labels")

    inspection = inspect_files([train, test], PLAIN, encoder=encoder)

    counts = {name: label.positives for name, label in inspection.files[1].labels.items()}
    assert counts == {"anger": 0, "joy": 1, "pride": 1}
    assert all(label.unknown == 0 for file in inspection.files for label in file.labels.values())
    assert inspection.remarks[0].startswith("train lacks these labels of the other files: pride.")


def test_a_column_that_only_a_later_file_has_is_unknown_in_the_first(
    tmp_path: Path, encoder: str
) -> None:
    train = write(tmp_path / "train.csv", [("a", "1,0"), ("b", "1,1")])
    test = write(tmp_path / "test.csv", [("c", "1,0,1"), ("d", "0,1,0")], "text,joy,anger,pride")

    inspection = inspect_files([train, test], PLAIN, encoder=encoder)

    assert inspection.files[0].labels["pride"].unknown == 2
    assert inspection.files[1].labels["pride"].positives == 1
    assert "these labels of the other files: pride." in inspection.remarks[0]


def test_a_column_that_a_later_file_lacks_is_an_error(tmp_path: Path, encoder: str) -> None:
    train = write(tmp_path / "train.csv", [("a", "1,0"), ("b", "1,1")])
    test = write(tmp_path / "test.csv", [("c", "1"), ("d", "0")], "text,joy")

    with pytest.raises(DataError) as raised:
        inspect_files([train, test], PLAIN, encoder=encoder)

    assert raised.value.path == str(test)


def test_a_label_without_any_known_value_has_no_frequency(tmp_path: Path, encoder: str) -> None:
    train = write(tmp_path / "train.csv", [("a", ",0"), ("b", ",1")])
    test = write(tmp_path / "test.csv", [("c", ","), ("d", ",")])

    lines = str(inspect_files([train, test], PLAIN, encoder=encoder)).splitlines()

    joy = next(line for line in lines if line.startswith("joy "))
    assert joy.split() == "joy 0 - 0 - - 2 2".split()
    assert any(line.split() == "labels per text 0.500 -".split() for line in lines)


def test_an_encoder_without_a_tokenizer_file_is_loaded_by_transformers(
    tmp_path: Path, encoder: str
) -> None:
    folder = Path(encoder)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    rows = {"vocab_size": 7, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = {"model_type": "bert", "max_position_embeddings": 8, **rows}
    (folder / "config.json").write_text(json.dumps(config))
    embeddings = {
        "embeddings.word_embeddings.weight": np.zeros((7, 4), np.float32),
        "embeddings.position_embeddings.weight": np.zeros((8, 4), np.float32),
        "encoder.layer.0.output.dense.bias": np.zeros(4, np.float32),
    }
    save_file(embeddings, folder / "model.safetensors")
    path = write(tmp_path / "train.csv", [("a b a b", "1,0"), ("b", "1,1")])

    tokens = inspect_files([path], PLAIN, encoder=encoder).files[0].tokens

    assert tokens is not None
    assert (tokens.max_length, tokens.lengths.longest) == (8, 6)


def test_a_wrong_cell_in_a_later_file_is_still_an_error(tmp_path: Path, encoder: str) -> None:
    train = write(tmp_path / "train.csv", [("a", "1,0"), ("b", "1,1")])
    test = write(tmp_path / "test.csv", [("c", "1,0"), ("d", "1,maybe")])

    with pytest.raises(DataError) as raised:
        inspect_files([train, test], PLAIN, encoder=encoder)

    error = raised.value
    assert (error.path, error.line, error.column) == (str(test), 3, "anger")


def test_at_least_one_file_is_needed() -> None:
    with pytest.raises(OptionError):
        inspect_files([], PLAIN)


@pytest.mark.parametrize("max_length", [0, -3, 9])
def test_max_length_is_within_the_limit_of_the_encoder(
    tmp_path: Path, encoder: str, max_length: int
) -> None:
    path = write(tmp_path / "train.csv", [("a", "1,0"), ("b", "1,1")])

    with pytest.raises(OptionError, match=rf"max_length={max_length}\b"):
        inspect_files([path], PLAIN, encoder=encoder, max_length=max_length)


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"model_type": "bert", "max_position_embeddings": 8}, 8),
        ({"model_type": "roberta", "max_position_embeddings": 8}, 6),
        ({"model_type": "roberta", "max_position_embeddings": 8, "pad_token_id": 3}, 4),
        ({"model_type": "t5"}, 256),
        (None, 256),
    ],
)
def test_the_default_length_is_what_the_configuration_allows(
    tmp_path: Path, encoder: str, config: dict[str, object] | None, limit: int
) -> None:
    path = write(tmp_path / "train.csv", [("a", "1,0"), ("b", "1,1")])
    (Path(encoder) / "config.json").unlink()
    if config is not None:
        (Path(encoder) / "config.json").write_text(json.dumps(config))
    no_limit = {"model_max_length": int(1e30)}  # as transformers writes it
    (Path(encoder) / "tokenizer_config.json").write_text(json.dumps(no_limit))

    tokens = inspect_files([path], PLAIN, encoder=encoder).files[0].tokens

    assert tokens is not None
    assert tokens.max_length == limit


def test_an_encoder_that_is_missing_or_broken_is_refused(tmp_path: Path, encoder: str) -> None:
    path = write(tmp_path / "train.csv", [("a", "1,0"), ("b", "1,1")])
    (Path(encoder) / "config.json").write_text("{")

    with pytest.raises(EncoderError, match=r"config\.json"):
        inspect_files([path], PLAIN, encoder=encoder)
    with pytest.raises(EncoderError, match=r"\./nowhere"):
        inspect_files([path], PLAIN, encoder="./nowhere")


def test_without_the_starter_texts_are_measured_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = write(tmp_path / "train.csv", [("a b c d", "1,0"), ("b", "1,1")])

    inspection = inspect_files([path], PLAIN)

    assert (inspection.encoder, inspection.files[0].tokens) == (None, None)
    assert "pip install 'multihot[starter]'" in inspection.remarks[0]
    assert "tokens per text" not in str(inspection)
    with pytest.raises(MissingExtraError):
        inspect_files([path], PLAIN, encoder="starter")


def test_texts_beyond_max_length_count_as_truncated(tmp_path: Path, encoder: str) -> None:
    path = write(tmp_path / "train.csv", [("a b c d", "1,0"), ("b", "1,1")])

    inspection = inspect_files([path], PLAIN, encoder=encoder, max_length=5)

    tokens = inspection.files[0].tokens
    assert tokens is not None
    assert (tokens.max_length, tokens.truncated, tokens.lengths.longest) == (5, 1, 6)
    assert tokens.truncated_share == 0.5
    lines = str(inspection).splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("truncated at 5"))
    assert lines[row + 1].split() == "fraction of the texts 50.0 %".split()


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["x/E-c-train.txt", "x/E-c-test-gold.txt"], ["train", "test-gold"]),
        (["train.csv", "test.csv"], ["train", "test"]),
        (["a/train.csv", "b/train.csv"], ["a/train.csv", "b/train.csv"]),
        (["data.csv", "data-new.csv"], ["data", "data-new"]),
        (["d/only.csv"], ["only.csv"]),
    ],
)
def test_short_names_drop_the_common_prefix_by_whole_words(
    sources: list[str], names: list[str]
) -> None:
    assert short_names(sources) == names


def test_inspecting_needs_neither_torch_nor_transformers(planted: list[Path], encoder: str) -> None:
    code = (
        "import sys; from multihot.workflows.inspect import inspect_files; "
        f"inspect_files({[str(path) for path in planted]!r}, encoder={encoder!r}); "
        "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def save_model(
    folder: Path,
    thresholds: str | float = "global",
    goal: str = "jaccard",
    *,
    with_head: bool = False,
) -> Path:
    space = LabelSpace(("joy", "anger"))
    labels = LabelMatrix(space, np.array([[1, 0], [0, 1]], dtype=np.float32))
    logits = np.array([[1, -1], [-2, -0.5]], dtype=np.float32)
    fitted_rows = FittingRows.of_labels(space, logits, labels, ["a", "b"])
    chosen = DecisionOptions(goal, thresholds)
    decision = fit(space, fitted_rows, chosen, source="dev.csv").decision

    def write_network(stage: Path) -> list[str]:
        inside = "encoder/" if with_head else ""
        (stage / inside).mkdir(exist_ok=True)
        config = '{"model_type": "bert", "hidden_size": 8, "vocab_size": [1]}'
        (stage / f"{inside}config.json").write_text(config)
        (stage / f"{inside}model.safetensors").write_bytes(bytes(1000))
        (stage / "head.safetensors").write_bytes(bytes(10))
        names = [f"{inside}config.json", f"{inside}model.safetensors"]
        return [*names, "head.safetensors"] if with_head else names

    form = ("mean", "encoder_and_head") if with_head else ("cls", "sequence_classification")
    save_artifact(
        Artifact(folder, decision, DataOptions(text_column="text"), 64, *form),
        write_network=write_network,
        tokenizer=Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")),
        tokenizer_config={},
        card="# Card\n",
    )
    return folder


def test_a_model_folder_is_summarised(tmp_path: Path) -> None:
    summary = inspect_artifact(save_model(tmp_path / "model"))

    assert list(summary.thresholds) == ["joy", "anger"]
    assert (summary.goal, summary.kind) == ("jaccard", "global")
    assert (summary.fitted_source, summary.fitted_rows) == ("dev.csv", 2)
    assert summary.encoder == {"model_type": "bert", "hidden_size": 8}
    assert summary.files["model.safetensors"] == 1000
    assert "README.md" not in summary.files
    content: Any = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert content["labels"] == ["joy", "anger"]
    assert content["data"]["text_column"] == "text"
    assert content["max_length"] == 64
    shown = str(summary)
    for text in ("sequence_classification, cls pooling", "2 rows of dev.csv", "64 tokens"):
        assert text in shown


def test_the_encoder_is_described_where_it_is(tmp_path: Path) -> None:
    summary = inspect_artifact(save_model(tmp_path / "model", with_head=True))

    assert summary.encoder == {"model_type": "bert", "hidden_size": 8}


def test_a_model_with_a_damaged_file_is_not_summarised(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / "tokenizer_config.json").write_text("{}")

    with pytest.raises(ArtifactError, match=r"tokenizer_config\.json was changed"):
        inspect_artifact(folder)


def test_fixed_thresholds_are_fitted_on_nothing(tmp_path: Path) -> None:
    summary = inspect_artifact(save_model(tmp_path / "model", thresholds=0.4))

    assert (summary.kind, summary.fitted_source, summary.fitted_rows) == ("fixed", None, 0)
    assert "not fitted" in str(summary)


def test_labels_that_are_taken_by_rank_have_no_thresholds(tmp_path: Path) -> None:
    summary = inspect_artifact(save_model(tmp_path / "model", goal="top_k=1"))

    assert summary.to_json()["thresholds"] == {"joy": None, "anger": None}
    assert "Labels are taken by rank (top_k=1), without thresholds: joy, anger" in str(summary)
    assert "0.000" not in str(summary)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        inspect_artifact(tmp_path)


def test_texts_that_write_special_tokens_are_remarked(tmp_path: Path, tiny_encoder: Path) -> None:
    rows = [*many("happy day", 5, "1,0"), *many("i [SEP] am", 2, "0,1")]

    inspection = inspect_files(
        [write(tmp_path / "logs.csv", rows)], PLAIN, encoder=str(tiny_encoder)
    )

    assert any("2 texts write a special token" in remark for remark in inspection.remarks)
