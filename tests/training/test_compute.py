"""Packed where the self-test passes, padded elsewhere, and every run logs which and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from models.packable import make_network
from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.errors import OptionError
from multihot.models.devices import choose_precision
from multihot.models.packed.encoder import ATTENTION
from multihot.training import compute
from multihot.training.compute import Hardware, choose_execution


class Notes(Listener):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def choose(network: Any, wanted: str) -> tuple[bool, list[str]]:
    notes, device = Notes(), torch.device("cpu")
    hardware = Hardware(device, choose_precision("bf16", device))
    packed = choose_execution(wanted, network, hardware, notes)
    return packed, notes.said


@pytest.mark.parametrize("wanted", ["auto", "packed"])
def test_a_packable_encoder_runs_packed(wanted: str, tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "cls")

    found = choose(network, wanted)

    assert found == (True, ["Packed execution enabled (self-test passed)."])
    assert network.config._attn_implementation == ATTENTION


def test_padding_can_be_asked_for(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "cls")

    assert choose(network, "padded") == (
        False,
        ["Padded execution (requested)."],
    )
    assert network.config._attn_implementation == "sdpa"


def test_other_encoders_run_padded_and_say_why(tmp_path: Path) -> None:
    network = make_network("mpnet", tmp_path, "mean")

    packed, (message,) = choose(network, "auto")

    assert not packed
    assert message.startswith("Padded execution: MPNetModel")


def test_packing_what_cannot_be_packed_is_an_error(tmp_path: Path) -> None:
    network = make_network("mpnet", tmp_path, "mean")

    with pytest.raises(
        OptionError, match=r"execution='packed' is not possible: MPNetModel .* Use execution=auto\."
    ):
        choose(network, "packed")


@pytest.mark.parametrize(
    ("busy", "threads", "warned"), [(1, 2, True), (0, 2, False), (9, 1, False)]
)
def test_programs_beside_a_run_of_several_threads_are_remarked(
    busy: int, threads: int, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "busy_elsewhere", lambda: busy)
    monkeypatch.setattr(compute, "allowed_processors", lambda: 2)
    notes = Notes()

    with compute.only_run(notes):
        compute.choose_hardware(
            TrainOptions(device="cpu", threads=threads), tmp_path, resume=False, listener=notes
        )

    assert any("threads=1 may well be faster" in line for line in notes.said) is warned


@pytest.mark.parametrize(
    ("busy", "environment", "threads"),
    [(1, {}, 3), (9, {}, 1), (0, {}, 4), (1, {"OMP_NUM_THREADS": "4"}, 4)],
)
def test_processors_that_others_keep_busy_are_left_to_them_unless_threads_are_stated(
    busy: int,
    environment: dict[str, str],
    threads: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compute, "busy_elsewhere", lambda: busy)
    monkeypatch.setattr(compute, "allowed_processors", lambda: 4)
    monkeypatch.setattr(os, "environ", environment)
    notes = Notes()

    with compute.only_run(notes):
        torch.set_num_threads(4)
        compute.choose_hardware(TrainOptions(device="cpu"), tmp_path, resume=False, listener=notes)
        used = torch.get_num_threads()

    assert used == threads
    assert any("are left to them; threads=4 uses all of them" in line for line in notes.said) is (
        threads < 4
    )
