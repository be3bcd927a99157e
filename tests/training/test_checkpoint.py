"""Checkpoints: equal to the last bit, or not there at all."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from multihot.core.files import sha256_of
from multihot.errors import StorageError, TrainingError
from multihot.training import checkpoint
from multihot.training.checkpoint import (
    checkpoint_folder,
    damaged_checkpoints,
    keep_checkpoints,
    latest_checkpoint,
    load_checkpoint,
    load_checkpoint_weights,
    load_result,
    read_state,
    save_checkpoint,
    save_result,
)
from multihot.training.optimizer import build_optimizer
from training.toys import copied, same, steps_of, toy_network, toy_rows, train_toy

FILES = ["network.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]


class Trained:
    """A network and its optimiser after a few steps."""

    def __init__(self, num_steps: int = 3) -> None:
        self.network = toy_network(dropout=0.5)
        self.optimizer = build_optimizer(self.network, 0.01, 0.1)
        self.steps = steps_of([toy_rows()], epochs=6)
        train_toy(self.network, self.steps[:num_steps], optimizer=self.optimizer)

    def save(self, root: Path, step: int, best_step: int = 0) -> Path:
        state = {"best_step": best_step, "best_value": 0.1 + 0.2}
        return save_checkpoint(root, step, self.network, self.optimizer, state)

    def moments(self) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": tensor.clone()
            for name, parameter in self.network.named_parameters()
            for key, tensor in self.optimizer.state[parameter].items()
        }


@pytest.fixture
def trained() -> Trained:
    return Trained()


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_weights_moments_and_state_come_back_to_the_last_bit(
    trained: Trained, tmp_path: Path
) -> None:
    folder = trained.save(tmp_path, 3)
    other = Trained(num_steps=0)

    state = load_checkpoint(folder, other.network, other.optimizer)

    assert sorted(FILES) == names(folder)
    assert folder == checkpoint_folder(tmp_path, 3) == tmp_path / "step-000003"
    assert state == {"step": 3, "best_step": 0, "best_value": 0.1 + 0.2}
    assert same(copied(trained.network), copied(other.network))
    assert same(trained.moments(), other.moments())


def test_training_goes_on_as_if_nothing_had_happened(trained: Trained, tmp_path: Path) -> None:
    folder = trained.save(tmp_path, 3)
    other = Trained(num_steps=0)
    load_checkpoint(folder, other.network, other.optimizer)

    train_toy(trained.network, trained.steps[3:], optimizer=trained.optimizer)
    train_toy(other.network, other.steps[3:], optimizer=other.optimizer)

    assert same(copied(trained.network), copied(other.network))
    assert same(trained.moments(), other.moments())


def test_a_checkpoint_before_any_update_has_no_moments(tmp_path: Path) -> None:
    fresh, other = Trained(num_steps=0), Trained(num_steps=0)

    load_checkpoint(fresh.save(tmp_path, 1), other.network, other.optimizer)

    assert not other.optimizer.state


def test_shared_and_transposed_weights_come_back(tmp_path: Path) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        network = nn.ModuleDict({"first": nn.Linear(4, 4), "second": nn.Linear(4, 4)})
        network["second"].weight = network["first"].weight
        network["first"].weight.data = network["first"].weight.data.t()
        return network

    network, other = build(), build()
    optimizer = build_optimizer(network, 0.1, 0.0)
    network["second"](network["first"](torch.ones(1, 4))).sum().backward()
    optimizer.step()

    folder = save_checkpoint(tmp_path, 1, network, optimizer, {})
    load_checkpoint(folder, other, build_optimizer(other, 0.1, 0.0))

    assert same(copied(network), copied(other))
    assert other["first"].weight is other["second"].weight


def test_the_newest_checkpoint_is_the_latest(trained: Trained, tmp_path: Path) -> None:
    # Names of more than six digits sort behind the others as numbers, not as words.
    for step in (9, 10, 999_999, 1_000_000):
        newest = trained.save(tmp_path, step)

    assert newest == latest_checkpoint(tmp_path)


def test_without_a_checkpoint_there_is_no_latest(tmp_path: Path) -> None:
    (tmp_path / "step-unfinished").mkdir()

    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    trained: Trained, tmp_path: Path, name: str, damage: str
) -> None:
    before = trained.save(tmp_path, 1)
    path = trained.save(tmp_path, 2) / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"truncated": content[:-1], "changed": flipped, "empty": b""}[damage])
        if name == "manifest.json" and damage == "truncated":
            path.write_bytes(content[:-4])  # the last byte is only the end of the line

    assert before == latest_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["[]", '{"files": []}', '{"files": {"state.json": 3}}', "1"])
def test_a_manifest_of_another_shape_vouches_for_nothing(
    trained: Trained, tmp_path: Path, content: str
) -> None:
    folder = trained.save(tmp_path, 1)
    (folder / "manifest.json").write_text(content)

    assert latest_checkpoint(tmp_path) is None


def test_a_half_written_checkpoint_is_ignored_and_replaced(
    trained: Trained, tmp_path: Path
) -> None:
    before = trained.save(tmp_path, 1)
    shutil.copytree(before, tmp_path / ".writing-step-000002")
    (tmp_path / ".writing-step-000002" / "rubbish").write_text("left by a kill")

    assert before == latest_checkpoint(tmp_path)
    assert sorted(FILES) == names(trained.save(tmp_path, 2))
    assert names(tmp_path) == ["step-000001", "step-000002"]


def test_a_damaged_checkpoint_of_the_same_step_is_replaced(
    trained: Trained, tmp_path: Path
) -> None:
    folder = trained.save(tmp_path, 1)
    (folder / "network.safetensors").write_bytes(b"")

    assert trained.save(tmp_path, 1) == latest_checkpoint(tmp_path)


def test_a_checkpoint_whose_best_epoch_is_lost_does_not_count(
    trained: Trained, tmp_path: Path
) -> None:
    trained.save(tmp_path, 1, best_step=1)
    trained.save(tmp_path, 2, best_step=2)
    trained.save(tmp_path, 3, best_step=2)
    (tmp_path / "step-000002" / "network.safetensors").write_bytes(b"")

    assert latest_checkpoint(tmp_path) == tmp_path / "step-000001"


def test_a_full_disk_is_found_out_before_anything_is_written(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trained.save(tmp_path, 1)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1_000_000))

    with pytest.raises(
        StorageError, match=r"needs 1 MB, but only 1 MB are free. Earlier checkpoints are complete"
    ):
        trained.save(tmp_path, 2)

    assert names(tmp_path) == ["step-000001"]
    assert before == latest_checkpoint(tmp_path)


@pytest.mark.skipif(not hasattr(shutil.os, "fork"), reason="needs a POSIX file size limit")
@pytest.mark.parametrize("limit", [0, 1, 500, 1500])
def test_a_write_that_fails_half_way_leaves_earlier_checkpoints_alone(
    trained: Trained, tmp_path: Path, limit: int
) -> None:
    import resource
    import signal

    before = trained.save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        with pytest.raises(StorageError, match=r"Cannot write .*step-000002.* space") as caught:
            trained.save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)

    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["step-000001"]
    assert before == latest_checkpoint(tmp_path)


@pytest.mark.parametrize("function", ["flush_file", "flush_folder", "sha256_of"])
def test_a_disk_that_fails_while_sealing_leaves_nothing_half_done(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    before = trained.save(tmp_path, 1)

    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, function, fail)
        with pytest.raises(StorageError, match=r"No space left on device. The disk is full"):
            trained.save(tmp_path, 2)

    assert names(tmp_path) == ["step-000001"]
    assert before == latest_checkpoint(tmp_path)


def test_a_folder_that_cannot_be_written_is_explained(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")

    with pytest.raises(StorageError, match="Check that the folder exists and may be written to"):
        trained.save(tmp_path / "checkpoints", 1)


def test_the_newest_two_and_their_best_epochs_are_kept(trained: Trained, tmp_path: Path) -> None:
    for step, best in [(1, 0), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4)]:
        trained.save(tmp_path, step, best_step=best)
        keep_checkpoints(tmp_path)
        if step == 4:
            # If 4 were damaged, 3 would be the latest, and its best epoch is 2.
            assert names(tmp_path) == ["step-000002", "step-000003", "step-000004"]

    assert names(tmp_path) == ["step-000004", "step-000005", "step-000006"]


def test_weights_of_another_network_are_refused(trained: Trained, tmp_path: Path) -> None:
    folder = trained.save(tmp_path, 1)

    with pytest.raises(TrainingError, match="step-000001 belongs to another network"):
        load_checkpoint_weights(folder, nn.Linear(4, 3))


def _rewritten(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Put other tensors into a checkpoint, and their SHA-256 into the manifest."""
    save_file(tensors, folder / name)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name]["sha256"] = sha256_of(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "key", "tensor"),
    [
        ("network.safetensors", "0.weight", torch.zeros(2, 3)),
        ("network.safetensors", "0.weight", torch.zeros(4, 4, dtype=torch.int32)),
        ("network.safetensors", "other", torch.zeros(1)),
        ("optimizer.safetensors", "0.weight:exp_avg", torch.zeros(1)),
        ("optimizer.safetensors", "0.weight:step", torch.zeros(3)),
        ("optimizer.safetensors", "0.weight:step", torch.tensor(3)),
        ("optimizer.safetensors", "0.weight:other", torch.zeros(4, 4)),
        ("optimizer.safetensors", "other:step", torch.tensor(3.0)),
        ("optimizer.safetensors", "nothing", torch.tensor(3.0)),
    ],
)
def test_tensors_that_do_not_fit_the_network_are_refused_whatever_vouches_for_them(
    trained: Trained, tmp_path: Path, name: str, key: str, tensor: torch.Tensor
) -> None:
    folder = trained.save(tmp_path, 1)
    _rewritten(folder, name, {**load_file(folder / name), key: tensor})
    before = copied(trained.network)

    with pytest.raises(TrainingError, match="belongs to another network"):
        load_checkpoint(folder, trained.network, trained.optimizer)
    assert same(before, copied(trained.network))


def test_moments_without_their_number_of_steps_are_refused(
    trained: Trained, tmp_path: Path
) -> None:
    folder = trained.save(tmp_path, 1)
    moments = load_file(folder / "optimizer.safetensors")
    del moments["0.weight:step"]
    _rewritten(folder, "optimizer.safetensors", moments)

    with pytest.raises(TrainingError, match=r"'0\.weight' does not fit"):
        load_checkpoint(folder, trained.network, trained.optimizer)


def test_a_manifest_that_vouches_for_less_or_for_other_files_counts_for_nothing(
    trained: Trained, tmp_path: Path
) -> None:
    folder = trained.save(tmp_path, 1)
    manifest = json.loads((folder / "manifest.json").read_text())
    (tmp_path / "outside").write_bytes(b"")

    for files in (
        {"state.json": manifest["files"]["state.json"]},
        {
            **manifest["files"],
            "../outside": {"bytes": 0, "sha256": sha256_of(tmp_path / "outside")},
        },
        {name: {"bytes": 1, "sha256": None} for name in manifest["files"]},
    ):
        (folder / "manifest.json").write_text(json.dumps({"files": files}))
        assert latest_checkpoint(tmp_path) is None


def test_a_result_for_another_network_is_as_good_as_missing(
    trained: Trained, tmp_path: Path
) -> None:
    weights = copied(trained.network)
    save_result(tmp_path / "result", weights, {"seed": 1})

    found = load_result(tmp_path / "result", weights)
    assert found is not None
    assert same(found[0], weights)
    assert found[1] == {"seed": 1}
    assert load_result(tmp_path / "result", {**weights, "more": torch.zeros(1)}) is None
    assert load_result(tmp_path / "nowhere", weights) is None


def test_damaged_weights_are_never_loaded(trained: Trained, tmp_path: Path) -> None:
    folder = trained.save(tmp_path, 1)
    content = bytearray((folder / "network.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "network.safetensors").write_bytes(content)
    before = copied(trained.network)

    with pytest.raises(TrainingError, match=r"is damaged or missing. Run the same command with"):
        load_checkpoint_weights(folder, trained.network)
    with pytest.raises(TrainingError, match="is damaged or missing"):
        load_checkpoint_weights(tmp_path / "step-000009", trained.network)

    assert same(before, copied(trained.network))


def test_a_checkpoint_is_safetensors_and_strict_json(trained: Trained, tmp_path: Path) -> None:
    from safetensors import safe_open

    folder = trained.save(tmp_path, 1)

    with safe_open(folder / "optimizer.safetensors", framework="numpy") as file:
        assert "0.weight:exp_avg" in file.keys()  # noqa: SIM118
    assert read_state(folder) == json.loads((folder / "state.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["files"]) == sorted(FILES[:3])


def test_checkpoints_that_are_passed_over_are_named(tmp_path: Path) -> None:
    network = toy_network()
    optimizer = build_optimizer(network, 0.1, 0.0)
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, network, optimizer, {})
    assert damaged_checkpoints(tmp_path, latest_checkpoint(tmp_path)) == []

    (tmp_path / "step-000003" / "manifest.json").unlink()
    assert damaged_checkpoints(tmp_path, latest_checkpoint(tmp_path)) == ["step-000003"]

    for step in (1, 2):
        (tmp_path / f"step-{step:06d}" / "network.safetensors").write_bytes(b"")
    assert latest_checkpoint(tmp_path) is None
    assert len(damaged_checkpoints(tmp_path, None)) == 3
