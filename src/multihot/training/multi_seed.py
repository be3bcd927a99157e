"""The same run with several seeds: how far chance moves the metrics, and the best or the mean of them.

What is averaged are weights, not probabilities (Wortsman et al., Model soups, ICML 2022, section 2:
the uniform soup): one network predicts, at the cost of one. It asks for runs from the same start, so
the head of all of them is drawn from the first seed; order of rows and dropout follow each seed.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from multihot.core.files import write_json
from multihot.data.dataset import EncodedExamples
from multihot.errors import TrainingError
from multihot.training import checkpoint
from multihot.training.run import (
    Metrics,
    Setup,
    Trained,
    copied_weights,
    run_steps,
    take_best,
)
from multihot.training.run_directory import RunDirectory
from multihot.training.validation import ValidationSet

__all__ = ["SeedRun", "mean_and_deviation", "mean_weights", "train_seeds"]

_SHOWN = ("jaccard", "micro_f1", "macro_f1", "subset_accuracy", "hamming_loss", "lrap")


@dataclass(frozen=True)
class SeedRun:
    """What came of one seed."""

    seed: int
    epoch: int
    """1-based, the best one."""
    metrics: Metrics
    """On the validation rows."""


def train_seeds(
    setup: Setup, train_set: EncodedExamples, held_out: ValidationSet, folder: RunDirectory
) -> Trained:
    """Train with each seed, and keep the best network or the mean of all, as `seeds_keep` says."""
    options, listener = setup.options, setup.listener
    start, runs = copied_weights(setup.network), list[SeedRun]()
    for seed in range(options.seed, options.seed + options.seeds):
        listener.say(f"Seed {seed} ({len(runs) + 1} of {options.seeds}).")
        setup.network.load_state_dict(start)
        runs.append(_one_seed(setup, seed, train_set, held_out, folder))
    mean, deviation = mean_and_deviation([one.metrics for one in runs])
    shown = [name for name in dict.fromkeys((options.goal, *_SHOWN)) if name in mean]
    listener.say(_summary(shown, mean, deviation, len(runs)))
    best = max(runs, key=lambda one: _order(one.metrics[options.goal]))
    places = [_place(folder, one.seed).result for one in runs]
    average: Metrics | None = None
    if options.seeds_keep == "average":
        setup.network.load_state_dict(mean_weights(map(_weights, places)))
    else:
        setup.network.load_state_dict(_weights(places[runs.index(best)]))
    logits = held_out.saved_logits(folder.scoring)
    if options.seeds_keep == "average":
        average = held_out.metrics(logits)
        listener.say(_compared(options.goal, average, best, len(runs)))
    else:
        listener.say(f"Seed {best.seed} is kept, the best of {len(runs)} by {options.goal}.")
    content = {
        "goal": options.goal,
        "kept": options.seeds_keep,
        "best_seed": best.seed,
        "seeds": [asdict(one) for one in runs],
        "mean": mean,
        "standard_deviation": deviation,
        "average": average,
    }
    write_json(folder.root / "seeds.json", content)
    seeds = ", ".join(str(one.seed) for one in runs)
    weights = f"epoch {best.epoch} of {options.epochs}, seed {best.seed}, the best of seeds {seeds}"
    if average is not None:
        weights = f"mean of the weights of seeds {seeds}"
    return Trained(
        *held_out.decide(logits, final=True),
        best.epoch,
        weights=weights,
        remark=(
            f"These rows also chose {'epochs' if average is not None else 'epochs and seed'} and fitted "
            "the thresholds"
        ),
        more=_section(runs, mean, deviation, average, shown),
    )


def _one_seed(
    setup: Setup,
    seed: int,
    train_set: EncodedExamples,
    held_out: ValidationSet,
    folder: RunDirectory,
) -> SeedRun:
    """Train with one seed; its best weights and their metrics are kept until all seeds are done."""
    place = _place(folder, seed)
    if (saved := checkpoint.load_result(place.result)) is not None:
        return SeedRun(**saved[1])
    own = replace(setup, options=replace(setup.options, seed=seed))
    name = f"{folder.root.parent.name}-seed-{seed}"
    state = run_steps(own, train_set, place, evaluate=held_out.metrics, name=name)
    take_best(own, state, place)
    metrics = held_out.metrics(held_out.saved_logits(place.scoring))
    found = SeedRun(seed, state.best_epoch, dict(metrics))
    checkpoint.save_result(place.result, copied_weights(setup.network), asdict(found))
    shutil.rmtree(place.checkpoints, ignore_errors=True)
    return found


def _place(folder: RunDirectory, seed: int) -> RunDirectory:
    return RunDirectory(folder.seeds / f"seed-{seed}")


def _weights(place: Path) -> dict[str, Tensor]:
    saved = checkpoint.load_result(place)
    if saved is None:
        raise TrainingError(
            f"{place} is damaged or missing. Run the same command with --resume: only this seed is "
            "trained again."
        )
    return saved[0]


def mean_weights(networks: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of every weight, summed in float64; of whole numbers those of the first.

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
    """Return mean and standard deviation (of a sample) of each metric, `None` where one is undefined."""
    mean: dict[str, float | None] = {}
    deviation: dict[str, float | None] = {}
    for name in metrics[0]:
        values = [one[name] for one in metrics]
        known = [value for value in values if value is not None]
        whole = len(known) == len(values)
        mean[name] = float(np.mean(known)) if whole else None
        deviation[name] = float(np.std(known, ddof=1)) if whole and len(known) > 1 else None
    return mean, deviation


def _order(value: float | None) -> float:
    return -math.inf if value is None else value


def _summary(shown: Sequence[str], mean: Metrics, deviation: Metrics, num_runs: int) -> str:
    lines = [f"Over {num_runs} seeds, mean and standard deviation on the validation rows:"]
    width = max(map(len, shown)) + 2
    lines += [
        f"  {name:<{width}}{_number(mean[name])} +- {_number(deviation[name])}" for name in shown
    ]
    return "\n".join(lines)


def _compared(goal: str, average: Metrics, best: SeedRun, num_runs: int) -> str:
    own, single = average[goal], best.metrics[goal]
    sentence = (
        f"The mean of the weights of {num_runs} networks reaches {goal} {_number(own)} on the "
        f"validation rows, the best single one (seed {best.seed}) {_number(single)}."
    )
    if _order(own) < _order(single):
        return f"{sentence} Here seeds_keep=best would have kept the better one."
    return sentence


def _section(
    runs: Sequence[SeedRun],
    mean: Metrics,
    deviation: Metrics,
    average: Metrics | None,
    shown: Sequence[str],
) -> str:
    """Return the section of the model card."""
    rows = [(str(one.seed), str(one.epoch), one.metrics) for one in runs]
    rows += [("mean", "", mean), ("standard deviation", "", deviation)]
    rows += [] if average is None else [("**mean of the weights**", "", average)]
    lines = [
        f"| {seed} | {epoch} | {' | '.join(_number(values[name]) for name in shown)} |"
        for seed, epoch, values in rows
    ]
    head = f"| seed | epoch | {' | '.join(shown)} |"
    title = f"\n## Over {len(runs)} seeds\n\nOn the same validation rows, from the same start.\n"
    return "\n".join([title, head, "|---" * (len(shown) + 2) + "|", *lines, ""])


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
