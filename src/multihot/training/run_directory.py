"""The `run/` folder: what a run is, so that `--resume` goes on with the same one or refuses.

run/recipe.toml        every option, also those left at their default
run/environment.json   data hashes and what decides the last bits of the result
run/metrics.jsonl      the log
run/checkpoints/       see training/checkpoint.py
run/folds/fold-1/      with folds, until the model is written: log and checkpoints of each fold
run/seeds/seed-0/      with several seeds: log of each, and until the model is written its weights
run/seeds.json         with several seeds: the metrics of each
run/targets/           with a teacher, until the model is written: what the rows are to become

Pretraining adds
run/schedule.json      steps and learning rate, as decided once; see training/schedule.py
run/tokenizer/         the tokenizer, when it was trained for this run
run/snapshots/         encoders on the way, for a probe
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multihot.core.files import read_json, write_json, write_text
from multihot.errors import OptionError
from multihot.inference.artifact import is_artifact

__all__ = ["RunDirectory", "check_output", "open_run", "saved_threads"]

# These decide only the last bits or nothing; a difference is said aloud, not refused.
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
        """Folder of the runs without one fold each."""
        return self.root / "folds"

    @property
    def seeds(self) -> Path:
        """Folder of the runs with one seed each."""
        return self.root / "seeds"

    @property
    def targets(self) -> Path:
        """Labels that a teacher had a say in."""
        return self.root / "targets"

    def all_targets(self) -> list[Path]:
        """Return `targets` and what was left behind where a process was killed while writing them."""
        return [self.targets, *self.root.glob(f".{self.targets.name}.*")]

    @property
    def result(self) -> Path:
        """What came of this run when it is one of several."""
        return self.root / "result"

    @property
    def scoring(self) -> Path:
        """Folder of a network that is saved only to be scored as a finished model is."""
        return self.root / "scoring"

    def clear(self) -> None:
        """Delete what only an unfinished run needs; the logs of single seeds stay."""
        seeds = [RunDirectory(root) for root in self.seeds.glob("seed-*")]
        parts = [part for one in seeds for part in (one.checkpoints, one.result)]
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
        """Encoders on the way."""
        return self.root / "snapshots"


def saved_threads(output: Path) -> int | None:
    """Return the thread count that an unfinished run in `output` used, `None` without one."""
    path = RunDirectory(output / "run").environment
    try:
        return int(read_json(path)["threads"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_output(
    output: Path, *, resume: bool, is_finished: Callable[[Path], bool] = is_artifact
) -> None:
    """Raise `OptionError` unless a run may write to `output`; called before the long work begins.

    `is_finished` tells whether a folder holds what the run is to make.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not resume:
        raise OptionError(
            f"{output} exists and is not empty. Choose another --output, delete it, or add "
            "--resume to go on with the run in it."
        )
    if is_finished(output):
        raise OptionError(f"{output} holds a finished model; there is nothing to resume.")
    if not RunDirectory(output / "run").root.is_dir():
        raise OptionError(f"{output} is not empty and holds no run; choose another --output.")


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
        The artefact's folder.
    options
        All options as plain values.
    facts
        Data hashes and environment.
    resume
        Whether a run in the folder is to be continued; if there is none, a new one starts.
    is_finished
        Tells whether a folder holds what the run is to make.

    Returns
    -------
    (folder, notes)
        The notes say what differs from the interrupted run without changing its meaning.

    Raises `OptionError` when the folder is not empty and `resume` is off, or when options or data
    differ from those of the interrupted run.
    """
    check_output(output, resume=resume, is_finished=is_finished)
    folder = RunDirectory(output / "run")
    if resume and folder.environment.is_file():
        return folder, _compare(folder, options, facts)
    import tomli_w

    folder.root.mkdir(parents=True, exist_ok=True)
    for leftover in (folder.checkpoints, folder.folds, folder.seeds, *folder.all_targets()):
        shutil.rmtree(leftover, ignore_errors=True)
    write_text(folder.recipe, tomli_w.dumps(dict(options)))
    write_json(folder.environment, dict(facts))
    return folder, (["Nothing to resume: starting from the beginning."] if resume else [])


def _compare(
    folder: RunDirectory, options: Mapping[str, Any], facts: Mapping[str, str | int]
) -> list[str]:
    old_options, old_facts = _read(folder)
    changed = sorted(
        key for key in {*old_options, *options} if old_options.get(key) != options.get(key)
    )
    # Threads are set to those of the run before; asking for them again is no change.
    if changed := [key for key in changed if key != "threads"]:
        was = ", ".join(f"{key}={old_options.get(key)!r}" for key in changed)
        raise OptionError(
            f"The interrupted run in {folder.root.parent} has other options: {was}. Resume with the "
            "same options, or choose another --output."
        )
    for key, value in facts.items():
        if key not in _ENVIRONMENT and old_facts.get(key) != value:
            raise OptionError(
                f"The interrupted run in {folder.root.parent} had other {key.replace('_', ' ')}: what it was made from has changed. Resume with the same "
                "files, or choose another --output."
            )
    differing = [key for key in _ENVIRONMENT if old_facts.get(key) != facts.get(key)]
    if not differing:
        return []
    was = ", ".join(f"{key} was {old_facts.get(key)}, is {facts.get(key)}" for key in differing)
    return [f"Resuming, but not bit for bit the undisturbed run: {was}."]


def _read(folder: RunDirectory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return options and facts of an interrupted run."""
    path = folder.recipe
    try:
        options = tomllib.loads(path.read_text(encoding="utf-8"))
        path = folder.environment
        facts = dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise OptionError(
            f"{path} is damaged ({error}), so the run cannot be resumed. Delete the folder, or "
            "start again in another --output."
        ) from None
    return options, facts
