"""Several processes take the steps of one: every row once, the same weights, and no one left waiting."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from factories import hashes, log_of, rows, write_csv
from multihot.core.options import TrainOptions
from multihot.errors import InterruptedRunError, NonFiniteError, OptionError, TrainingError
from multihot.training.ranks import joined
from together import environment_of, free_port, together, toy_weights, trained

DATA = rows(37, 0), rows(20, 1)
SIZES = {  # rows of each process in each step
    2: [(3, 5), (8, 0), (1, 1), (0, 3)],
    4: [(2, 0, 3, 1), (0, 0, 0, 5), (4, 4, 4, 4)],
}


@pytest.fixture(scope="module")
def options(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """Options of a short run on an encoder without dropout, whose streams differ by process."""
    folder = tmp_path_factory.mktemp("no-dropout") / "encoder"
    shutil.copytree(tiny_encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return TrainOptions(
        encoder=str(folder),
        epochs=2,
        batch_size=8,
        accumulation_steps=2,
        learning_rate=3e-3,
        precision="fp32",
        device="cpu",
        threads=1,
        checkpoint_steps=2,
    )


def difference(first: Path, second: Path) -> float:
    """Return the relative difference of all weights of two models."""
    weights = [load_file(folder / "model.safetensors") for folder in (first, second)]
    flat = [np.concatenate([w[name].ravel() for name in sorted(w)]) for w in weights]
    return float(np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[0]))


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_take_the_step_that_one_takes_of_all_their_rows(count: int) -> None:
    sizes = SIZES[count]
    alone, losses = toy_weights(sizes, clip=0.1)
    found = together(toy_weights, [(sizes, 0.1)] * count)

    for weights, seen in found:
        assert seen == pytest.approx(losses, rel=1e-6)
        for name, expected in alone.items():
            np.testing.assert_allclose(weights[name], expected, rtol=2e-6, atol=2e-7, err_msg=name)
            assert weights[name].tobytes() == found[0][0][name].tobytes(), name
        assert (weights["unused"] == 1).all()  # without a gradient anywhere it does not decay


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_all_processes_and_names_the_rows_of_one() -> None:
    errors = together(toy_weights, [([(3, 5), (8, 1)], 0.0, 2)] * 2)

    for error in errors:
        assert isinstance(error, NonFiniteError)
        assert "Stopped at step 2" in str(error)
        assert "of process 1" in str(error)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_ends_the_wait_for_a_process_that_never_comes(
    monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    for name, value in environment_of(rank, 2, free_port()).items():
        monkeypatch.setenv(name, value)

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt), joined("cpu"):
            pytest.fail("there is nobody to meet")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_torchrun_starts_processes_of_which_one_speaks(
    options: TrainOptions, tmp_path: Path
) -> None:
    for name, examples in zip(("train.csv", "dev.csv"), DATA, strict=True):
        write_csv(tmp_path / name, examples)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-addr", "127.0.0.1", "--master-port", str(free_port())),
            *("-m", "multihot", "train", "train.csv", "--validation", "dev.csv"),
            *("--encoder", options.encoder, "--output", "model", "epochs=1", "precision=fp32"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("Using 2 processes, each on cpu with 1 threads in fp32") == 1
    assert done.stderr.count("Epoch 1 of 1") == 1
    assert (tmp_path / "model" / "thresholds.json").is_file()


@pytest.mark.slow
def test_two_processes_write_the_model_of_one(options: TrainOptions, tmp_path: Path) -> None:
    outputs = tmp_path / "one", tmp_path / "two"
    (report,) = together(trained, [(DATA, options, outputs[0])])
    reports = together(trained, [(DATA, options, outputs[1])] * 2)

    assert difference(*outputs) < 1e-6
    assert reports[0] == reports[1]
    for one, two in zip(*map(log_of, outputs), strict=True):
        assert one.keys() == two.keys()
        assert [two[name] for name in one] == [
            pytest.approx(each, rel=1e-4, abs=1e-4) for each in one.values()
        ]
    assert report.keys() == reports[0].keys()
    files = [sorted(p.relative_to(o) for p in o.rglob("*")) for o in outputs]
    assert files[0] == files[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [({"epochs": 3}, "epochs is 3, not 2"), ({"rows": 36}, "training_data is ")],
)
def test_processes_that_were_given_other_things_are_refused_before_anything_is_written(
    options: TrainOptions, tmp_path: Path, change: dict[str, int], named: str
) -> None:
    data = (rows(change["rows"], 0), DATA[1]) if "rows" in change else DATA
    other = options if "rows" in change else replace(options, epochs=change["epochs"])
    output = tmp_path / "model"
    errors = together(trained, [(DATA, options, output), (data, other, output)])

    for error in errors:
        assert isinstance(error, OptionError)
        assert error.is_shared
        assert f"Process 1 of 2 differs from process 0: {named}" in str(error)
    assert not output.exists()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_and_a_resumed_run_is_the_undisturbed_one(
    options: TrainOptions, tmp_path: Path, rank: int
) -> None:
    output, peaceful = tmp_path / "model", tmp_path / "peaceful"
    together(trained, [(DATA, options, peaceful)] * 2)
    stops: list[Any] = [None, None]
    stops[rank] = (6, signal.SIGKILL)
    outcomes = together(trained, [(DATA, options, output, False, stop) for stop in stops])

    assert outcomes[rank] == -signal.SIGKILL
    assert isinstance(outcomes[1 - rank], TrainingError)
    assert "lost another process of this run" in str(outcomes[1 - rank])
    assert together(trained, [(DATA, options, output, True)] * 2)[0] != ""
    assert hashes(output) == hashes(peaceful)
    assert log_of(output) == log_of(peaceful)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_the_same_step_with_a_checkpoint(
    options: TrainOptions, tmp_path: Path
) -> None:
    stops = [None, (3, signal.SIGTERM)]
    outcomes = together(trained, [(DATA, options, tmp_path, False, stop) for stop in stops])

    for outcome in outcomes:
        assert isinstance(outcome, InterruptedRunError)
        assert "SIGTERM after step 3; a checkpoint was written" in str(outcome)
    assert (tmp_path / "run" / "checkpoints" / "step-000003" / "manifest.json").is_file()
    (error,) = together(trained, [(DATA, options, tmp_path, True)])
    assert isinstance(error, OptionError)
    assert "has processes=2, this one 1" in str(error)
    refused = together(trained, [(DATA, replace(options, seeds=2), tmp_path / "new")] * 2)
    assert [str(each).partition(":")[0] for each in refused] == ["seeds", "seeds"]
