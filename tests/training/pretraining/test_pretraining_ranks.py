"""Several processes pretrain the encoder that one does."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from factories import log_of
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.recipes import build_options
from multihot.errors import OptionError, TrainingError
from small_corpus import QUICK, write_corpus
from together import pretrained, together

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def options() -> PretrainOptions:
    return build_options(PretrainOptions, {**QUICK, "vocab_size": 90, "accumulation_steps": 2})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl")


@pytest.fixture(scope="module")
def by_two(
    corpus: Path, options: PretrainOptions, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of an encoder that two processes pretrained in peace."""
    folder = tmp_path_factory.mktemp("by-two") / "encoder"
    outcomes = together(pretrained, [(corpus, options, folder)] * 2)
    assert [type(each) for each in outcomes] == [dict, dict], outcomes
    return folder


def weights(folder: Path) -> np.ndarray:
    """Return all weights of an encoder in one array."""
    tensors = load_file(folder / "model.safetensors")
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


def test_two_processes_pretrain_the_encoder_of_one(
    corpus: Path, options: PretrainOptions, by_two: Path, tmp_path: Path
) -> None:
    (report,) = together(pretrained, [(corpus, options, tmp_path)])

    one, two = weights(tmp_path), weights(by_two)
    assert np.linalg.norm(two - one) < 1e-5 * np.linalg.norm(one)
    assert report["steps"] == 12
    for first, second in zip(log_of(tmp_path), log_of(by_two), strict=True):
        for name in first.keys() - {"seconds"}:
            assert second[name] == pytest.approx(first[name], rel=1e-4, abs=1e-5), name


def test_a_process_that_looks_for_a_plan_after_the_first_has_written_it_goes_on_with_it(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    options, lateness = replace(options, total_steps=2), (0.0, 2.0)
    outcomes = together(
        pretrained, [(corpus, options, tmp_path, False, None, late) for late in lateness]
    )

    assert [type(each) for each in outcomes] == [dict, dict], outcomes


def test_a_killed_process_ends_the_other_and_a_resumed_run_is_the_undisturbed_one(
    corpus: Path, options: PretrainOptions, by_two: Path, tmp_path: Path
) -> None:
    stops = [None, (7, signal.SIGKILL)]
    outcomes = together(pretrained, [(corpus, options, tmp_path, False, stop) for stop in stops])
    resumed = together(pretrained, [(corpus, options, tmp_path, True)] * 2)

    assert isinstance(outcomes[0], TrainingError)
    assert outcomes[1] == -signal.SIGKILL
    assert [type(each) for each in resumed] == [dict, dict], resumed
    assert (tmp_path / "model.safetensors").read_bytes() == (
        by_two / "model.safetensors"
    ).read_bytes()


def test_processes_with_other_corpora_are_refused_before_anything_is_written(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    other = write_corpus(tmp_path / "other.jsonl", seed=1)
    output = tmp_path / "encoder"
    errors = together(pretrained, [(path, options, output) for path in (corpus, other)])

    for error in errors:
        assert isinstance(error, OptionError)
        assert "Process 1 of 2 differs from process 0: corpus is" in str(error)
    assert not output.exists()


def test_a_plan_in_hours_is_that_of_the_first_process(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    timed = replace(options, total_steps=None, hours=2 / 3600)
    reports = together(pretrained, [(corpus, timed, tmp_path)] * 2)

    assert reports[0]["steps"] == reports[1]["steps"] > 0
