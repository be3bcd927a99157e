"""Ray Data on a cluster of its own, of two processors, that all of these tests share."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from emotions import LABELS, NAMES, TEXTS, write_jsonl
from multihot.cli.main import main
from multihot.core.block_output import BlockOutput
from multihot.core.ray_cluster import ray_cluster
from multihot.data.text_stream import text_windows
from multihot.errors import ArtifactError, DataError, OptionError
from multihot.inference.artifact import load_artifact
from multihot.inference.model_place import model_place
from multihot.inference.predictor import Predictor
from multihot.ray import RayOptions, predict, window_logits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None or find_spec("psutil") is None, reason="they are not installed"
    ),
    pytest.mark.filterwarnings("ignore"),  # of Ray, which leaves its own files open
]

WINDOW = 4
OPTIONS = RayOptions(actors=2)


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with ray_cluster(2):
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of processes that have not ended when Ray forgets them
        gc.collect()


def workers() -> list[int]:
    """Return the processes that have a model."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


def test_the_cluster_is_reached_from_this_machine_only_and_has_no_dashboard() -> None:
    import psutil
    import ray

    names, addresses = [], set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
            names.append(" ".join(process.cmdline()))
            addresses |= {
                connection.laddr.ip.removeprefix("::ffff:")
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }

    assert addresses == {"127.0.0.1"}
    assert any("raylet" in name for name in names)
    assert ray.util.get_node_ip_address() == "127.0.0.1"
    assert not ray._private.worker._global_node.webui_url


def test_a_file_is_labelled_as_without_an_engine_also_behind_an_interruption(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("multihot.inference.predictor.WINDOW_ROWS", WINDOW)
    common = ["predict", str(model), "--input", str(write_jsonl(tmp_path / "in.jsonl"))]
    plain, output = tmp_path / "plain.csv", tmp_path / "out.csv"
    assert main([*common, "--output", str(plain)]) == 0
    commit = BlockOutput.commit

    def stopping(self: BlockOutput, num_rows: int, *, num_truncated: int = 0) -> None:
        if self.record.done_rows == 5 * WINDOW:
            raise KeyboardInterrupt
        commit(self, num_rows, num_truncated=num_truncated)

    with monkeypatch.context() as patch:
        patch.setattr(BlockOutput, "commit", stopping)
        assert main([*common, "--output", str(output), "--engine", "ray"]) == 130
    assert not output.exists()

    assert main([*common, "--output", str(output), "--engine", "ray", "--resume"]) == 0
    assert "20 of 48 texts are done" in capfd.readouterr().err
    assert output.read_bytes() == plain.read_bytes()


def test_killed_workers_lose_and_double_nothing(model: Path, tmp_path: Path) -> None:
    artifact = load_artifact(model)
    source = str(write_jsonl(tmp_path / "in.jsonl"))
    windows = [TEXTS[begin : begin + WINDOW] for begin in range(0, len(TEXTS), WINDOW)]
    read = partial(text_windows, source, artifact.data, range(len(TEXTS)), WINDOW)
    killed, answers = set[int](), []

    for answer in window_logits(read, artifact, OPTIONS):
        answers.append(answer)
        for worker in workers() if len(answers) in (1, 4) else []:
            killed.add(worker)
            os.kill(worker, signal.SIGKILL)

    assert len(killed) >= 2
    predictor = Predictor.load(model)
    assert len(answers) == len(windows)
    for answer, texts in zip(answers, windows, strict=True):
        assert np.array_equal(answer.logits, predictor.logits(texts)[0])


def test_rows_of_a_data_set_keep_their_columns_and_order(model: Path) -> None:
    from ray.data import from_items

    rows = [
        {"id": number, "text": text, "truncated": "by hand"} for number, text in enumerate(TEXTS)
    ]
    rows.append({"id": len(TEXTS), "text": None, "truncated": ""})

    answers = predict(
        from_items(rows).map(lambda row: row), model, actors=2, batch_rows=5
    ).take_all()

    assert [answer["id"] for answer in answers] == list(range(len(rows)))
    assert list(answers[0]) == [
        *("id", "text", "truncated", "predicted_labels_", "truncated_"),
        *(f"score_{name}_" for name in LABELS),
    ]
    assert [list(answer["predicted_labels_"]) for answer in answers[:-1]] == NAMES
    assert {answer["truncated"] for answer in answers[:-1]} == {"by hand"}
    expected = Predictor.load(model).scores(TEXTS)
    scores = [[answer[f"score_{name}_"] for name in LABELS] for answer in answers[:-1]]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_labels_bring_what_they_imply(hierarchical_model: Path) -> None:
    from ray.data import from_items

    answers = predict(from_items([{"text": text} for text in TEXTS]), hierarchical_model, actors=1)

    for answer, names in zip(answers.take_all(), NAMES, strict=True):
        assert list(answer["predicted_labels"]) == (["fear", "love"] if "fear" in names else names)
        assert answer["score_love"] >= answer["score_fear"]


def test_another_model_on_a_machine_is_refused_there(model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model, tmp_path / "model")
    loading = model_place(load_artifact(folder), device="auto", precision="fp32", backend="auto")
    content = json.loads((folder / "thresholds.json").read_text("utf-8"))
    content["thresholds"] = dict.fromkeys(LABELS, 0.25)
    (folder / "thresholds.json").write_text(json.dumps(content), "utf-8")

    with pytest.raises(ArtifactError, match="is another model than where the run was started"):
        loading.predictor()
    shutil.rmtree(folder)
    with pytest.raises(ArtifactError, match=r"is no model\. Put the same"):
        loading.predictor()


def test_an_error_of_a_worker_is_raised_here(model: Path, tmp_path: Path) -> None:
    artifact = load_artifact(model)
    source = str(write_jsonl(tmp_path / "in.jsonl"))
    read = partial(text_windows, source, artifact.data, range(8), WINDOW)

    with pytest.raises(OptionError, match="backend is torch"):
        next(window_logits(read, artifact, RayOptions(actors=1, backend="torch")))


def test_what_is_wrong_is_said_before_anything_is_computed(model: Path, tmp_path: Path) -> None:
    from ray.data import from_items

    rows = from_items([{"text": "i am happy", "number": 1}])

    with pytest.raises(OptionError, match="'actor' is no option"):
        predict(rows, model, actor=2)
    with pytest.raises(OptionError, match="at least 1"):
        predict(rows, model, actors=0)
    with pytest.raises(DataError, match="Tweet"):
        predict(rows, model, text_column="Tweet")
    with pytest.raises(ArtifactError, match="no such folder"):
        predict(rows, tmp_path / "nowhere")
