"""How fast: pretraining here against the `transformers` way, in turn, on the same model and text.

    python benchmarks/pretrain.py CORPUS... --tokenizer DIR --way padded
    python benchmarks/pretrain.py CORPUS... --tokenizer DIR --way blocks --size mini --threads 2

`padded`: sentence pairs, padded to `--max-length` as its examples do with `--pad_to_max_length`,
through `BertForPreTraining`. `blocks`: all text in one row, cut into blocks of `--max-length` as
its `run_mlm` does by default, through `BertForMaskedLM` and its own collator; no next sentences.
Both compute the vocabulary on every token and take the steps of `Trainer`: fused AdamW, gradient
norm 1, the loss of the model itself; once in float32, its default, and once in bf16 where this
machine computes that natively. Ours learns the same tasks from the same text.

All models start with the same weights and have the same learning rates and batches of as many
examples. They work in turn, slice by slice; ratios are taken within a round, so what slows the
machine for a while cancels out. Tokens are counted without padding. After every slice the held-out
loss is taken, outside the clock, so that rates can be compared at equal loss.

One row per contender goes into `results/`.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multihot.data.array_store import cache_folder
from multihot.data.corpus.documents import read_corpus
from multihot.data.corpus.masking import mask_vocabulary
from multihot.data.corpus.tokenize import CorpusTokens, tokenize_corpus
from multihot.models.cpu.dropout import set_dropout
from multihot.models.devices import Precision, choose_device, choose_precision
from multihot.models.encoder import load_encoder_tokenizer
from multihot.models.optimize import optimize_for_training
from multihot.models.pretraining.checkpoint import new_pretraining_model
from multihot.models.pretraining.network import PretrainingNetwork, enable_packed_pretraining
from multihot.training import loop
from multihot.training.compute import Hardware
from multihot.training.optimizer import build_optimizer, linear_schedule
from multihot.training.pretraining.batches import ExampleSource, MlmNspLoss
from multihot.training.pretraining.evaluation import HoldoutEvaluator, draw_holdout
from provenance import append_row, provenance
from ratios import Spread, mean_and_deviation, ratio


@dataclass
class Contender:
    """A way to pretrain, and what it did so far."""

    name: str
    network: PretrainingNetwork
    take: Callable[[int], int]
    """Take so many steps; return their tokens without padding."""
    rates: list[float] = field(default_factory=list)
    """Tokens per second of each slice."""
    tokens: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """Tokens, seconds and held-out MLM loss after each slice."""


def main() -> None:
    """Run the benchmark."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    device = choose_device(given.device)
    tokenizer, _ = load_encoder_tokenizer(Path(given.tokenizer))
    folder = cache_folder() or Path(tempfile.mkdtemp())
    corpus = read_corpus(given.corpus)
    training, held_out = (
        tokenize_corpus(corpus, tokenizer, folder, held_out=part) for part in (False, True)
    )
    source = ExampleSource(
        training,
        mask_vocabulary(tokenizer),
        max_length=given.max_length,
        short_fraction=0.1 if given.way == "padded" else 0.0,
        next_sentence=given.way == "padded",
        masking_rate=0.15,
        whole_word_masking=False,
        batch_size=given.batch_size,
        batch_tokens=None,
        accumulation_steps=1,
        seed=given.seed,
    )
    examples = draw_holdout(replace(source, corpus=held_out), given.held_out_rows)
    evaluator = HoldoutEvaluator(
        examples,
        Hardware(device, Precision("fp32", "for comparison")),
        packed=False,
        pad_id=0,
        seed=given.seed,
    )
    contenders = _contenders(given, source, device)
    for contender in contenders:
        _measure(contender, evaluator, contender.take(2), device)  # warm-up: its tokens count, too
    for turn in range(given.rounds):
        for contender in contenders:
            _slice(contender, given.slice, device)
            _measure(contender, evaluator, 0, device)
        shown = ", ".join(f"{one.name} {one.rates[-1]:,.0f}" for one in contenders)
        print(f"round {turn + 1} of {given.rounds}: {shown} tokens/s", flush=True)
    _report(given, contenders, source)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--way", choices=("padded", "blocks"), default="padded")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--dropout", type=float, default=0.1, help="of all contenders")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--slice", type=int, default=20, help="steps of a round")
    parser.add_argument("--held-out-rows", type=int, default=512)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default="pretrain_202611.csv")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def _contenders(
    given: argparse.Namespace, source: ExampleSource, device: torch.device
) -> list[Contender]:
    model = new_pretraining_model(
        given.size,
        source.vocabulary.vocab_size,
        seed=given.seed,
        next_sentence=source.next_sentence,
        dropout=given.dropout,
    ).to(device)
    best = choose_precision("auto", device)
    plain = choose_precision("fp32", device)
    theirs = _padded if given.way == "padded" else _blocks
    found = [_ours(given, source, copy.deepcopy(model), device, best)]
    for precision in [plain] if best.name == "fp32" else [plain, best]:
        batches = theirs(given, source)
        found.append(_transformers(given, batches, copy.deepcopy(model), device, precision))
    return found


def _rate(given: argparse.Namespace) -> Callable[[int], float]:
    total = given.rounds * given.slice + 2
    peak = given.learning_rate
    return lambda step: peak * linear_schedule(step - 1, total, round(0.06 * total))


def _ours(
    given: argparse.Namespace,
    source: ExampleSource,
    model: Any,
    device: torch.device,
    precision: Precision,
) -> Contender:
    network = PretrainingNetwork(model)
    set_dropout(network, given.dropout)
    optimize_for_training(network, device)
    reason = enable_packed_pretraining(network)
    if reason is not None:
        raise SystemExit(f"Packed execution is refused: {reason}")
    optimizer = build_optimizer(network, given.learning_rate, 0.01, (0.9, 0.98))
    loss = MlmNspLoss(device, packed=True, pad_id=0)
    steps = source.steps_after(0)

    def take(number: int) -> int:
        counts: list[int] = []
        loop.run(
            network,
            itertools.islice(steps, number),
            loss,
            optimizer,
            learning_rate=_rate(given),
            seed_of=lambda step: step,
            autocast=lambda: precision.autocast(device),
            max_gradient_norm=1.0,
            explain=lambda batch: "of the benchmark",
            after_step=[lambda done: counts.append(done.step.micro_batches[0].num_tokens)],
        )
        return sum(counts)

    return Contender(f"multihot {precision.name}", network, take)


def _transformers(
    given: argparse.Namespace,
    batches: Iterator[tuple[dict[str, torch.Tensor], int]],
    model: Any,
    device: torch.device,
    precision: Precision,
) -> Contender:
    parameters = list(model.parameters())
    optimizer = build_optimizer(model, given.learning_rate, 0.01, (0.9, 0.98))
    rate, done = _rate(given), itertools.count(1)

    def take(number: int) -> int:
        model.train()
        num_tokens = 0
        for batch, tokens in itertools.islice(batches, number):
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            with precision.autocast(device):
                loss = model(**inputs).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            learning_rate = rate(next(done))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            num_tokens += tokens
        return num_tokens

    return Contender(f"transformers {precision.name}", PretrainingNetwork(model), take)


def _padded(
    given: argparse.Namespace, source: ExampleSource
) -> Iterator[tuple[dict[str, torch.Tensor], int]]:
    """Yield our own masked examples as its models want them: padded to the greatest length."""
    for step in source.steps_after(0):
        masked = step.micro_batches[0].masked
        lengths = np.diff(masked.cu_seq_lens)
        is_token = np.arange(given.max_length) < lengths[:, None]
        arrays = {
            "input_ids": (0, masked.input_ids),
            "attention_mask": (0, np.ones_like(masked.input_ids)),
            "token_type_ids": (0, masked.token_type_ids),
            "labels": (-100, np.full_like(masked.input_ids, -100)),
        }
        arrays["labels"][1][masked.masked_positions] = masked.masked_labels
        batch = {}
        for name, (filling, flat) in arrays.items():
            padded = np.full(is_token.shape, filling, dtype=np.int64)
            padded[is_token] = flat
            batch[name] = torch.from_numpy(padded)
        batch["next_sentence_label"] = torch.from_numpy(masked.is_random)
        yield batch, int(lengths.sum())


def _blocks(
    given: argparse.Namespace, source: ExampleSource
) -> Iterator[tuple[dict[str, torch.Tensor], int]]:
    """Yield blocks of all text in one row, each document with its special tokens, masked by its collator."""
    from transformers import AutoTokenizer, DataCollatorForLanguageModeling

    tokenizer = AutoTokenizer.from_pretrained(given.tokenizer)
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    num_tokens = given.batch_size * given.max_length
    row: list[int] = []
    for ids in itertools.cycle(_documents(source.corpus, source.vocabulary)):
        row += ids
        while len(row) >= num_tokens:
            taken, row = row[:num_tokens], row[num_tokens:]
            cut = range(0, num_tokens, given.max_length)
            examples = [{"input_ids": taken[start : start + given.max_length]} for start in cut]
            yield dict(collate(examples)), num_tokens


def _documents(corpus: CorpusTokens, vocabulary: Any) -> Iterator[list[int]]:
    order = np.random.default_rng(0).permutation(len(corpus.sources))
    for document in order:
        first, last = corpus.document_offsets[document : document + 2]
        begin, end = corpus.sentence_offsets[first], corpus.sentence_offsets[last]
        ids = corpus.ids[begin:end].astype(np.int64).tolist()
        yield [vocabulary.cls_id, *ids, vocabulary.sep_id]


def _slice(contender: Contender, steps: int, device: torch.device) -> None:
    began = time.perf_counter()
    tokens = contender.take(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    contender.rates.append(tokens / seconds)
    contender.tokens += tokens
    contender.seconds += seconds


def _measure(
    contender: Contender, evaluator: HoldoutEvaluator, more_tokens: int, device: torch.device
) -> None:
    contender.tokens += more_tokens
    loss = evaluator(contender.network)["mlm_loss"].value
    contender.curve.append((contender.tokens, contender.seconds, loss or float("nan")))


def _report(given: argparse.Namespace, contenders: list[Contender], source: ExampleSource) -> None:
    ours, *others = contenders
    born = provenance()
    for one in contenders:
        times = ratio(ours.rates, one.rates)
        print(f"\n{one.name}: {mean_and_deviation(one.rates).median:,.0f} tokens/s", end="")
        print(f"; ours is {times} times as fast" if one is not ours else "")
        for tokens, seconds, loss in one.curve:
            print(f"  {tokens / 1e6:8.3f} M tokens {seconds:8.1f} s  held-out MLM loss {loss:.4f}")
        row = _row(given, ours, one, times, source)
        if not given.no_row:
            print(f"added a row to {append_row(given.results, {**row, **born})}")
    for one in others:
        loss, at_equal = _equal_loss(ours, one)
        print(f"to loss {loss:.3f}: {one.name} takes {at_equal:.2f} times as long as ours")


def _row(
    given: argparse.Namespace,
    ours: Contender,
    one: Contender,
    times: Spread,
    source: ExampleSource,
) -> dict[str, object]:
    lengths = source.pairs(1).lengths
    row: dict[str, object] = {
        "way": given.way,
        "contender": one.name,
        "size": given.size,
        "vocabulary": source.vocabulary.vocab_size,
        "max_length": given.max_length,
        "mean_length": f"{lengths.mean():.1f}",
        "batch_size": given.batch_size,
        "dropout": given.dropout,
        "threads": given.threads,
        "rounds": given.rounds,
        "steps_of_a_round": given.slice,
        "tokens_per_second": f"{mean_and_deviation(one.rates).median:.0f}",
        "tokens": one.tokens,
        "held_out_mlm_loss": f"{one.curve[-1][2]:.4f}",
    }
    if one is not ours:
        loss, at_equal = _equal_loss(ours, one)
        row |= {
            "times_as_fast": f"{times.median:.3g}",
            "times_least": f"{times.least:.3g}",
            "times_quartiles": f"{times.lower_quartile:.3g} to {times.upper_quartile:.3g}",
            "equal_loss": f"{loss:.3f}",
            "times_as_fast_to_equal_loss": f"{at_equal:.3g}",
        }
    return row


def _equal_loss(ours: Contender, other: Contender) -> tuple[float, float]:
    """Return the lowest loss that both reached, and how much longer the other took to it."""
    loss = max(min(point[2] for point in one.curve) for one in (ours, other))
    return loss, _seconds_to(other, loss) / _seconds_to(ours, loss)


def _seconds_to(contender: Contender, loss: float) -> float:
    """Return the seconds to a loss, between the points of the curve in proportion."""
    for (_, before, high), (_, after, low) in itertools.pairwise(contender.curve):
        if low <= loss:
            share = 1.0 if high <= low else min(1.0, max(0.0, (high - loss) / (high - low)))
            return before + share * (after - before)
    return contender.seconds


if __name__ == "__main__":
    main()
