"""`multihot export` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multihot.cli import main

pytestmark = pytest.mark.slow


def test_it_writes_a_folder_that_predict_reads(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, file = str(tmp_path / "out"), str(tiny_model.parent / "validation.jsonl")

    assert (
        main(["export", str(tiny_model), file, "--to", "onnx", "--output", output, "--json"]) == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert (document["to"], document["parity"]["passed"]) == ("onnx", True)

    assert main(["predict", output, "i am happy today ."]) == 0
    assert "joy" in capsys.readouterr().out


def test_changed_weights_are_refused_until_thresholds_are_fitted_anew(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from safetensors.numpy import load_file, save_file

    from multihot.errors import ArtifactError
    from multihot.gate.tensor_headers import read_tensor_header

    folder, file = tmp_path / "model", str(tiny_model.parent / "validation.jsonl")
    shutil.copytree(tiny_model, folder)
    head = folder / "head.safetensors"
    metadata = read_tensor_header(folder, head.name, error=ArtifactError).metadata
    weights = load_file(head)
    save_file({name: 2 * value for name, value in weights.items()}, head, metadata=dict(metadata))

    assert main(["predict", str(folder), "i am happy"]) == 2
    assert "multihot decide MODEL FILE --changed-weights" in capsys.readouterr().err
    assert main(["decide", str(folder), file]) == 2
    assert main(["decide", str(folder), file, "--changed-weights"]) == 0
    assert "head.safetensors: changed since the thresholds were fitted" in capsys.readouterr().err
    assert main(["predict", str(folder), "i am happy today ."]) == 0


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_a_disk_that_fills_up_leaves_nothing(
    to: str, tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # as a disk without more room
    try:
        code = main(["export", str(tiny_model), "--to", to, "--output", str(tmp_path / "out")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert code == 1
    err = capfd.readouterr().err
    assert "annot write " in err
    assert "internal error" not in err
    assert "same command again" in err
    assert list(tmp_path.iterdir()) == []
