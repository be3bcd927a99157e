"""The training step: it learns, it divides by what is known, and it stops before doing harm."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from multihot.core.labels import LabelSpace
from multihot.core.options import ObjectiveOptions
from multihot.data.batches import make_batch
from multihot.data.tokens import tokenize
from multihot.errors import NonFiniteError
from multihot.models.encoder import load_encoder_tokenizer, pad_id
from multihot.models.network import build_network
from multihot.training import loop
from multihot.training.batches import classification_loss
from multihot.training.objective import build_objective
from multihot.training.optimizer import build_optimizer, linear_schedule
from training.toys import copied, parts, same, steps_of, toy_network, toy_rows, train_toy

SPACE = LabelSpace(("joy", "love", "fear"))
PLAIN = build_objective(
    ObjectiveOptions(), np.ones(3, np.int64), np.ones(3, np.int64), torch.device("cpu")
)
TEXTS = [
    "i am happy",
    "love you all",
    "fear and hate",
    "sad day",
    "the year of trust",
    "not angry",
    "believe in love",
    "terrible !",
]


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_step_moves_every_parameter_and_many_overfit_eight_examples(
    tiny_encoder: Path, pooling: str
) -> None:
    network = build_network(tiny_encoder, SPACE, pooling, seed=0)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    tokenizer, _ = load_encoder_tokenizer(tiny_encoder)
    truth = np.random.default_rng(0).integers(0, 2, (8, 3)).astype(np.float32)
    tokens = tokenize(tokenizer, TEXTS, 16)
    batch = make_batch(tokens, np.arange(8), pad_id(network), packed=False, labels=truth)
    before = copied(network)
    losses: list[float] = []
    moved: list[set[str]] = []

    def callbacks(result: loop.StepResult[object]) -> None:
        losses.append(result.loss)
        if result.step.number == 1:
            moved.append({name for name, p in network.named_parameters() if p.grad is not None})
            moved.append(
                {n for n, p in network.named_parameters() if not torch.equal(before[n], p)}
            )

    loop.run(
        network,
        [loop.Step(number, number, True, [batch]) for number in range(1, 241)],
        classification_loss(torch.device("cpu"), PLAIN),
        build_optimizer(network, 2e-3, 0.0),
        learning_rate=lambda step: 2e-3 * linear_schedule(step - 1, 240, 24),
        seed_of=lambda step: step,
        autocast=contextlib.nullcontext,
        max_gradient_norm=1.0,
        explain=lambda batch: "",
        after_step=[callbacks],
    )

    # Mean pooling leaves the encoder's own pooler aside.
    unused = {name for name in before if "pooler" in name} if pooling == "mean" else set()
    assert moved == [before.keys() - unused] * 2
    assert losses[0] == pytest.approx(math.log(2), abs=0.1)
    assert losses[-1] < 0.3
    network.eval()
    with torch.inference_mode():
        logits = network(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask))
    assert np.array_equal(logits.numpy() > 0, truth == 1)


@pytest.mark.parametrize("sizes", [(4, 4, 4), (3, 3, 3, 3), (1, 11), (5, 1, 6)])
def test_micro_batches_change_neither_losses_nor_weights(sizes: tuple[int, ...]) -> None:
    # Unknown cells are mean_and_deviation unevenly, so a mean of means would be wrong.
    rows = [toy_rows(12, unknown=0.5, seed=seed) for seed in range(6)]
    whole, cut = toy_network(), toy_network()

    expected = train_toy(whole, steps_of(*([one] for one in rows)), max_gradient_norm=0.1)
    found = train_toy(cut, steps_of(*(parts(one, *sizes) for one in rows)), max_gradient_norm=0.1)

    assert [r.loss for r in found] == pytest.approx([r.loss for r in expected], abs=1e-6)
    assert [r.gradient_norm for r in found] == pytest.approx(
        [r.gradient_norm for r in expected], abs=1e-6
    )
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(tensor, cut.state_dict()[name], atol=1e-6), name


def test_the_loss_is_the_mean_over_known_cells() -> None:
    inputs, targets = toy_rows(6, unknown=0.4)
    network = toy_network()
    known = ~torch.isnan(targets)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        network(inputs)[known], targets[known]
    )

    (result,) = train_toy(network, steps_of([(inputs, targets)]))

    assert result.loss == pytest.approx(expected.item(), rel=1e-6)


def test_the_gradient_norm_is_that_of_the_mean_loss_before_clipping() -> None:
    inputs, targets = toy_rows()
    network = toy_network()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(network(inputs), targets)
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    expected = torch.cat([g.flatten() for g in gradients]).norm().item()

    (result,) = train_toy(network, steps_of([(inputs, targets)]), max_gradient_norm=0.01)

    assert result.gradient_norm == pytest.approx(expected, rel=1e-5)


def test_gradients_are_clipped_to_the_norm() -> None:
    network = toy_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    before = copied(network)

    train_toy(
        network, steps_of([toy_rows()]), rate=1.0, max_gradient_norm=0.05, optimizer=optimizer
    )

    moved = torch.cat([(before[n] - p).flatten() for n, p in network.named_parameters()])
    assert moved.norm().item() == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("limit", [0.0, 1e6])
def test_a_small_gradient_is_left_alone(limit: float) -> None:
    network = toy_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    before = copied(network)

    (result,) = train_toy(
        network, steps_of([toy_rows()]), rate=1.0, max_gradient_norm=limit, optimizer=optimizer
    )

    moved = torch.cat([(before[n] - p).flatten() for n, p in network.named_parameters()])
    assert moved.norm().item() == pytest.approx(result.gradient_norm, rel=1e-5)


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    good, bad = toy_rows(4), toy_rows(4, seed=1)
    bad[0][2, 0] = torch.nan
    network = toy_network()
    weights: dict[str, torch.Tensor] = {}

    with pytest.raises(NonFiniteError) as caught:
        train_toy(
            network,
            # The good micro-batch has already left its gradient when the bad one comes.
            steps_of([good], [good, bad]),
            explain=lambda batch: f"rows {torch.isnan(batch[0]).any(dim=1).nonzero().tolist()}",
            after_step=[lambda result: weights.update(copied(network))],
        )

    message = str(caught.value)
    assert message.startswith("Stopped at step 2 (epoch 1) before the update: the loss is nan.")
    assert "Rows of the step: rows [[2]]." in message
    assert "a smaller learning_rate or precision=fp32" in message
    assert same(weights, copied(network))


def test_a_gradient_that_is_not_finite_stops_before_the_update() -> None:
    network = toy_network()
    before = copied(network)
    first = network[0]
    first.weight.register_hook(lambda gradient: gradient * torch.inf)

    with pytest.raises(NonFiniteError, match=r"the gradient norm is (inf|nan).*row A; row A"):
        train_toy(network, steps_of([toy_rows(), toy_rows()]), explain=lambda batch: "row A")

    assert same(before, copied(network))


def test_a_step_without_known_cells_changes_no_weight() -> None:
    network = toy_network()
    nothing = toy_rows(4, unknown=1.1)
    optimizer = build_optimizer(network, 0.01, 0.5)
    seen: list[dict[str, torch.Tensor]] = []

    results = train_toy(
        network,
        steps_of([toy_rows()], [nothing, nothing], [toy_rows()]),
        optimizer=optimizer,
        after_step=[lambda result: seen.append(copied(network))],
    )

    assert same(seen[0], seen[1])
    assert not same(seen[1], seen[2])
    assert math.isnan(results[1].loss)
    assert results[1].gradient_norm == 0.0
    counts = {state["step"].item() for state in optimizer.state.values()}
    assert counts == {2.0}


def test_a_step_draws_from_its_own_seed_alone() -> None:
    steps = steps_of(*([toy_rows(seed=seed)] for seed in range(4)))
    whole, resumed = toy_network(dropout=0.5), toy_network(dropout=0.5)
    optimizer = build_optimizer(resumed, 0.01, 0.0)

    expected = train_toy(whole, steps)
    found = train_toy(resumed, steps[:2], optimizer=optimizer)
    torch.rand(7)
    found += train_toy(resumed, steps[2:], optimizer=optimizer)

    assert [r.loss for r in expected] == [r.loss for r in found]
    assert same(copied(whole), copied(resumed))


def test_the_rate_of_each_step_is_the_schedules() -> None:
    network = toy_network()
    optimizer = build_optimizer(network, 99.0, 0.0)
    rates: list[float] = []

    results = train_toy(
        network,
        steps_of([toy_rows()]),
        rate=0.25,
        optimizer=optimizer,
        after_step=[lambda result: rates.extend(g["lr"] for g in optimizer.param_groups)],
    )

    assert rates == [0.25, 0.25]
    assert results[0].learning_rate == 0.25


def test_any_callable_can_end_the_run_and_all_of_them_are_called() -> None:
    called: list[str] = []

    results = train_toy(
        toy_network(),
        steps_of([toy_rows()], epochs=5),
        after_step=[
            lambda result: bool(called.append("first")) or result.step.number == 2,
            lambda result: called.append("second"),
        ],
    )

    assert len(results) == 2
    assert called == ["first", "second"] * 2


def test_the_network_is_in_training_mode_after_an_evaluation() -> None:
    network = toy_network()
    modes: list[bool] = []
    network.register_forward_hook(lambda module, inputs, output: modes.append(module.training))

    train_toy(
        network,
        steps_of([toy_rows()], epochs=2),
        after_step=[lambda result: network.eval() and None],
    )

    assert modes == [True, True]


def test_frozen_parameters_stay_as_they_are() -> None:
    network = toy_network()
    network[0].weight.requires_grad_(False)
    before = copied(network)

    train_toy(network, steps_of([toy_rows()]), max_gradient_norm=1.0)

    moved = {name for name, p in network.named_parameters() if not torch.equal(before[name], p)}
    assert moved == before.keys() - {"0.weight"}
