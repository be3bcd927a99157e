"""Measure on this machine how fast a model answers, and what `multihot serve` should be told."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np

from multihot.core.bundled import demo_data
from multihot.core.files import as_path
from multihot.core.instruction_set import instruction_set
from multihot.core.options import DataOptions
from multihot.core.processors import usable_processors
from multihot.core.seeding import named_generator
from multihot.core.text_tables import counted
from multihot.data.labelled_file import read_examples
from multihot.data.text_stream import stream_texts
from multihot.errors import DataError, OptionError
from multihot.inference.predictor import Predictor
from multihot.workflows.bench_process import BenchProcess, bench_processes
from multihot.workflows.bench_report import (
    BatchSpeed,
    BenchReport,
    LoadLevel,
    ProcessCost,
    Recommended,
    ServingSpeed,
)

__all__ = ["bench", "texts_to_measure"]

_BATCH_SIZES = (1, 8, 32, 128)
_WORKERS = (2, 4, 8)
_PASS_TOKENS = (512, 2048, 8192)
_USUAL_PASS_TOKENS = 2048
_LOADS = (50, 80, 100, 200)  # percent of what is answered at most
_CLIENTS = 64
_MOST_TEXTS = 2000
_DEADLINE_SECONDS = 10.0  # of `multihot serve`
_TEXTS_OF_A_REQUEST = 32
_AS_GOOD = 0.95  # of the highest throughput
_SHARES = {"batches": 0.3, "settings": 0.2, "passes": 0.1, "loads": 0.4}  # of the time
_PACKAGES = ("multihot", "numpy", "tokenizers", "onnxruntime", "openvino", "torch")
_LEAST_SECONDS, _MOST_SECONDS = 1.0, 3600.0


def texts_to_measure(file: str | None, data: DataOptions) -> tuple[list[str], str]:
    """Return the first texts of a file, or those of the bundled data set, and where they come from.

    Raises `DataError` for a file that cannot be read or holds no text.
    """
    if file is None:
        parts = [read_examples(path).texts for path in demo_data().values()]
        return [text for part in parts for text in part][:_MOST_TEXTS], "the bundled data set"
    stream = stream_texts(file, data)
    texts = [row.text for row in islice(stream.rows, _MOST_TEXTS)]
    if not texts:
        raise DataError("There is no text to measure with.", path=file)
    return texts, Path(file).name


def bench(
    model: str | os.PathLike[str],
    texts: Sequence[str],
    *,
    source: str,
    seconds: float = 20.0,
    backend: str = "auto",
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> BenchReport:
    """Measure a model with some texts; it takes about so many seconds, and the starts of some processes.

    Parameters
    ----------
    model
        Folder of a model or an export.
    texts
        What it is asked; they come again when there are too few.
    source
        Where they come from, for the report.
    seed
        Of the times at which requests arrive.
    progress
        Receives a sentence before each kind of measurement.

    Raises
    ------
    OptionError
        `seconds` is out of range, or the backend does not run the model.
    ArtifactError
        The folder is no finished model.
    """
    if not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        raise OptionError(
            f"seconds is {seconds:g}; expected {_LEAST_SECONDS:g} to {_MOST_SECONDS:g}."
        )
    say = progress or (lambda message: None)
    folder = str(as_path(model, "model"))
    predictor = Predictor.load(folder, backend=backend)  # what is wrong is said at once
    lengths = predictor.tokenized(texts)
    measuring = _Measuring(folder, list(texts), backend, seconds, say)
    measuring.each_number_of_threads()
    measuring.several_workers()
    best = measuring.best_setting()
    with measuring.started(best) as processes:
        passes = measuring.pass_sizes(processes, float(lengths.lengths.mean()))
        recommended = _recommended(best, passes, measuring, longest=int(lengths.lengths.max()))
        loads = measuring.loads(processes, recommended, seed)
    artifact = predictor.artifact
    return BenchReport(
        model=str(folder),
        form=artifact.form,
        precision="fp32" if artifact.exported is None else artifact.exported.precision,
        backend=backend,
        num_labels=len(predictor.space),
        max_length=artifact.max_length,
        source=source,
        num_texts=len(texts),
        mean_tokens=float(lengths.lengths.mean()),
        longest_tokens=int(lengths.lengths.max()),
        num_truncated=int(lengths.truncated.sum()),
        instruction_set=instruction_set(),
        processors=usable_processors(),
        python=platform.python_version(),
        versions=_installed_versions(),
        processes=measuring.processes,
        batches=measuring.batches,
        settings=measuring.settings,
        passes=passes,
        loads=loads,
        recommended=recommended,
    )


class _Measuring:
    """What was measured so far, and how much time each kind of measurement has."""

    def __init__(
        self,
        folder: str,
        texts: list[str],
        backend: str,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self._model = (folder, texts, backend)
        self._say = say
        self._threads = _powers(usable_processors())
        self._workers = [number for number in _WORKERS if number <= usable_processors()]
        self._slot = {
            "batches": seconds * _SHARES["batches"] / (len(self._threads) * len(_BATCH_SIZES)),
            "settings": seconds * _SHARES["settings"] / len([*self._threads, *self._workers]),
            "passes": seconds * _SHARES["passes"] / len(_PASS_TOKENS),
            "loads": seconds * _SHARES["loads"] / len(_LOADS),
        }
        self.processes: list[ProcessCost] = []
        self.batches: list[BatchSpeed] = []
        self.settings: list[ServingSpeed] = []

    def each_number_of_threads(self) -> None:
        """Measure one process with each number of threads: its start, batches, and its engine."""
        for threads in self._threads:
            self._say(
                f"Batches of {', '.join(map(str, _BATCH_SIZES))} with {counted(threads, 'thread')} ..."
            )
            with bench_processes(*self._model, num_threads=threads) as (process,):
                cold_start, memory = process.started()
                peak = self._batches(process)
                self.processes.append(ProcessCost(threads, cold_start, memory, peak))
                self.settings.append(self._engine([process]))

    def _batches(self, process: BenchProcess) -> int | None:
        slot, peak, per_text = self._slot["batches"], None, 0.0
        for size in _BATCH_SIZES:
            if per_text * size > slot:
                break  # a few calls would take several times as long as there is
            found = process.ask({"do": "batches", "size": size, "seconds": slot})
            times, peak = found["seconds"], found["peak_bytes"]
            per_text = sum(times) / (size * len(times))
            self.batches.append(
                BatchSpeed(
                    process.num_threads,
                    size,
                    len(times),
                    1 / per_text,
                    found["num_tokens"] / sum(times),
                    *_percentiles(1000 * np.asarray(times)),
                )
            )
        return peak

    def several_workers(self) -> None:
        """Measure several processes that share the processors."""
        for workers in self._workers:
            self._say(f"{counted(workers, 'worker')} at the same time ...")
            threads = max(1, usable_processors() // workers)
            with bench_processes(*self._model, num_threads=threads, workers=workers) as processes:
                for process in processes:
                    process.started()
                self.settings.append(self._engine(processes))

    def _engine(
        self,
        processes: Sequence[BenchProcess],
        pass_tokens: int = _USUAL_PASS_TOKENS,
        kind: str = "settings",
    ) -> ServingSpeed:
        clients = self._clients(len(processes), kind)
        request = {
            "do": "closed",
            "seconds": self._slot[kind],
            "clients": clients,
            "pass_tokens": pass_tokens,
        }
        for process in processes:
            process.send(request)
        found = [process.receive() for process in processes]
        return ServingSpeed(
            len(processes),
            processes[0].num_threads,
            clients * len(processes),
            pass_tokens,
            sum(each["per_second"] for each in found),
            sum(
                each["per_second"] * each["num_tokens"] / len(each["milliseconds"])
                for each in found
            ),
            *_percentiles(np.concatenate([each["milliseconds"] for each in found])),
        )

    def _clients(self, num_processes: int, kind: str) -> int:
        """Return how many ask each process: twice at least, and a large model answers few in its time."""
        rate = max(each.texts_per_second for each in self.batches)
        return max(1, int(np.clip(rate * self._slot[kind] / 2, 4, _CLIENTS)) // num_processes)

    def best_setting(self) -> ServingSpeed:
        """Return, of those that answer nearly as many texts as the best, the one with the fewest workers.

        Of several it is the one with the fastest answer to one text.
        """
        most = max(each.texts_per_second for each in self.settings)
        good = [each for each in self.settings if each.texts_per_second >= _AS_GOOD * most]
        alone = {each.threads: each.p50_ms for each in self.batches if each.batch_size == 1}
        return min(good, key=lambda each: (each.workers, alone.get(each.threads, 0.0)))

    @contextlib.contextmanager
    def started(self, setting: ServingSpeed) -> Iterator[list[BenchProcess]]:
        """Run the processes of a setting for the block."""
        threads, workers = setting.threads, setting.workers
        with bench_processes(*self._model, num_threads=threads, workers=workers) as processes:
            for process in processes:
                process.started()
            yield processes

    def pass_sizes(
        self, processes: Sequence[BenchProcess], mean_tokens: float
    ) -> list[ServingSpeed]:
        """Measure passes of the usual size, and of others that the clients can fill."""
        self._say("Passes of several sizes ...")
        in_flight = self._clients(len(processes), "passes") * mean_tokens
        sizes = [each for each in _PASS_TOKENS if each == _USUAL_PASS_TOKENS or each <= in_flight]
        return [self._engine(processes, tokens, "passes") for tokens in sizes]

    def loads(
        self, processes: Sequence[BenchProcess], setting: Recommended, seed: int
    ) -> list[LoadLevel]:
        """Let requests come at parts and multiples of the rate that is answered at most."""
        levels = []
        for percent in _LOADS:
            self._say(f"Requests at {percent} % of the highest rate ...")
            levels.append(self._load(processes, setting, percent, seed))
        return levels

    def _load(
        self, processes: Sequence[BenchProcess], setting: Recommended, percent: int, seed: int
    ) -> LoadLevel:
        rate, seconds = setting.texts_per_second * percent / 100, self._slot["loads"]
        num_planned = 0
        for number, process in enumerate(processes, start=1):
            random = named_generator(seed, "arrivals", percent, number)
            arrivals = _arrivals(rate / len(processes), seconds, random)
            num_planned += len(arrivals)
            process.send(
                {
                    "do": "open",
                    "arrivals": arrivals,
                    "deadline": _DEADLINE_SECONDS,
                    "pass_tokens": setting.pass_tokens,
                    "queue_tokens": setting.max_queue_tokens,
                }
            )
        found = [process.receive() for process in processes]
        times = np.concatenate([each["milliseconds"] for each in found])
        return LoadLevel(
            percent,
            rate,
            num_planned,
            len(times),
            sum(each["num_refused"] for each in found),
            sum(each["num_late"] for each in found),
            sum(len(each["milliseconds"]) / each["seconds"] for each in found),
            *_percentiles(times),
        )


def _recommended(
    best: ServingSpeed, passes: Sequence[ServingSpeed], measuring: _Measuring, *, longest: int
) -> Recommended:
    usual = next(each for each in passes if each.pass_tokens == _USUAL_PASS_TOKENS)
    most = max(passes, key=lambda each: each.texts_per_second)
    chosen = usual if _AS_GOOD * most.texts_per_second <= usual.texts_per_second else most
    full = _TEXTS_OF_A_REQUEST * longest
    queue = max(_two_digits(chosen.tokens_per_second), full)
    alone = {each.threads: each for each in measuring.batches if each.batch_size == 1}
    others = ", ".join(
        f"{counted(each.workers, 'worker')} x {counted(each.threads, 'thread')}: "
        f"{each.texts_per_second:,.0f}"
        for each in measuring.settings
        if each is not best
    )
    shown = ", ".join(f"{each.pass_tokens}: {each.texts_per_second:,.0f}" for each in passes)
    what = "The default; no other answers 5 % more" if chosen is usual else "It answers most"
    reasons = {
        "workers": f"{best.texts_per_second:,.0f} texts/s from {best.clients} clients"
        + (f" ({others})." if others else "."),
        "threads": f"One text takes {alone[best.threads].p50_ms:.1f} ms (median)"
        + "".join(
            f", with {counted(threads, 'thread')} {each.p50_ms:.1f}"
            for threads, each in alone.items()
            if threads != best.threads
        )
        + ".",
        "pass_tokens": f"{what} (texts/s by tokens: {shown})."
        if len(passes) > 1
        else "The default; too few texts were asked at once to tell sizes apart: give more --seconds.",
        "max_queue_tokens": f"About a second of work at {chosen.tokens_per_second:,.0f} tokens/s"
        if queue > full
        else f"Room for one full request of {_TEXTS_OF_A_REQUEST} texts of {longest} tokens",
    }
    reasons["max_queue_tokens"] += "; what comes when it is full gets 429 at once."
    return Recommended(
        best.workers,
        best.threads,
        chosen.pass_tokens,
        queue,
        chosen.texts_per_second,
        reasons,
    )


def _arrivals(rate: float, seconds: float, random: np.random.Generator) -> list[float]:
    """Return times of a Poisson process, at least one."""
    expected = rate * seconds
    gaps = random.exponential(1 / rate, size=max(1, int(expected + 6 * expected**0.5 + 10)))
    times = np.cumsum(gaps)
    found: list[float] = times[times < seconds].tolist() or [0.0]
    return found


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    """Return the median and the 95th and 99th percentiles; NaN is no JSON, so 0 without values."""
    if not len(values):
        return 0.0, 0.0, 0.0
    found: list[float] = np.percentile(values, [50, 95, 99]).tolist()
    return found[0], found[1], found[2]


def _powers(most: int) -> list[int]:
    """Return 1, 2, 4, ... and the number itself."""
    return sorted({*(1 << n for n in range(most.bit_length())), most})


def _two_digits(value: float) -> int:
    scale = int(10 ** max(0, len(str(int(value))) - 2))
    return max(1, int(value) // scale * scale)


def _installed_versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    return found
