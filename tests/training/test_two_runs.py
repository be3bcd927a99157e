"""Runs at the same time in one process give what they give alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from emotions import QUICK, write_jsonl
from multihot.core.files import sha256_of
from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import build_options
from multihot.core.turns import OneAtATime
from multihot.data.labelled_file import read_examples
from multihot.workflows.train import train


class Kept(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.mark.slow
def test_two_runs_at_once_give_the_weights_of_runs_alone(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "train.jsonl")

    def weights(name: str, seed: int, listener: Listener | None = None) -> str:
        values = {"encoder": str(tiny_encoder), **QUICK, "epochs": 2, "seed": seed}
        options = build_options(TrainOptions, values)
        train(read_examples(rows), None, options, tmp_path / name, listener=listener)
        (file,) = (tmp_path / name).rglob("model.safetensors")
        return sha256_of(file)

    state, num_threads = torch.get_rng_state(), torch.get_num_threads()
    alone = [weights(f"alone-{seed}", seed) for seed in (0, 1)]
    listeners = [Kept(), Kept()]
    with ThreadPoolExecutor(2) as pool:
        names = ["beside-0", "beside-1"]
        beside = list(pool.map(weights, names, (0, 1), listeners))

    assert beside == alone
    assert alone[0] != alone[1]
    waited = [said for each in listeners for said in each.said if "begins when" in said]
    assert len(waited) == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == num_threads


def test_a_thread_may_begin_again_inside_and_others_wait() -> None:
    once, inside, others = OneAtATime(), threading.Event(), list[str]()

    def other() -> None:
        with once.turn(inside.set):
            others.append("other")

    with once.turn(), once.turn():
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(60)
        assert not others
    thread.join(60)

    assert others == ["other"]


def test_a_fork_leaves_nothing_locked() -> None:
    once = OneAtATime()
    held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with once.turn():
            held.set()
            may_end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    once._renew()  # what a fork calls in the child

    with once.turn():
        pass
    may_end.set()
    thread.join(60)
