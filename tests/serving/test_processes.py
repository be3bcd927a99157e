"""A server that is stopped answers what it accepted; a worker that dies comes back."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from multihot.core.processors import usable_processors
from multihot.inference.artifact import read_artifact
from multihot.inference.renewal import replace_decision
from served import Served, serving

pytestmark = pytest.mark.slow


def _wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


def _children(server: Served) -> list[int]:
    """Return the workers of a server: its children that hold its socket."""
    path = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    found = [int(each) for each in path.read_text("ascii").split()]
    return [each for each in found if b"spawn_main" in _command(each)]


def _command(process: int) -> bytes:
    """Return the command line of a process; empty once it has ended, also while it is read."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def test_what_was_accepted_is_answered_after_sigterm(exported_model: Path) -> None:
    lines = ("POST /v1/predict HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json")
    head = "\r\n".join([*lines, "Content-Length: 22", "", ""]).encode()
    with serving(exported_model) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(head)
            _wait_for(lambda: b"in_flight 2.0" in server.ask("GET", "/metrics").body)
            server.process.send_signal(signal.SIGTERM)
            _wait_for(lambda: server.ask("GET", "/readyz").status == 503)
            refused = server.ask("POST", "/v1/predict", {"texts": ["a"]})
            connection.sendall(b'{"texts":["i am sad"]}')
            answer = connection.recv(65536)
        assert server.stop() == 0

    assert answer.startswith(b"HTTP/1.1 200")
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["connection"] == "close"


def test_a_second_signal_ends_a_server_at_once(exported_model: Path) -> None:
    with serving(exported_model) as server, _connection(server) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        connection.sendall(b"Content-Type: application/json\r\nContent-Length: 5\r\n\r\n")
        _wait_for(lambda: b"in_flight 2.0" in server.ask("GET", "/metrics").body)
        server.process.send_signal(signal.SIGTERM)
        _wait_for(lambda: server.ask("GET", "/readyz").status == 503)
        began = time.monotonic()
        code = server.stop()
        said = "".join(server.said)
    assert time.monotonic() - began < 20  # it would wait 30 seconds for this request
    assert code == 1
    assert "not answered" in said


def _connection(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc to find the workers")
@pytest.mark.parametrize(("said", "threads"), [("", max(1, usable_processors() // 2)), ("3", 3)])
def test_workers_share_the_processors_unless_told_otherwise(
    said: str, threads: int, exported_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    env = {"OMP_NUM_THREADS": said} if said else {}
    with serving(exported_model, options=("--workers", "2"), env=env) as server:
        _wait_for(lambda: len(_children(server)) == 2)
        for worker in _children(server):
            inherited = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
            assert f"OMP_NUM_THREADS={threads}".encode() in inherited


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc to find the workers")
def test_a_worker_that_dies_comes_back_and_all_stop_together(exported_model: Path) -> None:
    with serving(exported_model, options=("--workers", "2")) as server:
        _wait_for(lambda: len(_children(server)) == 2)
        before = _children(server)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: server.predict("i am happy"), range(40)))
        os.kill(before[0], signal.SIGKILL)
        _wait_for(lambda: len(_children(server)) == 2 and before[0] not in _children(server))
        _wait_for(lambda: all(_is_answered(server) for _ in range(10)))
        metrics = server.ask("GET", "/metrics").body.decode()
        assert server.stop() == 0
        said = "".join(server.said)

    assert len({answer["decision"] for answer in answers}) == 1
    assert f"worker {before[0]} died" in said
    (counted,) = [line for line in metrics.splitlines() if line.startswith("multihot_texts_total")]
    assert float(counted.split()[1]) == 40


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc to find the workers")
def test_a_worker_that_cannot_load_is_tried_again_while_the_others_answer(
    exported_model: Path, tmp_path: Path
) -> None:
    folder, aside = tmp_path / "emotions", tmp_path / "aside"
    shutil.copytree(exported_model, folder)
    with serving(folder, options=("--workers", "2")) as server:
        _wait_for(lambda: len(_children(server)) == 2)
        _wait_for(lambda: all(_is_answered(server) for _ in range(10)))
        before = _children(server)
        folder.rename(aside)
        os.kill(before[0], signal.SIGKILL)
        _wait_for(lambda: before[0] not in _children(server) and len(_children(server)) == 2)
        _wait_for(lambda: len(_children(server)) == 1)
        server.predict("i am happy")
        aside.rename(folder)
        _wait_for(lambda: len(_children(server)) == 2)
        server.predict("i am happy")
        assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_that_is_closed_ends_a_server_as_a_signal_does(
    workers: str, exported_model: Path
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever runs the tests may ignore it
    try:
        with serving(exported_model, options=("--workers", workers)) as server:
            server.process.send_signal(signal.SIGHUP)
            server.process.wait(60)
            assert server.stop() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert "Traceback" not in "".join(server.said)


def _is_answered(server: Served) -> bool:
    try:
        return server.ask("GET", "/readyz").status == 200
    except (ConnectionError, http.client.HTTPException):
        return False


def test_a_new_decision_answers_without_a_restart(exported_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "emotions"
    shutil.copytree(exported_model, folder)
    artifact = read_artifact(folder)
    labels = artifact.decision.space.names
    with serving(folder) as server:
        before = server.predict("i am happy")
        replace_decision(artifact, artifact.decision.with_threshold(0.0))
        _wait_for(lambda: server.predict("i am happy")["decision"] != before["decision"])
        after = server.predict("i am happy")
        info = server.ask("GET", "/info").json()["models"][0]

    assert before["results"][0]["labels"] != list(labels)
    assert after["results"][0]["labels"] == list(labels)
    assert info["decision"] == after["decision"]
    assert before["results"][0]["scores"] == after["results"][0]["scores"]


@pytest.mark.parametrize("damage", ["not json", "another model"])
def test_another_model_or_a_damaged_folder_does_not_take_over(
    damage: str, exported_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "emotions"
    shutil.copytree(exported_model, folder)
    path = folder / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    content["thresholds"] = dict.fromkeys(content["labels"], 0.0)
    content["export"]["weights_sha256"] = "0" * 64
    with serving(folder) as server:
        before = server.predict("i am happy")
        path.write_text("{" if damage == "not json" else json.dumps(content), "utf-8")
        _wait_for(lambda: b'outcome="refused"' in server.ask("GET", "/metrics").body)
        after = server.predict("i am happy")

    assert after == before
