"""One backend answers any number of threads, cold or warm, as it answers one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.packable import make_network, make_texts
from multihot.errors import ArtifactError
from multihot.inference.predictor import Predictor
from multihot.inference.torch_backend import TorchBackend
from multihot.models.devices import choose_precision

NUM_THREADS = 8


def frozen(network: Any) -> TorchBackend:
    device = torch.device("cpu")
    return TorchBackend(network, 3, device, choose_precision("fp32", device), frozen=True)


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_threads_get_what_one_gets(pooling: str, is_warm: bool, tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, pooling).train()  # as it is after loading
    lengths = np.random.default_rng(0).integers(1, 40, 400)
    texts = make_texts(network, lengths.tolist())
    backend = frozen(network)
    if is_warm:
        backend.logits(texts)
    random = np.random.default_rng(1)
    # Small calls before, while and after a large one lays out the weights.
    calls = [random.integers(0, 400, size) for size in random.choice([1, 3, 20, 90], 160)]
    start = threading.Barrier(NUM_THREADS)

    def work(number: int) -> list[np.ndarray]:
        start.wait()
        return [backend.logits(texts, call) for call in calls[number::NUM_THREADS]]

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        found = list(pool.map(work, range(NUM_THREADS)))

    expected = backend.logits(texts)
    for number, answers in enumerate(found):
        for call, answer in zip(calls[number::NUM_THREADS], answers, strict=True):
            np.testing.assert_allclose(answer, expected[call], rtol=0, atol=1e-5)


def test_a_finished_network_is_never_in_training_mode(tiny_model: Path) -> None:
    predictor = Predictor.load(tiny_model, device="cpu")
    network = predictor.backend.network  # type: ignore[attr-defined]

    predictor.scores(["happy today"])
    predictor.scores(["happy today"] * 80)

    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("num_texts", [2, 80])
def test_weights_that_are_written_to_while_in_use_give_no_scores(
    tiny_model: Path, tmp_path: Path, num_texts: int
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    predictor = Predictor.load(folder, device="cpu")
    texts = ["happy today"] * num_texts
    before = predictor.scores(texts)
    weights = folder / predictor.artifact.weights_name
    (tmp_path / "other").write_bytes(weights.read_bytes())
    kept = weights.with_name("kept")
    weights.rename(kept)  # another file has the name: nothing changed
    (tmp_path / "other").replace(weights)
    np.testing.assert_array_equal(predictor.scores(texts), before)

    with kept.open("r+b") as handle:
        handle.seek(-100, os.SEEK_END)
        handle.write(bytes(50))

    for _ in range(2):
        with pytest.raises(ArtifactError, match="was changed while it is in use"):
            predictor.scores(texts)


def test_a_call_that_fails_holds_nobody_back(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")
    texts = make_texts(network, [3, 4])
    backend = frozen(network)

    with pytest.raises(IndexError):
        backend.logits(texts, np.array([0, 5]))
    with ThreadPoolExecutor(1) as pool:
        many = pool.submit(backend.logits, make_texts(network, [3, 4] * 40))
        assert many.result(timeout=60).shape == (80, 3)


FORK = """
import os, sys, threading, time
import torch
from multihot.inference.predictor import Predictor

predictor = Predictor.load(sys.argv[1], device="cpu")
texts = ["so happy today"] * 100
expected = predictor.scores(texts)
assert torch.get_num_threads() == 2
busy = threading.Thread(target=lambda: [predictor.scores(texts[:3]) for _ in range(20)])
busy.start()
child = os.fork()
if not child:
    same = all(abs(predictor.scores(texts[:n]) - expected[:n]).max() < 1e-5 for n in (100, 2))
    os._exit(0 if same else 3)
until = time.monotonic() + 60
while not (ended := os.waitpid(child, os.WNOHANG))[0]:
    if time.monotonic() > until:
        os.kill(child, 9)
        sys.exit("the child hangs")
    time.sleep(0.05)
busy.join()
sys.exit(os.waitstatus_to_exitcode(ended[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_goes_on_with_the_model(tiny_model: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, str(tiny_model)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
