"""The torch backend: runs a network over tokenised texts.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from multihot.core.files import storage_errors
from multihot.core.labels import LabelSpace
from multihot.core.processors import usable_processors
from multihot.data.batches import length_sorted_batches, make_batch
from multihot.data.tokens import TokenizedTexts
from multihot.errors import OptionError
from multihot.inference.combining import CombinedCalls
from multihot.inference.window_logits import pooled_logits
from multihot.models.attribution import IntegratedGradients
from multihot.models.devices import Precision, choose_precision
from multihot.models.encoder import pad_id
from multihot.models.network import batch_tensors, save_network
from multihot.models.optimize import optimize_for_inference
from multihot.models.packed.self_test import enable_packed
from multihot.models.stored_network import load_network

__all__ = ["TorchBackend", "saved_backend"]

FloatArray = npt.NDArray[np.float32]
T = TypeVar("T")

# Tokens in one forward pass. A CPU is fastest while the activations fit its caches, a GPU while it
# is full.
_CPU_TOKEN_BUDGET = 2048
_TOKEN_BUDGET = 32_768
_WORTH_PREPARING = 64  # texts in one call; fewer take less time than what makes more of them fast
_LOOK_SECONDS = 0.001
_FORKED_ON_GPU = (
    "This process was forked from one that uses a GPU, and CUDA cannot go on there. Load the model in "
    "this process, or start it with multiprocessing's 'spawn' or 'forkserver'."
)


class _Turns:
    """Lets any number of threads compute, or one of them change the network while none computes.

    Who waits looks again and again: a change happens once, and a thread that is interrupted, such as by
    Ctrl-C, owes nobody a call.
    """

    def __init__(self) -> None:
        self._change = threading.Lock()
        self._computing: set[object] = set()
        self._changing: set[object] = set()

    def compute(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, once nobody changes the network; hold changes back meanwhile."""
        own = object()
        try:
            self._computing.add(own)
            while self._changing:
                self._computing.discard(own)
                time.sleep(_LOOK_SECONDS)
                self._computing.add(own)
            return work()
        finally:
            self._computing.discard(own)

    def change(self, work: Callable[[], None]) -> None:
        """Do `work` once nobody computes, and hold everyone back meanwhile."""
        own = object()
        with self._change:
            try:
                self._changing.add(own)
                while self._computing:
                    time.sleep(_LOOK_SECONDS)
                work()
            finally:
                self._changing.discard(own)


class TorchBackend:
    """Token ids in, logits out, on one device.

    On a CPU it is made faster by `multihot.models.optimize.optimize_for_inference`.

    With final weights (`frozen`) the network is set to evaluation once, and any number of threads may
    ask for logits at the same time; small calls that come together are computed together. A network
    in training belongs to one thread.

    A forked process may go on with a frozen network on a CPU. It computes with one thread, because
    the threads of OpenMP do not survive a fork.

    Weights that view a file have a `require_unchanged`, which raises when that was written to. It is
    called before and after each computation, elsewhere than on a CPU once the weights are there.
    """

    def __init__(
        self,
        network: nn.Module,
        num_labels: int,
        device: torch.device,
        precision: Precision,
        *,
        packed: bool | None = None,
        frozen: bool = False,
        require_unchanged: Callable[[], None] = lambda: None,
    ) -> None:
        self.network = network.to(device)
        self.num_labels = num_labels
        self.device = device
        self.precision = precision
        self.packed = packed
        """Whether batches are packed; `None` until a call is large enough to check that they can."""
        self.frozen = frozen
        """Whether the weights never change again, so that they may be laid out for prediction."""
        self.notes: tuple[str, ...] = ()
        """Which fast kernels failed their self-test, and why."""
        self._require_unchanged = require_unchanged
        if device.type != "cpu":
            require_unchanged()
            self._require_unchanged = lambda: None
        self._is_prepared = False
        self._is_forked = False
        self._start_alone()
        self._optimize(final_weights=False)
        if frozen:
            self.network.eval()
            _backends.add(self)

    def _start_alone(self) -> None:
        """Forget other threads: there are none yet, or a fork left them behind."""
        compute = weakref.WeakMethod(self._compute_together)

        def compute_together(calls: Sequence[TokenizedTexts]) -> Sequence[FloatArray]:
            """Call the backend without owning it, so that a network ends with its last user."""
            bound = compute()
            assert bound is not None  # who calls holds the backend
            return bound(calls)

        self._turns = _Turns()
        self._calls = CombinedCalls(
            compute_together, max_size=_CPU_TOKEN_BUDGET, num_passes=_num_passes
        )

    def _after_fork(self) -> None:
        self._is_forked = True
        self._start_alone()

    def logits(
        self, tokenized: TokenizedTexts, indices: npt.NDArray[np.int64] | None = None
    ) -> FloatArray:
        """Return the logits of the given N texts (default: all), in their order. *Shape:* (N, L)."""
        if indices is None:
            indices = np.arange(len(tokenized))
        if tokenized.windows is not None:
            return self._pooled(self.logits, tokenized, indices)
        if self._is_forked:
            self._adapt_to_fork()
        self._require_unchanged()
        try:
            return self._logits(tokenized, indices)
        finally:
            self._require_unchanged()

    def shared_logits(
        self,
        tokenized: TokenizedTexts,
        indices: npt.NDArray[np.int64],
        *,
        rank: int,
        count: int,
        summed: Callable[[FloatArray], FloatArray],
    ) -> FloatArray:
        """Return what `logits` does, bit for bit, together with `count - 1` other processes.

        Each computes every `count`-th batch; `summed` adds up the arrays of all. *Shape:* (N, L).
        """
        if tokenized.windows is not None:

            def compute(texts: TokenizedTexts, places: npt.NDArray[np.int64]) -> FloatArray:
                return self.shared_logits(texts, places, rank=rank, count=count, summed=summed)

            return self._pooled(compute, tokenized, indices)
        self._require_unchanged()
        if len(indices) >= _WORTH_PREPARING:
            self._prepare()
        with self._evaluating():
            found = self._turns.compute(
                lambda: self._compute(tokenized, indices, slice(rank, None, count))
            )
        self._require_unchanged()
        return summed(found)

    def _pooled(
        self,
        compute: Callable[[TokenizedTexts, npt.NDArray[np.int64]], FloatArray],
        tokenized: TokenizedTexts,
        indices: npt.NDArray[np.int64],
    ) -> FloatArray:
        pooling: Any = self.network.window_pooling
        return pooled_logits(compute, tokenized, indices, pooling.settings(), pooling.space.names)

    def integrated_gradients(self) -> IntegratedGradients:
        """Return what weighs the tokens of texts, with a copy of the network as it is now."""
        self._require_unchanged()
        copied = self._turns.compute(lambda: IntegratedGradients(self.network, self.device))
        self._require_unchanged()
        return copied

    def text_vectors(self, tokenized: TokenizedTexts) -> FloatArray:
        """Return one vector of each text from the last layer of the encoder. *Shape:* (N, D).

        That of a text in several windows is their mean.
        """
        if tokenized.windows is not None:
            starts, counts = tokenized.windows.first[:-1], tokenized.windows.counts
            if not len(starts):
                return np.zeros((0, 0), dtype=np.float32)
            sums = np.add.reduceat(self.text_vectors(tokenized.by_window()), starts, axis=0)
            means: FloatArray = (sums / counts[:, None]).astype(np.float32)
            return means
        self._require_unchanged()
        vectors = self._turns.compute(lambda: self._text_vectors(tokenized))
        self._require_unchanged()
        return vectors

    def _text_vectors(self, tokenized: TokenizedTexts) -> FloatArray:
        network: Any = self.network
        found: FloatArray | None = None
        budget = _CPU_TOKEN_BUDGET if self.device.type == "cpu" else _TOKEN_BUDGET
        with torch.inference_mode(), self.precision.autocast(self.device):
            for rows in length_sorted_batches(tokenized.lengths, budget):
                batch = make_batch(tokenized, rows, pad_id(network), packed=False)
                ids, mask, _ = batch_tensors(batch, self.device)
                vectors = network.text_vectors(ids, mask).float().cpu().numpy()
                if found is None:
                    found = np.zeros((len(tokenized), vectors.shape[1]), dtype=np.float32)
                found[rows] = vectors
        return np.zeros((0, 0), dtype=np.float32) if found is None else found

    def _logits(self, tokenized: TokenizedTexts, indices: npt.NDArray[np.int64]) -> FloatArray:
        if len(indices) >= _WORTH_PREPARING:
            self._prepare()
        if self.frozen:
            num_tokens = int(tokenized.spans(indices)[1].sum())
            if 0 < num_tokens <= _CPU_TOKEN_BUDGET // 2:
                return self._calls(tokenized.selected(indices), num_tokens)
            return self._turns.compute(lambda: self._compute(tokenized, indices))
        with self._evaluating():
            return self._compute(tokenized, indices)

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        was_training = self.network.training
        if was_training or not self.frozen:
            self.network.eval()
        try:
            yield
        finally:
            if was_training or not self.frozen:
                self.network.train(was_training)

    def _compute_together(self, calls: Sequence[TokenizedTexts]) -> Sequence[FloatArray]:
        texts = calls[0] if len(calls) == 1 else TokenizedTexts.joined(calls)
        logits = self._turns.compute(lambda: self._compute(texts, np.arange(len(texts))))
        return np.split(logits, np.cumsum([len(each) for each in calls])[:-1])

    def _adapt_to_fork(self) -> None:
        if self.device.type == "cuda":
            raise OptionError(_FORKED_ON_GPU)
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)

    def _compute(
        self,
        tokenized: TokenizedTexts,
        indices: npt.NDArray[np.int64],
        batches: slice = slice(None),
    ) -> FloatArray:
        result = np.zeros((len(indices), self.num_labels), dtype=np.float32)
        budget = _CPU_TOKEN_BUDGET if self.device.type == "cpu" else _TOKEN_BUDGET
        with torch.inference_mode(), self.precision.autocast(self.device):
            for positions in length_sorted_batches(tokenized.spans(indices)[1], budget)[batches]:
                batch = make_batch(
                    tokenized,
                    indices[positions],
                    pad_id(self.network),
                    packed=bool(self.packed),
                )
                output = self.network(*batch_tensors(batch, self.device))
                result[positions] = output.float().cpu().numpy()
        return result

    def _prepare(self) -> None:
        """Make large calls fast, once: lay out final weights, see whether texts can be packed."""
        if not self._is_prepared:
            self._turns.change(self._prepare_alone)

    def _prepare_alone(self) -> None:
        if self._is_prepared:  # by another thread, meanwhile
            return
        self._optimize(final_weights=self.frozen)
        if self.packed is None:
            self.packed = self._can_pack()
        self._is_prepared = self.frozen

    def _optimize(self, *, final_weights: bool) -> None:
        dtype = torch.float32 if self.precision.name == "fp32" else torch.bfloat16
        self.notes = optimize_for_inference(
            self.network, dtype, self.device, final_weights=final_weights
        )

    def _can_pack(self) -> bool:
        def autocast() -> contextlib.AbstractContextManager[object]:
            return self.precision.autocast(self.device)

        half = self.precision.name != "fp32" and self.device.type == "cuda"
        reason = enable_packed(self.network, gradients=False, autocast=autocast if half else None)
        return reason is None


_backends: weakref.WeakSet[TorchBackend] = weakref.WeakSet()


def _after_fork() -> None:
    for backend in _backends:
        backend._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _num_passes() -> int:
    """Return how many passes keep all processors busy, of what this process may use."""
    return max(1, usable_processors() // torch.get_num_threads())


@contextlib.contextmanager
def saved_backend(
    network: nn.Module,
    space: LabelSpace,
    scratch: Path,
    device: torch.device,
    *,
    writes: bool = True,
    wait: Callable[[], None] = lambda: None,
) -> Iterator[TorchBackend]:
    """Yield the backend that a model saved from `network` has, in full precision.

    The weights are written to the folder `scratch` and loaded from it, which is deleted afterwards. Of
    several processes one writes, and all `wait` until it has.
    """
    if writes:
        shutil.rmtree(scratch, ignore_errors=True)
    try:
        if writes:
            with storage_errors(scratch):
                scratch.mkdir(parents=True)
                save_network(network, scratch)
        wait()
        loaded: Any = load_network(scratch, str(network.form), space)
        loaded.window_pooling = network.window_pooling
        full_precision = choose_precision("fp32", device)
        yield TorchBackend(loaded, len(space), device, full_precision, frozen=True)
    finally:
        if writes:
            shutil.rmtree(scratch, ignore_errors=True)
