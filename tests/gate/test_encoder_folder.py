"""The files of an encoder's weights: safetensors in the folder itself, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from multihot.errors import EncoderError
from multihot.gate.encoder_folder import encoder_tensors, weight_files

INDEX = "model.safetensors.index.json"


def index(folder: Path, **places: object) -> Path:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def shard(folder: Path, name: str, *tensors: str, dtype: type = np.float32) -> None:
    save_file({tensor: np.zeros(2, dtype) for tensor in tensors}, folder / name)


def test_one_file_is_taken_whatever_an_index_says(tmp_path: Path) -> None:
    shard(tmp_path, "model.safetensors", "a")
    index(tmp_path, a="pytorch_model.bin")

    assert weight_files(tmp_path, error=EncoderError) == ("model.safetensors",)
    assert list(encoder_tensors(tmp_path, error=EncoderError)) == ["a"]


def test_the_files_of_an_index_are_taken_together(tmp_path: Path) -> None:
    shard(tmp_path, "model-00001-of-00002.safetensors", "a")
    shard(tmp_path, "model-00002-of-00002.safetensors", "b")
    index(tmp_path, a="model-00001-of-00002.safetensors", b="model-00002-of-00002.safetensors")

    assert sorted(encoder_tensors(tmp_path, error=EncoderError)) == ["a", "b"]


@pytest.mark.parametrize(
    "place",
    [
        "pytorch_model.bin",
        "../model.safetensors",
        "inner/model.safetensors",
        "/model.safetensors",
        "C:\\model.safetensors",
        ".safetensors",
        "",
        7,
        None,
        ["model.safetensors"],
    ],
)
def test_an_index_that_names_anything_else_is_refused(tmp_path: Path, place: object) -> None:
    (tmp_path / "pytorch_model.bin").touch()

    with pytest.raises(EncoderError, match=r"index.json names .*; expected names of safetensors"):
        weight_files(index(tmp_path, a=place), error=EncoderError)


def test_a_file_that_an_index_names_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"lacks x.safetensors"):
        encoder_tensors(index(tmp_path, a="x.safetensors"), error=EncoderError)


def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    shard(tmp_path, "outside.safetensors", "a")
    (folder / "x.safetensors").symlink_to(tmp_path / "outside.safetensors")

    with pytest.raises(EncoderError, match="outside the folder"):
        encoder_tensors(index(folder, a="x.safetensors"), error=EncoderError)


def test_weights_of_whole_numbers_are_refused_and_buffers_are_not(tmp_path: Path) -> None:
    shard(tmp_path, "model.safetensors", "embeddings.position_ids", dtype=np.int64)
    assert encoder_tensors(tmp_path, error=EncoderError) == {}

    shard(tmp_path, "model.safetensors", "encoder.weight", dtype=np.int8)
    with pytest.raises(EncoderError, match=r"'encoder.weight' is of type I8"):
        encoder_tensors(tmp_path, error=EncoderError)
