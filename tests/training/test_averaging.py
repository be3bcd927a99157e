"""The running average of weights: its formula, its place in checkpoints, and that it is only lent."""

from __future__ import annotations

from pathlib import Path

import torch

from multihot.training.checkpoint import load_averages, load_checkpoint, save_checkpoint
from multihot.training.optimizer import WeightAverage, build_optimizer
from training.toys import copied, same, steps_of, toy_network, toy_rows, train_toy


def test_it_is_the_running_average_of_the_weights() -> None:
    network = toy_network()
    optimizer = build_optimizer(network, 0.01, 0.0)
    average = WeightAverage(network, optimizer, 0.3)
    seen: list[dict[str, torch.Tensor]] = []

    train_toy(
        network,
        steps_of([toy_rows()], epochs=5),
        optimizer=optimizer,
        after_step=[average.update, lambda result: seen.append(copied(network)) and None],
    )

    expected = seen[0]
    for step, weights in enumerate(seen, start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = {k: decay * v + (1 - decay) * weights[k] for k, v in expected.items()}
    with average.applied():
        found = copied(network)
    assert all(torch.allclose(expected[name], found[name], atol=1e-6) for name in expected)
    assert not torch.allclose(found["0.weight"], seen[-1]["0.weight"], atol=1e-6)


def test_the_network_gets_its_own_weights_back() -> None:
    network = toy_network()
    optimizer = build_optimizer(network, 0.01, 0.0)
    average = WeightAverage(network, optimizer, 0.9)
    train_toy(
        network,
        steps_of([toy_rows()], epochs=3),
        optimizer=optimizer,
        after_step=[average.update],
    )
    before = copied(network)

    with average.applied():
        assert not same(before, copied(network))
    with average.applied():
        pass

    assert same(before, copied(network))


def test_a_checkpoint_holds_it(tmp_path: Path) -> None:
    network = toy_network()
    optimizer = build_optimizer(network, 0.01, 0.0)
    average = WeightAverage(network, optimizer, 0.9)
    steps = steps_of([toy_rows()], epochs=4)
    train_toy(network, steps[:2], optimizer=optimizer, after_step=[average.update])
    folder = save_checkpoint(tmp_path, 2, network, optimizer, {})
    train_toy(network, steps[2:], optimizer=optimizer, after_step=[average.update])
    other = toy_network()
    other_optimizer = build_optimizer(other, 0.01, 0.0)

    load_checkpoint(folder, other, other_optimizer)
    resumed = WeightAverage(other, other_optimizer, 0.9)
    averaged = toy_network()
    load_averages(folder, averaged)
    with resumed.applied():
        assert same(copied(averaged), copied(other))
    train_toy(other, steps[2:], optimizer=other_optimizer, after_step=[resumed.update])

    with average.applied(), resumed.applied():
        assert same(copied(network), copied(other))
