"""Several seeds: the variation of the metrics between runs, and the best network or averaged weights.

Weights are averaged, not probabilities (Wortsman et al., Model soups, ICML 2022, section 2: the
uniform soup), so prediction costs as much as with one network. That needs runs from the same initial
weights: the head of all is drawn from the first seed; row order and dropout follow each seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from multihot.core.files import write_json
from multihot.core.text_tables import format_number
from multihot.data.dataset import Subset
from multihot.errors import TrainingError
from multihot.gate.stored_records import record_of
from multihot.training import checkpoint
from multihot.training.run import (
    Metrics,
    SeedRun,
    SeedRuns,
    Setup,
    Trained,
    copied_weights,
    load_best_epoch,
    run_steps,
)
from multihot.training.run_directory import RunDirectory
from multihot.training.validation import ScoredEpochs, ValidationSet

__all__ = ["mean_and_deviation", "mean_weights", "train_seeds"]

_number = partial(format_number, decimals=4, missing="undefined")


def train_seeds(
    setup: Setup, train_set: Subset, validation: ValidationSet, directory: RunDirectory
) -> Trained:
    """Train with each seed, and keep the best network or the averaged weights, as `seeds_keep` says."""
    options, listener = setup.options, setup.listener
    initial, runs = copied_weights(setup.network), list[SeedRun]()
    for seed in range(options.seed, options.seed + options.seeds):
        listener.say(f"Seed {seed} ({len(runs) + 1} of {options.seeds}).")
        setup.network.load_state_dict(initial)
        runs.append(_one_seed(setup, seed, train_set, validation, directory))
    if len({tuple(sorted(run.metrics)) for run in runs}) > 1:
        raise TrainingError(
            f"The seeds in {directory.seeds} have different metrics: one was changed. Delete this folder, "
            "and run the same command with --resume."
        )
    seeds = SeedRuns(options.goal, tuple(runs), *mean_and_deviation([run.metrics for run in runs]))
    listener.say(_summary(seeds))
    if options.seeds_keep == "average":
        results = (_of_seed(directory, run.seed).result for run in runs)
        weights = (_saved_weights(path, initial) for path in results)
        setup.network.load_state_dict(mean_weights(weights))
    else:
        best = _of_seed(directory, seeds.best.seed)
        setup.network.load_state_dict(_saved_weights(best.result, initial))
    logits = validation.saved_logits(directory.scoring)
    if options.seeds_keep == "average":
        seeds = replace(seeds, average=validation.metrics(logits))
    listener.say(_choice(seeds))
    content = {
        "goal": seeds.goal,
        "kept": options.seeds_keep,
        "best_seed": seeds.best.seed,
        "seeds": [asdict(run) for run in runs],
        "mean": seeds.mean,
        "standard_deviation": seeds.deviation,
        "average": seeds.average,
    }
    write_json(directory.root / "seeds.json", content)
    return Trained(*validation.decide(logits, final=True), seeds.best.epoch, seeds=seeds)


def _one_seed(
    setup: Setup,
    seed: int,
    train_set: Subset,
    validation: ValidationSet,
    directory: RunDirectory,
) -> SeedRun:
    """Train with one seed; its best weights and their metrics are kept until all seeds are done."""
    own = _of_seed(directory, seed)
    if (saved := checkpoint.load_result(own.result, setup.network.state_dict())) is not None:
        run = record_of(SeedRun, saved[1], own.result, TrainingError)
        if run.seed == seed and setup.options.goal in run.metrics:
            return run
    seeded = replace(setup, options=replace(setup.options, seed=seed))
    name = f"{directory.root.parent.name}-seed-{seed}"
    epochs = ScoredEpochs(validation, own.scoring)
    state = run_steps(
        seeded, train_set, own, evaluate=epochs.metrics, on_best=epochs.keep, name=name
    )
    load_best_epoch(seeded, state, own)
    metrics = validation.metrics(epochs.best_logits())
    run = SeedRun(seed, state.best_epoch, dict(metrics))
    checkpoint.save_result(own.result, copied_weights(setup.network), asdict(run))
    shutil.rmtree(own.checkpoints, ignore_errors=True)
    return run


def _of_seed(directory: RunDirectory, seed: int) -> RunDirectory:
    return RunDirectory(directory.seeds / f"seed-{seed}")


def _saved_weights(path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    saved = checkpoint.load_result(path, like)
    if saved is None:
        raise TrainingError(
            f"{path} is damaged or missing. Run the same command with --resume: only this seed is "
            "trained again."
        )
    return saved[0]


def mean_weights(networks: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of every weight, summed in float64; integer tensors are those of the first.

    The weights of one network at a time are in memory, if `networks` yields them so.
    """
    sums: dict[str, Tensor] = {}
    first: Mapping[str, Tensor] = {}
    num_networks = 0
    for weights in networks:
        first = first or weights
        num_networks += 1
        for name, tensor in weights.items():
            if tensor.is_floating_point():
                sums[name] = sums.get(name, 0) + tensor.double()
    means = {name: (total / num_networks).to(first[name].dtype) for name, total in sums.items()}
    return {**first, **means}


def mean_and_deviation(
    metrics: Sequence[Metrics],
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return mean and sample standard deviation of each metric, `None` where one is undefined."""
    mean: dict[str, float | None] = {}
    deviation: dict[str, float | None] = {}
    for name in metrics[0]:
        values = [one[name] for one in metrics]
        known = [value for value in values if value is not None]
        complete = len(known) == len(values)
        mean[name] = float(np.mean(known)) if complete else None
        deviation[name] = float(np.std(known, ddof=1)) if complete and len(known) > 1 else None
    return mean, deviation


def _summary(seeds: SeedRuns) -> str:
    names = seeds.shown()
    width = max(map(len, names)) + 2
    lines = [f"Mean and standard deviation over {len(seeds.runs)} seeds on the validation rows:"]
    lines += [
        f"  {name:<{width}}{_number(seeds.mean[name])} +- {_number(seeds.deviation[name])}"
        for name in names
    ]
    return "\n".join(lines)


def _choice(seeds: SeedRuns) -> str:
    """Return which weights are kept, and how they compare."""
    best, goal = seeds.best, seeds.goal
    if seeds.average is None:
        return f"Keeping seed {best.seed}, the best of {len(seeds.runs)} by {goal}."
    averaged, single = seeds.average[goal], best.metrics[goal]
    sentence = (
        f"Keeping the averaged weights of {len(seeds.runs)} seeds: validation {goal} "
        f"{_number(averaged)}; the best single seed ({best.seed}) reaches {_number(single)}."
    )
    if single is not None and (averaged is None or averaged < single):
        return f"{sentence} Here seeds_keep=best would have kept the better network."
    return sentence
