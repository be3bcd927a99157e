"""An export answers as the model that it was made from, without torch, from threads and after forks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from emotions import TEXTS
from multihot.core.files import sha256_of
from multihot.data.tokens import tokenize
from multihot.decision.calibration import Calibration
from multihot.errors import ArtifactError, OptionError
from multihot.inference.artifact import read_artifact
from multihot.inference.predictor import Predictor
from multihot.inference.renewal import replace_decision
from multihot.workflows.export import export

pytestmark = pytest.mark.slow

NUM_THREADS = 8


@pytest.fixture(scope="module")
def onnx_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "onnx"
    export(tiny_model, folder, to="onnx")
    return folder


@pytest.fixture(scope="module")
def openvino_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "openvino"
    export(tiny_model, folder, to="openvino")
    return folder


@pytest.fixture(params=["onnx", "openvino", "onnx in openvino"])
def predictor(request: Any, onnx_folder: Path, openvino_folder: Path) -> Predictor:
    if request.param == "openvino":
        return Predictor.load(openvino_folder)
    backend = "openvino" if "in" in request.param else "onnx"
    return Predictor.load(onnx_folder, backend=backend)


def test_logits_are_those_of_torch(tiny_model: Path, predictor: Predictor) -> None:
    texts = [*TEXTS, "", "joy " * 90]
    expected, truncated = Predictor.load(tiny_model, device="cpu").logits(texts)

    logits, cut = predictor.logits(texts)

    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    assert cut.tolist() == truncated.tolist()


def test_threads_get_what_one_gets(predictor: Predictor) -> None:
    random = np.random.default_rng(0)
    calls = [random.choice(TEXTS, size).tolist() for size in random.choice([1, 2, 40], 160)]

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        found = list(pool.map(predictor.scores, calls))

    for texts, scores in zip(calls, found, strict=True):
        np.testing.assert_allclose(scores, predictor.scores(texts), rtol=0, atol=1e-5)


FORK = """
import os, sys, warnings
import numpy as np
from multihot.inference.predictor import Predictor
warnings.simplefilter("ignore")
model = Predictor.load(sys.argv[1])
texts = sys.argv[2:]
before = model.scores(texts)
child = os.fork()
if not child:
    os._exit(0 if np.allclose(model.scores(texts), before, rtol=0, atol=1e-5) else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.allclose(model.scores(texts), before, rtol=0, atol=1e-5)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_answers_too(onnx_folder: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", FORK, str(onnx_folder), *TEXTS[:20]]

    run = subprocess.run(command, env=environment, timeout=120, capture_output=True, check=False)

    assert run.returncode == 0, run.stderr


SIGNAL = """
import gc, os, signal, sys
from multihot.inference.predictor import Predictor
for backend in ("onnx", "openvino"):
    models = [Predictor.load(sys.argv[1], backend=backend) for _ in range(3)]
    [model.scores(["i am happy"]) for model in models]
    del models[0]
    models.clear()
    gc.collect()
received = []
signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
os.kill(os.getpid(), signal.SIGTERM)
assert received == [signal.SIGTERM]
"""


def test_a_process_whose_models_come_and_go_still_takes_signals(onnx_folder: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SIGNAL, str(onnx_folder)]

    run = subprocess.run(command, timeout=120, capture_output=True, check=False)

    assert run.returncode == 0, run.stderr


WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "onnx"):
    sys.modules[name] = None
from multihot.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "MODEL", "i am so happy"],
        ["evaluate", "MODEL", "FILE"],
        ["compare", "MODEL", "MODEL", "FILE"],
        ["inspect", "MODEL"],
        ["decide", "COPY", "FILE"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_run_where_torch_is_not_installed(
    arguments: list[str], onnx_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(onnx_folder, tmp_path / "copy")
    places = {
        "MODEL": onnx_folder,
        "COPY": tmp_path / "copy",
        "FILE": tiny_model.parent / "validation.jsonl",
    }
    command = [str(places.get(each, each)) for each in arguments]

    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *command], capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_runtimes_keep_no_record_of_the_machine(
    backend: str, onnx_folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    asked = ("CI", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    environment = {name: value for name, value in os.environ.items() if name not in asked}
    words = ["predict", str(onnx_folder), "i am so happy", "--backend", backend]

    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "multihot", *words],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert list(home.rglob("*")) == []


CALIBRATIONS = {
    "temperature": Calibration("temperature", 1.7, (None, None, None)),
    "platt": Calibration("platt", 1.3, (((0.8, -0.4),), None, ((2.0, 0.5),))),
    "beta": Calibration("beta", 0.9, (((0.7, 1.2, -0.1),), None, ((1.0, 0.0, 0.3),))),
    "isotonic": Calibration(
        "isotonic", 1.1, (((-2.0, 0.5, 3.0), (-1.0, 0.0, 4.0)), None, ((0.0,), (0.7,)))
    ),
}


@pytest.mark.parametrize("method", [None, *CALIBRATIONS])
def test_scores_in_the_graph_are_those_of_the_decision(
    method: str | None, onnx_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(onnx_folder, folder)
    artifact = read_artifact(folder)
    calibration = None if method is None else CALIBRATIONS[method]
    replace_decision(artifact, replace(artifact.decision, calibration=calibration))
    predictor = Predictor.load(folder)
    tokenized = tokenize(predictor.tokenizer, TEXTS[:1], predictor.artifact.max_length)
    ids = tokenized.ids[None].astype(np.int64)

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    logits, scores = session.run(
        ["logits", "scores"], {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    )

    np.testing.assert_allclose(scores, predictor.decision.scores(logits), rtol=0, atol=1e-6)
    stored = json.loads(session.get_modelmeta().custom_metadata_map["multihot"])
    assert stored["thresholds"] == predictor.decision.thresholds_by_name()
    assert stored["max_length"] == predictor.artifact.max_length


def test_the_same_decision_again_gives_the_same_file(onnx_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(onnx_folder, folder)
    artifact = read_artifact(folder)

    replace_decision(artifact, artifact.decision)

    assert sha256_of(folder / "model.onnx") == sha256_of(onnx_folder / "model.onnx")


def test_decisions_of_several_threads_take_turns(onnx_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(onnx_folder, folder)
    artifact = read_artifact(folder)
    values = [number / 100 for number in range(16)]

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        given = [artifact.decision.with_threshold(value) for value in values]
        list(pool.map(lambda decision: replace_decision(artifact, decision), given))

    assert Predictor.load(folder).decision.thresholds[0] in values


def test_the_decision_in_files_of_openvino_is_not_replaced(openvino_folder: Path) -> None:
    artifact = read_artifact(openvino_folder)
    before = (openvino_folder / "thresholds.json").read_bytes()

    with pytest.raises(ArtifactError, match="export that again"):
        replace_decision(artifact, artifact.decision.with_threshold(0.4))

    assert (openvino_folder / "thresholds.json").read_bytes() == before


def test_a_file_that_is_written_to_while_in_use_gives_no_scores(
    onnx_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(onnx_folder, folder)
    predictor = Predictor.load(folder)
    predictor.scores(TEXTS[:2])

    with (folder / "model.onnx").open("r+b") as handle:
        handle.seek(-100, os.SEEK_END)
        handle.write(b"\1" * 50)

    with pytest.raises(ArtifactError, match="was changed while it is in use"):
        predictor.scores(TEXTS[:2])


def _change_hashes(folder: Path) -> None:
    path = folder / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    content["files"] = {name: sha256_of(folder / name) for name in content["files"]}
    path.write_text(json.dumps(content), "utf-8")


def _other_thresholds(folder: Path) -> None:
    path = folder / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    content["thresholds"]["joy"] = 0.999
    path.write_text(json.dumps(content), "utf-8")


def _cut_off(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1000])
    _change_hashes(folder)


def _no_export(folder: Path) -> None:
    path = folder / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    del content["export"]
    path.write_text(json.dumps(content), "utf-8")


def _longer_texts(folder: Path) -> None:
    path = folder / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    content["max_length"] = 4096
    path.write_text(json.dumps(content), "utf-8")


def _no_onnx(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no model at all")
    _change_hashes(folder)


@pytest.mark.parametrize(
    "change", [_other_thresholds, _cut_off, _no_export, _longer_texts, _no_onnx]
)
def test_a_folder_whose_files_contradict_each_other_is_refused(
    change: Callable[[Path], None], onnx_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(onnx_folder, folder)
    change(folder)

    with pytest.raises(ArtifactError):
        Predictor.load(folder)


def test_a_backend_that_cannot_run_a_folder_is_refused(tiny_model: Path, onnx_folder: Path) -> None:
    for folder, backend in ((tiny_model, "onnx"), (onnx_folder, "torch"), (tiny_model, "jax")):
        with pytest.raises(OptionError, match="backend is"):
            Predictor.load(folder, backend=backend)
    with pytest.raises(OptionError, match="exports run on the processor"):
        Predictor.load(onnx_folder, device="cuda")
