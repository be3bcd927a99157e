"""Many clients ask for different texts at once; every score must be the library's own for that text."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.data.labelled_file import read_examples
from multihot.decision.decision import Decision
from multihot.inference.predictor import Predictor
from multihot.serving.served_model import decision_version
from serving_clients import Connection, Reply, encode, running_server

__all__ = ["Mixups", "find_mixups"]

_TOLERANCE = 1e-5  # of a score: what other texts of a pass may change
_DISTANCE = 1e-3  # between the scores of two texts, so that none passes for another
_DECISIONS = (
    ("micro_f1", "platt", "global", "allow"),
    ("macro_f1", "temperature", "per_label", "allow"),
    ("jaccard", "none", "global", "at_least_one"),
)
"""Goal, calibration, thresholds and rule for texts without a label: nothing stays of the decision before."""
_MOST_TEXTS = 8
_SEVERAL = 0.2  # of the requests have more texts than one
_PAUSE = 2.0  # seconds between two decisions

FloatArray = npt.NDArray[np.float32]
Labelled = tuple[list[list[float]], list[set[str]] | None, str]
"""Scores in class order and chosen labels of each text, where the answer has them, and the decision's version."""


@dataclass
class Mixups:
    """What came of the requests."""

    requests: int = 0
    texts: int = 0
    different_texts: int = 0
    wrong: int = 0
    """Answers with a score, a label or a version that is not the library's."""
    refused: int = 0
    """Answers without scores."""
    failed: int = 0
    """Requests without an answer."""
    decisions: int = 0
    """Versions that answered."""
    renewals: int = 0
    seconds: float = 0.0
    largest_difference: float = 0.0
    routes: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Expected:
    """What the library says of every text, for each decision."""

    names: tuple[str, ...]
    scores: dict[str, FloatArray]
    """*Shape:* (N, L), by version."""
    labels: dict[str, list[set[str]]]


def find_mixups(
    model: Path, file: Path, decide_file: Path | None, *, requests: int, clients: int, workers: int
) -> Mixups:
    """Ask a server of a copy of the model; with a file of labelled texts, renew its decision all the while."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "served"
        shutil.copytree(model, folder)
        texts, expected = _prepared(folder, file, decide_file, Path(scratch))
        result = Mixups(different_texts=len(texts))
        queue = ("--max-queue-tokens", "1000000", "--deadline", "60")
        with running_server(folder, options=(*queue, "--workers", str(workers))) as server:
            load = _Load(server.host, server.port, texts, expected, result)
            asyncio.run(load.run(requests, clients, folder if decide_file else None, decide_file))
            if server.stop() != 0:
                result.failed += 1
        return result


def _prepared(
    folder: Path, file: Path, decide_file: Path | None, scratch: Path
) -> tuple[list[str], _Expected]:
    """Return texts whose scores differ, and what is expected of them."""
    predictor = Predictor.load(folder)
    texts = list(dict.fromkeys(text for text in read_examples(file).texts if text.strip()))
    logits: FloatArray = np.asarray(predictor.logits(texts)[0], np.float32)
    kept = _apart(np.asarray(predictor.decision.scores(logits)))
    texts, logits = [texts[row] for row in kept], logits[kept]
    decisions = [predictor.decision]
    if decide_file is not None:
        for number, words in enumerate(_DECISIONS):
            copy = scratch / f"copy-{number}"
            shutil.copytree(folder, copy)
            _decide(copy, decide_file, words)
            decisions.append(Predictor.load(copy).decision)
    return texts, _expected(predictor.space.names, logits, decisions)


def _expected(
    names: tuple[str, ...], logits: FloatArray, decisions: Sequence[Decision]
) -> _Expected:
    scores, labels = {}, {}
    for decision in decisions:
        version = decision_version(decision)
        scores[version] = np.asarray(decision.scores(logits))
        labels[version] = [set(row) for row in decision.names(scores[version])]
    return _Expected(names, scores, labels)


def _apart(scores: FloatArray) -> list[int]:
    """Return rows of which no two are alike."""
    kept: list[int] = []
    for row in range(len(scores)):
        if not kept or np.abs(scores[kept] - scores[row]).max(axis=1).min() > _DISTANCE:
            kept.append(row)
    return kept


def _decide(folder: Path, file: Path, words: Sequence[str]) -> None:
    flags = ("--goal", "--calibration", "--thresholds", "--empty-set-rule")
    options = [word for pair in zip(flags, words, strict=True) for word in pair]
    subprocess.run(
        [sys.executable, "-m", "multihot", "decide", str(folder), str(file), *options, "--quiet"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


@dataclass(frozen=True)
class _Route:
    """How texts are asked for, and what an answer says of them."""

    path: str
    body: Callable[[list[str]], Any]
    labelled: Callable[[Reply, tuple[str, ...]], Labelled]
    takes_many: bool = True


def _native(reply: Reply, names: tuple[str, ...]) -> Labelled:
    content = reply.json()
    results = content["results"]
    scores = [[each["scores"][name] for name in names] for each in results]
    return scores, [set(each["labels"]) for each in results], content["decision"]


def _ranked(reply: Reply, names: tuple[str, ...]) -> Labelled:
    rows = [{pair["label"]: pair["score"] for pair in each} for each in reply.json()]
    return (
        [[row[name] for name in names] for row in rows],
        None,
        reply.headers["multihot-decision"],
    )


def _moderated(reply: Reply, names: tuple[str, ...]) -> Labelled:
    content = reply.json()
    results = content["results"]
    scores = [[each["category_scores"][name] for name in names] for each in results]
    labels = [{name for name in names if each["categories"][name]} for each in results]
    return scores, labels, content["decision"]


def _inferred(reply: Reply, names: tuple[str, ...]) -> Labelled:
    content = reply.json()
    found = {each["name"]: each for each in content["outputs"]}
    scores = np.reshape(found["scores"]["data"], found["scores"]["shape"]).tolist()
    chosen = np.reshape(found["labels"]["data"], found["labels"]["shape"])
    labels = [{names[column] for column in np.flatnonzero(row)} for row in chosen]
    return scores, labels, content["model_version"]


def _answered(reply: Reply, names: tuple[str, ...]) -> Labelled:
    answers = reply.json()["answers"]
    chosen = {name for name in names if answers[name]["decision"]}
    return (
        [[answers[name]["noul"] for name in names]],
        [chosen],
        reply.headers["multihot-decision"],
    )


def _routes(names: tuple[str, ...]) -> list[_Route]:
    questions = {name: {"type": "noul"} for name in names}
    return [
        _Route("/v1/predict", lambda texts: {"texts": texts}, _native),
        _Route("/predict", lambda texts: {"inputs": [[text] for text in texts]}, _ranked),
        _Route("/", lambda texts: {"inputs": texts}, _ranked),
        _Route("/v1/moderations", lambda texts: {"input": texts}, _moderated),
        _Route(
            "/v2/models/served/infer",
            lambda texts: {
                "inputs": [
                    {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
                ]
            },
            _inferred,
        ),
        _Route(
            "/v1/systemone",
            lambda texts: {"state": texts[0], "questions": questions, "decisions": True},
            _answered,
            takes_many=False,
        ),
    ]


class _Load:
    """Clients of one server."""

    def __init__(
        self, host: str, port: int, texts: list[str], expected: _Expected, result: Mixups
    ) -> None:
        self._address = (host, port)
        self._texts = texts
        self._expected = expected
        self._result = result
        self._routes = _routes(expected.names)
        self._versions: set[str] = set()

    async def run(
        self, requests: int, clients: int, folder: Path | None, decide_file: Path | None
    ) -> None:
        """Ask as often as said."""
        began = time.monotonic()
        numbers = iter(range(requests))
        async with contextlib.AsyncExitStack() as stack:
            if folder is not None and decide_file is not None:
                await stack.enter_async_context(self._renewing(folder, decide_file))
            await asyncio.gather(*(self._client(seed, numbers) for seed in range(clients)))
        self._result.seconds = time.monotonic() - began
        self._result.decisions = len(self._versions)

    @contextlib.asynccontextmanager
    async def _renewing(self, folder: Path, file: Path) -> AsyncIterator[None]:
        async def renew() -> None:
            for words in itertools.cycle(_DECISIONS):
                await asyncio.to_thread(_decide, folder, file, words)
                self._result.renewals += 1
                await asyncio.sleep(_PAUSE)

        task = asyncio.ensure_future(renew())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _client(self, seed: int, numbers: Iterator[int]) -> None:
        random = np.random.default_rng(seed)
        connection = Connection(*self._address)
        for _ in numbers:
            route = self._routes[int(random.integers(len(self._routes)))]
            many = route.takes_many and random.random() < _SEVERAL
            count = int(random.integers(2, _MOST_TEXTS + 1)) if many else 1
            rows = random.integers(len(self._texts), size=count).tolist()
            request = encode("POST", route.path, route.body([self._texts[row] for row in rows]))
            try:
                reply = await connection.ask(request)
            except (OSError, EOFError, TimeoutError) as error:
                self._result.failed += 1
                self._note(f"{route.path}: {error!r}")
                continue
            self._check(route, rows, reply)
            if random.random() < 0.02:  # now and then, a connection is a new one
                connection.close()
        connection.close()

    def _check(self, route: _Route, rows: list[int], reply: Reply) -> None:
        result = self._result
        result.requests += 1
        result.texts += len(rows)
        result.routes[route.path] += 1
        if reply.status != 200:
            result.refused += 1
            self._note(f"{route.path}: {reply.status} {reply.body[:200]!r}")
            return
        scores, labels, version = route.labelled(reply, self._expected.names)
        self._versions.add(version)
        known = self._expected.scores.get(version)
        if known is None or len(scores) != len(rows):
            result.wrong += 1
            self._note(f"{route.path}: version {version}, {len(scores)} of {len(rows)} texts")
            return
        difference = float(np.abs(np.asarray(scores) - known[rows]).max())
        result.largest_difference = max(result.largest_difference, difference)
        expected = [self._expected.labels[version][row] for row in rows]
        if difference > _TOLERANCE or (labels is not None and labels != expected):
            result.wrong += 1
            self._note(f"{route.path}: texts {rows}, difference {difference:.2g}, {labels}")

    def _note(self, sentence: str) -> None:
        if len(self._result.examples) < 10:
            self._result.examples.append(sentence)
