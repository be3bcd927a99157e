"""The `run/` directory: identifies a run, so that `--resume` continues the same run or refuses.

run/recipe.toml        every option, also those left at their default
run/environment.json   data hashes and what affects the last bits of the result
run/metrics.jsonl      the log
run/checkpoints/       see training/checkpoint.py
run/scoring/           while an epoch is scored: its network, saved as a finished model's is
run/folds/fold-1/      with folds, until the model is written: log and checkpoints of each fold
run/seeds/seed-0/      with several seeds: log of each, and until the model is written its weights
run/seeds.json         with several seeds: the metrics of each
run/targets/           with a teacher, until the model is written: the soft targets

Pretraining adds
run/schedule.json      steps and learning rate; see training/pretraining/schedule.py
run/tokenizer/         the tokenizer, when it was trained for this run
run/snapshots/         intermediate encoders, for a probe
"""

from __future__ import annotations

import os
import shutil
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from multihot.core.files import write_json, write_text
from multihot.core.staging import check_new_folder
from multihot.core.text_tables import cut, listed, printable
from multihot.errors import OptionError
from multihot.gate.folder_files import read_folder_file, shown_file
from multihot.gate.json_documents import read_json_object
from multihot.inference.artifact import is_artifact
from multihot.training.ranks import Ranks

__all__ = [
    "PROCESSES",
    "RunDirectory",
    "check_output",
    "open_run",
    "open_shared_run",
    "require_same_options",
    "saved_threads",
    "stored_options",
]

# These affect the last bits at most; a difference is reported, not refused.
_ENVIRONMENT = (
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "device",
    "device_name",
    "precision",
    "execution",
    "threads",
    "instruction_set",
)


PROCESSES = "processes"
"""Fact of a run in several processes: how many."""

_MOST_SECONDS_TO_APPEAR = 60.0
_MOST_BYTES = 16 << 20  # of a recipe with the texts of many labels
_MOST_THREADS = 4096


@dataclass(frozen=True)
class RunDirectory:
    """Paths of one run."""

    root: Path

    @property
    def recipe(self) -> Path:
        """Every option of the run."""
        return self.root / "recipe.toml"

    @property
    def environment(self) -> Path:
        """Data hashes and environment."""
        return self.root / "environment.json"

    @property
    def metrics(self) -> Path:
        """The log."""
        return self.root / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.root / "checkpoints"

    @property
    def folds(self) -> Path:
        """Folder of the runs that leave out one fold each."""
        return self.root / "folds"

    @property
    def seeds(self) -> Path:
        """Folder of the runs with one seed each."""
        return self.root / "seeds"

    @property
    def targets(self) -> Path:
        """Soft targets from teachers."""
        return self.root / "targets"

    def all_targets(self) -> list[Path]:
        """Return `targets` and the leftovers of a process that was killed while writing them."""
        return [self.targets, *self.root.glob(f".{self.targets.name}.*")]

    @property
    def result(self) -> Path:
        """Result of this run when it is one of several."""
        return self.root / "result"

    @property
    def scoring(self) -> Path:
        """Folder of a network that is saved only to be scored as a finished model is."""
        return self.root / "scoring"

    def clear(self) -> None:
        """Delete what only an unfinished run needs; the logs of single seeds stay.

        Raises `OptionError` for a run with links, where other folders would be emptied.
        """
        _refuse_links(self.root)
        seeds = [RunDirectory(root) for root in self.seeds.glob("seed-*")]
        parts = [part for one in seeds for part in (one.checkpoints, one.result, one.scoring)]
        for path in (self.checkpoints, self.folds, self.scoring, *self.all_targets(), *parts):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def schedule(self) -> Path:
        """Decisions about the length of a pretraining run."""
        return self.root / "schedule.json"

    @property
    def tokenizer(self) -> Path:
        """Tokenizer that was trained for this run."""
        return self.root / "tokenizer"

    @property
    def snapshots(self) -> Path:
        """Intermediate encoders."""
        return self.root / "snapshots"


def stored_options(run: RunDirectory) -> dict[str, Any]:
    """Return the options that a run was started with, as plain values.

    Raises `OptionError` when its recipe is no regular file of TOML, and for a run with links.
    """
    _refuse_links(run.root)
    name = run.recipe.name
    content = read_folder_file(run.root, name, most_bytes=_MOST_BYTES, error=OptionError)
    try:
        return tomllib.loads(bytes(content).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{shown_file(run.recipe)} is damaged: {cut(str(error))}.") from None


def _refuse_links(root: Path) -> None:
    """Raise `OptionError` for a run with a link: what it leads to would be written and deleted."""
    inside = (Path(folder, name) for folder, *names in os.walk(root) for name in chain(*names))
    for path in chain((root,), inside):
        if path.is_symlink():
            raise OptionError(
                f"{shown_file(path)} is a link, and the files of a run have none. Put what it leads to "
                "in its place, or choose another --output."
            )


def saved_threads(output: Path) -> int | None:
    """Return the thread count that an unfinished run in `output` used, `None` without one."""
    run = RunDirectory(output / "run")
    try:
        threads = _facts(run).get("threads")
    except OptionError:
        return None
    return threads if type(threads) is int and 0 < threads <= _MOST_THREADS else None


def check_output(
    output: Path, *, resume: bool, is_finished: Callable[[Path], bool] = is_artifact
) -> None:
    """Raise `OptionError` unless a run may write to `output`; called before the long work begins.

    `is_finished` returns whether a folder holds the result of a finished run.
    """
    advice = "Choose another --output, delete it, or add --resume to continue the run in it."
    if not resume or not output.is_dir():
        check_new_folder(output, advice=advice)
        return
    if not any(output.iterdir()):
        return
    _refuse_links(output / "run")
    if is_finished(output):
        raise OptionError(f"{output} holds a finished model; there is nothing to resume.")
    if not RunDirectory(output / "run").root.is_dir():
        raise OptionError(f"{output} is not empty and holds no run; choose another --output.")


def require_same_options(
    output: Path, options: Mapping[str, Any], named: Mapping[str, Any]
) -> None:
    """Raise `OptionError` when the finished run in `output` had others of the options that are named.

    `options` are all, `named` those that the command names, both as plain values. The number of
    threads is not compared.
    """
    try:
        old = _flat(stored_options(RunDirectory(output / "run")))
    except OptionError:
        return  # a model without its run is no less finished
    new = _flat(options)
    asked = sorted({*_flat(named)} & {*old, *new} - {"threads"})
    if changed := [key for key in asked if old.get(key) != new.get(key)]:
        was = ", ".join(
            f"{printable(key)}={cut(old.get(key))} (now {cut(new.get(key))})" for key in changed
        )
        raise OptionError(
            f"{output} is finished, with other options: {was}. To train with these, choose another "
            f"--output; to go on from that model: --from {output}."
        )


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options and those of their tables, as they are written on the command line."""
    found: dict[str, Any] = {}
    for key, value in options.items():
        inner = _flat(value) if isinstance(value, Mapping) else {"": value}
        found |= {f"{key}.{name}" if name else key: each for name, each in inner.items()}
    return found


def open_run(
    output: Path,
    options: Mapping[str, Any],
    facts: Mapping[str, str | int],
    *,
    resume: bool,
    is_finished: Callable[[Path], bool] = is_artifact,
) -> tuple[RunDirectory, list[str]]:
    """Create the run folder, or check that the one there is the same run.

    Parameters
    ----------
    output
        Folder of the model.
    options
        All options as plain values.
    facts
        Data hashes and environment.
    resume
        Whether a run in the folder is to be continued; if there is none, a new one starts.
    is_finished
        Returns whether a folder holds the result of a finished run.

    Returns
    -------
    (folder, notes)
        The notes name differences from the interrupted run that affect the last bits at most.

    Raises `OptionError` when the folder is not empty and `resume` is off, or when options or data
    differ from those of the interrupted run.
    """
    check_output(output, resume=resume, is_finished=is_finished)
    folder = RunDirectory(output / "run")
    if resume and folder.environment.is_file():
        return folder, _compare(folder, options, facts)
    import tomli_w

    folder.root.mkdir(parents=True, exist_ok=True)
    parts = (folder.checkpoints, folder.scoring, folder.folds, folder.seeds)
    for leftover in (*parts, *folder.all_targets()):
        shutil.rmtree(leftover, ignore_errors=True)
    write_text(folder.recipe, tomli_w.dumps(dict(options)))
    write_json(folder.environment, dict(facts))
    return folder, (["Nothing to resume: starting from the beginning."] if resume else [])


def open_shared_run(
    output: Path,
    options: Mapping[str, Any],
    facts: Mapping[str, str | int],
    ranks: Ranks,
    *,
    resume: bool,
    is_finished: Callable[[Path], bool] = is_artifact,
) -> tuple[RunDirectory, list[str]]:
    """Let the first of several processes open the run, as `open_run` does, once all agree on it.

    Raises `OptionError`, in all of them and before anything is written, when one has other options, data,
    weights or versions.
    """
    advice = "Start all processes with the same command, files, weights and versions of packages."
    if ranks.count > 1:
        facts = {**facts, PROCESSES: ranks.count}
        own = {"output": str(output.absolute()), "multihot": version("multihot")}
        ranks.require_same({**own, **_flat(options), **facts}, advice)
    notes = ranks.from_first(
        lambda: open_run(output, options, facts, resume=resume, is_finished=is_finished)[1]
    )
    folder = RunDirectory(output / "run")
    is_seen = ranks.is_first or _appears(folder.environment)
    ranks.raise_together(
        None
        if is_seen
        else OptionError(
            f"Process {ranks.rank} does not see {folder.root}, which process 0 made: put --output on a file "
            "system that all processes share."
        )
    )
    return folder, notes


def _appears(path: Path) -> bool:
    """Return whether a file of another process is there, or comes: a network takes its time."""
    until = time.monotonic() + _MOST_SECONDS_TO_APPEAR
    while not path.is_file():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _compare(
    folder: RunDirectory, options: Mapping[str, Any], facts: Mapping[str, str | int]
) -> list[str]:
    old_options, old_facts = _read(folder)
    before, now = old_facts.get(PROCESSES, 1), facts.get(PROCESSES, 1)
    if before != now:
        one = "one process, without torchrun" if before == 1 else f"{cut(before)} processes"
        raise OptionError(
            f"The interrupted run in {folder.root.parent} has processes={cut(before)}, this one {now}; its "
            f"steps are exact with the same number only. Resume with {one}, or choose another --output."
        )
    changed = sorted(
        key for key in {*old_options, *options} if old_options.get(key) != options.get(key)
    )
    # The number of threads is that of the interrupted run, whatever is requested.
    if changed := [key for key in changed if key != "threads"]:
        was = ", ".join(f"{printable(key)}={cut(old_options.get(key))}" for key in changed)
        raise OptionError(
            f"By run/recipe.toml, the interrupted run in {folder.root.parent} has other options: {was}. "
            "Resume with the same options, or choose another --output."
        )
    for key, value in facts.items():
        if key not in _ENVIRONMENT and old_facts.get(key) != value:
            raise OptionError(
                f"{folder.root.parent}: {key.replace('_', ' ')} changed since the interrupted run, by "
                "run/environment.json. Resume with the same files, or choose another --output."
            )
    differing = [key for key in _ENVIRONMENT if old_facts.get(key) != facts.get(key)]
    if not differing:
        return []
    was = ", ".join(
        f"{key} was {listed([old_facts.get(key)])}, is {facts.get(key)}" for key in differing
    )
    return [f"Resuming, but the result may differ in the last bits: {was}."]


def _read(folder: RunDirectory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return options and facts of an interrupted run."""
    path = folder.recipe
    try:
        options = stored_options(folder)
        path = folder.environment
        facts = _facts(folder)
    except OptionError as error:
        raise OptionError(
            f"{path} is damaged ({error}), so the run cannot be resumed. Delete the folder, or "
            "start again in another --output."
        ) from None
    return options, facts


def _facts(folder: RunDirectory) -> dict[str, Any]:
    """Return what `environment.json` holds; raise `OptionError` when it is damaged."""
    name = folder.environment.name
    return read_json_object(folder.root, name, error=OptionError, most_bytes=_MOST_BYTES)
