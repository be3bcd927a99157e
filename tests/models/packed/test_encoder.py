"""A packed batch gives what the padded one gives, in every family that can be packed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.packable import LENGTHS, PACKABLE, SPACE, make_network, make_texts, run
from multihot.models.network import save_network
from multihot.models.packed import encoder as packed
from multihot.models.packed.attention import packed_attention
from multihot.models.packed.encoder import ATTENTION
from multihot.models.packed.layout import Packing, lay_out
from multihot.models.packed.self_test import enable_packed
from multihot.models.stored_network import load_network

FORMS = [(family, pooling) for family in PACKABLE for pooling in ("cls", "mean")]


@pytest.fixture(params=FORMS, ids="-".join)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Every packable family in both forms, ready to run packed."""
    made = make_network(request.param[0], tmp_path, request.param[1])
    assert enable_packed(made) is None
    return made


@pytest.fixture
def bert(tmp_path: Path) -> Any:
    made = make_network("bert", tmp_path, "cls")
    assert enable_packed(made) is None
    return made


def layout(*lengths: int) -> Packing:
    return lay_out(np.cumsum([0, *lengths]), torch.device("cpu"))


def gradients(network: Any, logits: Tensor) -> dict[str, Tensor]:
    weights = torch.linspace(-1, 1, logits.numel()).view_as(logits)
    named = dict(network.named_parameters())
    found = torch.autograd.grad((logits * weights).sum(), [*named.values()], allow_unused=True)
    return {name: g for name, g in zip(named, found, strict=True) if g is not None}


def test_logits_are_those_of_the_padded_batch(network: Any) -> None:
    texts = make_texts(network)
    with torch.inference_mode():
        padded, found = (run(network, texts, packed=form) for form in (False, True))

    assert found.shape == padded.shape == (len(LENGTHS), 3)
    assert (found - padded).abs().max() < 1e-5
    assert padded.std() > 0.01


def test_gradients_are_those_of_the_padded_batch(network: Any) -> None:
    texts = make_texts(network)
    expected = gradients(network, run(network, texts, packed=False))
    found = gradients(network, run(network, texts, packed=True))

    whole = torch.cat([g.flatten() for g in expected.values()]).norm()
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() < 1e-5 * whole, name
        if gradient.norm() > 1e-4 * whole:  # the gradient of a key bias is rounding alone
            cosine = torch.cosine_similarity(found[name].flatten(), gradient.flatten(), dim=0)
            assert cosine > 0.99999, name


def test_a_text_does_not_change_the_logits_of_another(network: Any) -> None:
    texts = make_texts(network)
    other = make_texts(network)
    start, end = texts.offsets[2:4]
    other.ids[start:end] = (other.ids[start:end] + 3) % network.config.vocab_size
    with torch.inference_mode():
        before, after = (run(network, each, packed=True) for each in (texts, other))

    rest = [0, 1, 3, 4, 5]
    assert (before[rest] - after[rest]).abs().max() < 1e-6
    assert (before[2] - after[2]).abs().max() > 1e-3


def test_the_order_of_the_texts_does_not_matter(network: Any) -> None:
    forwards = make_texts(network, [7, 30])
    ids = np.concatenate([forwards.ids[7:], forwards.ids[:7]])
    backwards = type(forwards)(ids, np.array([0, 30, 37]), forwards.truncated)
    with torch.inference_mode():
        found = run(network, backwards, packed=True)
        expected = run(network, forwards, packed=True)

    assert torch.allclose(found.flip(0), expected, atol=1e-6)


@pytest.mark.parametrize("lengths", [[1], [33], [1, 1, 1], [4, 4, 4]])
def test_small_and_even_batches_run(network: Any, lengths: list[int]) -> None:
    texts = make_texts(network, lengths)
    with torch.inference_mode():
        padded, found = (run(network, texts, packed=form) for form in (False, True))

    assert (found - padded).abs().max() < 1e-5


def test_half_precision_runs_forwards_and_backwards(network: Any) -> None:
    texts = make_texts(network)
    expected = run(network, texts, packed=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(network, texts, packed=True)
    found_gradients = gradients(network, found.float())

    assert (found.float() - expected).abs().max() < 0.1 * expected.abs().max()
    assert all(torch.isfinite(gradient).all() for gradient in found_gradients.values())


def test_padded_batches_still_run(network: Any, tmp_path: Path) -> None:
    save_network(network, tmp_path / "saved")
    untouched = load_network(tmp_path / "saved", network.form, SPACE).eval()
    texts = make_texts(network)

    assert untouched.transformer.config._attn_implementation != ATTENTION  # type: ignore[union-attr]
    assert network.state_dict().keys() == untouched.state_dict().keys()
    assert "packed" not in "".join(
        path.read_text("utf-8") for path in (tmp_path / "saved").rglob("config.json")
    )
    with torch.inference_mode():
        expected = run(untouched, texts, packed=False)
        assert torch.allclose(run(network, texts, packed=False), expected, atol=1e-6)


def test_dropout_is_drawn_from_the_seed(network: Any) -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            return run(network, texts, packed=True)

    texts = make_texts(network)
    network.train()
    if network.config.model_type == "modernbert":  # whose own dropout is 0
        for module in network.modules():
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.1

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_threads_do_not_disturb_each_other(bert: Any) -> None:
    batches = [make_texts(bert, [3 + n, 40 - n, 9], seed=n) for n in range(4)]
    with torch.inference_mode():
        expected = [run(bert, texts, packed=True) for texts in batches]
    equal: list[bool] = []

    def work(number: int) -> None:
        with torch.inference_mode():
            for turn in range(20):
                form = (turn + number) % 3 > 0
                found = run(bert, batches[number], packed=form)
                equal.append(torch.allclose(found, expected[number], atol=1e-5))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert equal == [True] * 80


def test_a_text_that_is_not_finite_spoils_only_itself(bert: Any) -> None:
    texts = make_texts(bert, [5, 9, 2])
    texts.ids[:] = 7
    texts.ids[6] = 8
    with torch.inference_mode():
        bert.transformer.embeddings.word_embeddings.weight[8] = torch.nan
        found = run(bert, texts, packed=True)

    assert torch.isfinite(found).all(dim=1).tolist() == [True, False, True]


def test_a_network_that_was_not_enabled_refuses_packed_batches(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")

    with pytest.raises(RuntimeError, match="runs 'sdpa', not 'multihot_packed'"):
        run(network, make_texts(network), packed=True)


def test_a_family_head_that_averages_is_packed_too(tmp_path: Path) -> None:
    network = make_network("modernbert", tmp_path, "cls", classifier_pooling="mean")
    texts = make_texts(network)

    assert enable_packed(network) is None
    assert (run(network, texts, packed=True) - run(network, texts, packed=False)).abs().max() < 1e-5


def test_full_attention_in_place_of_a_window_gives_other_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("modernbert", tmp_path, "cls")
    assert enable_packed(network) is None
    texts = make_texts(network, [60, 8])
    windows: list[int | None] = []

    def without_window(*args: Any, window: int | None, **kwargs: Any) -> Tensor:
        windows.append(window)
        return packed_attention(*args, **kwargs)

    with torch.inference_mode():
        expected = run(network, texts, packed=False)
        assert torch.allclose(run(network, texts, packed=True), expected, atol=1e-5)
        monkeypatch.setattr(packed, "packed_attention", without_window)
        found = run(network, texts, packed=True)

    assert set(windows) == {None, 8}  # local_attention=16 is 8 tokens to either side
    assert (found[0] - expected[0]).abs().max() > 1e-3
    assert torch.allclose(found[1], expected[1], atol=1e-5)  # shorter than the window


@pytest.mark.slow
def test_dropout_keeps_the_mean_of_the_padded_batch(bert: Any) -> None:
    texts = make_texts(bert, [5, 9, 12])
    bert.train()
    draws = [
        torch.stack([run(bert, texts, packed=form).detach() for _ in range(400)])
        for form in (False, True)
    ]

    padded, found = draws
    error = ((padded.var(dim=0) + found.var(dim=0)) / 400).sqrt()
    assert ((padded.mean(dim=0) - found.mean(dim=0)) / error).abs().max() < 5
    assert (padded.std(dim=0) / found.std(dim=0) - 1).abs().max() < 0.25


def test_texts_are_padded_with_their_likes() -> None:
    lengths = [30, 5, 31, 60, 6, 1, 58]

    packing = layout(*lengths)

    assert packing.num_filler == 1  # 191 tokens, 192 with the filler
    assert [(g.num_texts, g.longest) for g in packing.groups] == [(2, 60), (2, 31), (4, 6)]
    assert len(packing.tokens) == 2 * 60 + 2 * 31 + 4 * 6
    assert packing.longest == 60
    assert torch.equal(packing.tokens[packing.slots], torch.arange(192))
    assert packing.attention_ends.tolist() == [0, *np.cumsum(lengths).tolist(), 192]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_rows_are_filled_up_to_one_of_few_lengths(lengths: list[int]) -> None:
    packing, num_tokens = layout(*lengths), sum(lengths)
    row = num_tokens + packing.num_filler

    assert row <= num_tokens * (1 + 1 / 16)
    assert len(packing.slots) == len(packing.fill_up(torch.arange(num_tokens))) == row
    assert len(packing.rows) == len(packing.positions) == num_tokens
    assert len(packing.firsts) == len(packing.cu_seq_lens) - 1 == len(lengths)
    # From one power of two to the next there are 32 lengths of a row at most.
    assert row % max(1, 2 ** ((num_tokens // 16).bit_length() - 1)) == 0


def test_gathering_has_the_gradient_of_a_gather() -> None:
    packing = layout(3, 1, 5)
    rows = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    assert packing.num_filler == 0

    def there_and_back(values: Tensor) -> Tensor:
        return packing.unpad([piece**2 for piece in packing.pad(values)])

    assert torch.autograd.gradcheck(there_and_back, rows)


def test_empty_batches_and_empty_texts_have_no_layout() -> None:
    for lengths in ([], [3, 0, 2]):
        with pytest.raises(ValueError, match="at least one token each"):
            layout(*lengths)


def test_registering_twice_changes_nothing(bert: Any) -> None:
    texts = make_texts(bert)
    before = run(bert, texts, packed=True)
    packed.register()
    again: Callable[..., Any] = enable_packed

    assert again(bert) is None
    assert torch.equal(run(bert, texts, packed=True), before)


def test_the_stored_configuration_does_not_name_the_attention(bert: Any, tmp_path: Path) -> None:
    save_network(bert, tmp_path / "saved")

    stored = json.loads((tmp_path / "saved" / "config.json").read_text("utf-8"))
    assert [key for key in stored if "attn" in key] == []
