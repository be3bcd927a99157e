"""`/v1/predict` answers what the library answers, and says what it did."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from emotions import TEXTS
from multihot.inference.predictor import Predictor
from served import Served, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def predictor(exported_model: Path) -> Predictor:
    return Predictor.load(exported_model)


def test_labels_and_scores_are_those_of_the_library(server: Served, predictor: Predictor) -> None:
    texts = ["i am happy", "", "so sad and afraid " * 40, "行 \N{GRINNING FACE}"]

    answer = server.predict(*texts)

    expected = predictor.predict(texts)
    assert [each["labels"] for each in answer["results"]] == [each.labels for each in expected]
    for found, prediction in zip(answer["results"], expected, strict=True):
        assert list(found["scores"]) == list(prediction.scores)
        np.testing.assert_allclose(
            list(found["scores"].values()), list(prediction.scores.values()), atol=1e-6
        )
        assert found["truncated"] == prediction.truncated
    assert answer["thresholds"] == predictor.decision.thresholds_by_name()


def test_many_clients_get_their_own_answers(server: Served, predictor: Predictor) -> None:
    random = np.random.default_rng(0)
    calls = [random.choice(TEXTS, size).tolist() for size in random.choice([1, 2, 30], 200)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda texts: server.predict(*texts), calls))

    for texts, answer in zip(calls, answers, strict=True):
        found = [list(each["scores"].values()) for each in answer["results"]]
        np.testing.assert_allclose(found, predictor.scores(texts), rtol=0, atol=1e-5)


def test_thresholds_of_a_request_hold_for_it_alone(server: Served) -> None:
    names = list(server.predict("i am happy")["results"][0]["scores"])

    lowered = server.predict("i am happy", thresholds=dict.fromkeys(names, 0.0))

    assert lowered["results"][0]["labels"] == names
    assert set(lowered["thresholds"].values()) == {0.0}
    assert server.predict("i am happy")["results"][0]["labels"] != names


def test_only_what_is_asked_for_is_returned(server: Served) -> None:
    result = server.predict("i am happy", top_k=1, **{"return": ["scores"]})["results"][0]

    assert set(result) == {"scores", "num_tokens", "truncated", "abstained"}
    assert len(result["scores"]) == 1


def test_several_models_are_asked_by_name(exported_model: Path, tiny_model: Path) -> None:
    with serving(exported_model, tiny_model) as server:
        first = server.predict("i am happy")
        other = server.predict("i am happy", model="model")
        missing = server.ask("POST", "/v1/predict", {"texts": ["a"], "model": "x\n\x1b[31m"})

    assert (first["model"], other["model"]) == ("emotions", "model")
    assert first["results"][0]["labels"] == other["results"][0]["labels"]
    assert missing.status == 404


def test_counters_of_another_program_are_left_alone(exported_model: Path, tmp_path: Path) -> None:
    elsewhere = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "gone")}
    with serving(exported_model, env=elsewhere) as server:
        server.predict("i am happy")
        assert b"multihot_texts_total" in server.ask("GET", "/metrics").body


def test_info_describes_models_and_limits(server: Served, predictor: Predictor) -> None:
    info = server.ask("GET", "/info").json()

    (described,) = info["models"]
    assert described["thresholds"] == predictor.decision.thresholds_by_name()
    assert described["decision"] == server.predict("a")["decision"]
    assert info["limits"]["max_texts"] == 32
    assert server.ask("GET", "/v1/models").json()["data"][0]["id"] == "emotions"


def test_requests_are_counted_and_texts_are_not_told(server: Served) -> None:
    server.predict("a secret of mine")

    metrics = server.ask("GET", "/metrics").body.decode()

    assert 'multihot_requests_total{route="/v1/predict",status="200"}' in metrics
    assert 'multihot_texts_total{model="emotions"}' in metrics
    assert "secret" not in metrics


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{missing}"], 2, "no such folder"),
        (["{model}", "{model}"], 2, "the name"),
        (["{model}", "--host", "0.0.0.0"], 2, "token"),
        (["{model}", "--port", "{taken}"], 2, "cannot listen"),
        (["{model}", "--workers", "2", "--backend", "torch"], 2, "backend is torch"),
        (["{failed}"], 3, "decides otherwise"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    arguments: list[str],
    code: int,
    words: str,
    server: Served,
    exported_model: Path,
    tmp_path: Path,
) -> None:
    failed = tmp_path / "failed"
    failed.mkdir()
    for file in exported_model.iterdir():
        (failed / file.name).write_bytes(file.read_bytes())
    certificate = json.loads((failed / "parity.json").read_text("utf-8"))
    (failed / "parity.json").write_text(json.dumps({**certificate, "passed": False}), "utf-8")
    given = {"missing": tmp_path / "no", "model": exported_model, "failed": failed}
    filled = [each.format(**given, taken=server.port) for each in arguments]

    done = subprocess.run(
        [sys.executable, "-m", "multihot", "serve", "--port", "0", *filled],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
