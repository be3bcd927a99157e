"""Atomic checkpoints: safetensors and JSON, manifest last, flushed, renamed.

    checkpoints/step-000500/
        network.safetensors     the weights
        optimizer.safetensors   the moments, named after the weights they belong to
        state.json              step, epoch, best epoch so far
        manifest.json           size and SHA-256 of the files above; written last

A folder counts only if its manifest verifies and the weights of the best epoch that its state names
are still there, so the newest valid one is always well defined.

The result of one run of several is kept until the last of them is done, likewise all or nothing:

    FOLDER/
        result.safetensors      tensors
        state.json              facts about them
        manifest.json
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from multihot.core.files import (
    flush_file,
    flush_folder,
    read_json,
    sha256_of,
    storage_errors,
    write_json,
)
from multihot.errors import StorageError, TrainingError
from multihot.training.optimizer import AVERAGE

__all__ = [
    "checkpoint_folder",
    "damaged_checkpoints",
    "keep_checkpoints",
    "latest_checkpoint",
    "load_averages",
    "load_checkpoint",
    "load_checkpoint_weights",
    "load_result",
    "read_state",
    "restore",
    "save_checkpoint",
    "save_result",
]

_MANIFEST = "manifest.json"
_NETWORK = "network.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_RESULT = "result.safetensors"
_STATE = "state.json"


def checkpoint_folder(root: Path, step: int) -> Path:
    """Return the folder of the checkpoint after `step` optimiser steps."""
    return root / f"step-{step:06d}"


def save_checkpoint(
    root: Path,
    step: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> Path:
    """Write a complete checkpoint or none.

    Raises `StorageError` when the disk has too little room (checked before anything is written) or
    a write fails; earlier checkpoints are never touched.
    """
    target = checkpoint_folder(root, step)
    files = {_NETWORK: network.state_dict(), _OPTIMIZER: _named_moments(network, optimizer)}
    _save(target, files, {"step": step, **state})
    return target


def save_result(target: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write the result of a run, all or nothing; raises as `save_checkpoint` does."""
    _save(target, {_RESULT: dict(tensors)}, dict(state))


def load_result(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what `save_result` wrote, `None` where it is missing or damaged."""
    return (load_file(folder / _RESULT), read_state(folder)) if _verifies(folder) else None


def _save(target: Path, files: Mapping[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    root, temporary = target.parent, target.with_name(f".writing-{target.name}")
    contents = {name: _contiguous(tensors) for name, tensors in files.items()}
    sizes = [tensor.nbytes for tensors in contents.values() for tensor in tensors.values()]
    needed = sum(sizes) + 2**20
    with storage_errors(target):
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
    if free < needed:
        raise StorageError(
            f"A checkpoint in {root} needs {needed / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are "
            "free. Earlier checkpoints are complete: free some space, then continue with --resume."
        )
    try:
        with storage_errors(target):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for name, tensors in contents.items():
                save_file(tensors, temporary / name)
            write_json(temporary / _STATE, state)
            _seal(temporary)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(temporary, target)
            flush_folder(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _seal(folder: Path) -> None:
    """Flush every file of `folder` and write the manifest with their hashes."""
    files = {}
    for path in sorted(folder.iterdir()):
        flush_file(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    write_json(folder / _MANIFEST, {"files": files})
    flush_folder(folder)


def latest_checkpoint(root: Path) -> Path | None:
    """Return the newest checkpoint that is complete, else the one before, else `None`."""
    for folder in _newest_first(root):
        if _verifies(folder):
            best = _best_folder(folder)
            if best is None or best == folder or _verifies(best):
                return folder
    return None


def damaged_checkpoints(root: Path, latest: Path | None) -> list[str]:
    """Return the names of the checkpoints that are newer than `latest` but not complete."""
    newer = [folder.name for folder in _newest_first(root)]
    return newer[: newer.index(latest.name)] if latest else newer


def _newest_first(root: Path) -> list[Path]:
    numbered = {
        int(number): folder
        for folder in root.glob("step-*")
        if (number := folder.name.removeprefix("step-")).isdecimal()
    }
    return [numbered[step] for step in sorted(numbered, reverse=True)]


def _best_folder(folder: Path) -> Path | None:
    """Return the checkpoint of the best epoch so far, `None` when there is none yet."""
    try:
        best_step = read_state(folder).get("best_step")
    except (OSError, ValueError, AttributeError):
        return None
    return checkpoint_folder(folder.parent, best_step) if best_step else None


def _verifies(folder: Path) -> bool:
    try:
        files = read_json(folder / _MANIFEST)["files"]
        return all(
            (folder / name).stat().st_size == entry["bytes"]
            and sha256_of(folder / name) == entry["sha256"]
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state that was saved with a checkpoint."""
    state: dict[str, Any] = read_json(folder / _STATE)
    return state


def load_checkpoint(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore weights and moments, and return the saved state."""
    load_checkpoint_weights(folder, network)
    moments = load_file(folder / _OPTIMIZER)
    for name, parameter in network.named_parameters():
        entries = {
            key.removeprefix(f"{name}:"): tensor
            for key, tensor in moments.items()
            if key.startswith(f"{name}:")
        }
        if entries:
            # The fused optimiser needs its step counts on the device of the weights.
            optimizer.state[parameter] = {
                key: tensor.to(parameter.device) for key, tensor in entries.items()
            }
    return read_state(folder)


def restore(
    root: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any] | None, list[str]]:
    """Restore the newest complete checkpoint below `root`.

    Returns its state, `None` when there is none, and messages for the user.
    """
    latest, notes = latest_checkpoint(root), []
    if damaged := damaged_checkpoints(root, latest):
        back = f"going back to {latest.name}" if latest else "starting from the beginning"
        notes.append(f"Skipping incomplete checkpoints: {', '.join(damaged)}; {back}.")
    return (load_checkpoint(latest, network, optimizer) if latest else None), notes


def load_checkpoint_weights(folder: Path, network: nn.Module) -> None:
    """Load only the weights of a checkpoint into `network`.

    Raises `TrainingError` when the checkpoint is damaged or belongs to another network.
    """
    if not _verifies(folder):
        raise TrainingError(
            f"{folder} is damaged or missing. Run the same command with --resume: it restores the "
            "newest complete checkpoint."
        )
    try:
        network.load_state_dict(load_file(folder / _NETWORK))
    except RuntimeError as error:
        raise TrainingError(
            f"{folder} belongs to another network ({str(error).splitlines()[0]}). Use the encoder "
            "and labels of the run that wrote it, or another --output."
        ) from None


def load_averages(folder: Path, network: nn.Module) -> None:
    """Load the averaged weights of a verified checkpoint into `network`, where it has some.

    They are in the optimiser's file, under the key `training.optimizer.AVERAGE`.
    """
    with safe_open(folder / _OPTIMIZER, framework="pt") as file:
        stored = set(file.keys())
        for name, parameter in network.named_parameters():
            if (key := f"{name}:{AVERAGE}") in stored:
                parameter.data.copy_(file.get_tensor(key))


def keep_checkpoints(root: Path, newest: int = 2) -> None:
    """Delete all checkpoints except the `newest` ones and the best epochs that they refer to."""
    folders = _newest_first(root)
    wanted = {*folders[:newest], *map(_best_folder, folders[:newest])}
    for folder in folders:
        if folder not in wanted:
            shutil.rmtree(folder, ignore_errors=True)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that safetensors accepts: contiguous and sharing no memory."""
    seen: dict[int, str] = {}
    result = {}
    for name, tensor in tensors.items():
        shared = tensor.data_ptr() in seen and tensor.numel() > 0
        result[name] = tensor.contiguous().clone() if shared else tensor.contiguous()
        seen[tensor.data_ptr()] = name
    return result


def _named_moments(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}:{key}": tensor
        for name, parameter in network.named_parameters()
        for key, tensor in optimizer.state.get(parameter, {}).items()
    }
