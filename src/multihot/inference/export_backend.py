"""What the backends of exports share: small calls computed together, batches, and what must fit what.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.processors import computing_threads, usable_processors
from multihot.core.text_tables import cut
from multihot.core.windows import WindowSettings
from multihot.data.batches import length_sorted_batches, make_batch
from multihot.data.tokenizer_fit import check_vocabulary, require_room
from multihot.data.tokens import StoredTokenizer, TokenizedTexts
from multihot.errors import ArtifactError
from multihot.gate.folder_files import shown_file
from multihot.gate.json_documents import parse_json_object
from multihot.inference.artifact import Artifact
from multihot.inference.combining import CombinedCalls
from multihot.inference.onnx_file import file_metadata
from multihot.inference.window_logits import pooled_logits

__all__ = [
    "ExportBackend",
    "RunNetwork",
    "first_line",
    "require_export_fits",
    "require_same_metadata",
]

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]
RunNetwork = Callable[[IndexArray, IndexArray], FloatArray]
"""Token ids and mask, (N, S), to logits, (N, L); any number of threads may call it."""

_TOKEN_BUDGET = 512  # padded tokens in one pass, while its activations fit the processor's caches

_MANY_TOKENS = 4096


class ExportBackend:
    """Token ids in, logits out, on the processor and without torch.

    Any number of threads may ask at the same time; small calls that come together are computed
    together. A forked process starts anew, with one thread.

    Parameters
    ----------
    start
        Loads the network for so many threads.
    require_unchanged
        Called before and after each computation; raises when the weights were changed.
    file
        Where the network is, for messages.
    names, pad_token_id
        Labels and padding of the network.
    windows
        How the logits of windows are pooled, where longer texts are read in several.
    """

    def __init__(
        self,
        start: Callable[[int], RunNetwork],
        require_unchanged: Callable[[], None],
        *,
        file: Path,
        names: Sequence[str],
        pad_token_id: int,
        windows: WindowSettings | None = None,
    ) -> None:
        self.num_labels = len(names)
        self.notes: tuple[str, ...] = ()
        self._load = start
        self._require_unchanged = require_unchanged
        self._file, self._names, self._windows = file, names, windows
        self._pad_token_id = pad_token_id
        self._is_forked = False
        self._start(computing_threads())
        _backends.add(self)

    def _start(self, num_threads: int) -> None:
        self._starting = threading.Lock()
        self._run = self._load(num_threads)
        self._calls = CombinedCalls(
            self._compute_together,
            max_size=_TOKEN_BUDGET,
            num_passes=lambda: max(1, usable_processors() // num_threads),
        )

    def _after_fork(self) -> None:
        """Forget the threads of the library and who held a lock: a fork left them behind."""
        self._is_forked = True
        self._starting = threading.Lock()

    def _adapt_to_fork(self) -> None:
        with self._starting:
            if self._is_forked:
                # What the parent loaded waits for its threads when it is destroyed, and they are not here.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._run))
                self._start(1)
                self._is_forked = False

    def logits(self, tokenized: TokenizedTexts, indices: IndexArray | None = None) -> FloatArray:
        """Return the logits of the given N texts (default: all), in their order. *Shape:* (N, L)."""
        if tokenized.windows is not None:
            which = np.arange(len(tokenized)) if indices is None else indices
            return pooled_logits(self.logits, tokenized, which, self._windows, self._names)
        if self._is_forked:
            self._adapt_to_fork()
        self._require_unchanged()
        texts = tokenized if indices is None else tokenized.selected(indices)
        num_tokens = len(texts.ids)
        if 0 < num_tokens <= _TOKEN_BUDGET // 2:
            result = self._calls(texts, num_tokens)
        else:
            result = self._compute(texts)
        self._require_unchanged()
        return result

    def _compute_together(self, calls: Sequence[TokenizedTexts]) -> Sequence[FloatArray]:
        texts = calls[0] if len(calls) == 1 else TokenizedTexts.joined(calls)
        return np.split(self._compute(texts), np.cumsum([len(each) for each in calls])[:-1])

    def _compute(self, texts: TokenizedTexts) -> FloatArray:
        result = np.zeros((len(texts), self.num_labels), dtype=np.float32)
        # Few texts differ more in length from their neighbours: smaller batches pad less.
        budget = _TOKEN_BUDGET if len(texts.ids) > _MANY_TOKENS else _TOKEN_BUDGET // 2
        for rows in length_sorted_batches(texts.lengths, budget):
            batch = make_batch(texts, rows, self._pad_token_id, packed=False)
            assert batch.attention_mask is not None
            try:
                logits = self._run(batch.input_ids, batch.attention_mask)
            except Exception as reason:  # noqa: BLE001 - the library raises its own
                self._require_unchanged()
                shape = batch.input_ids.shape
                raise ArtifactError(
                    f"{shown_file(self._file)}: the network fails on {shape[0]} texts of {shape[1]} "
                    f"tokens: {first_line(reason)}"
                ) from None
            if logits.shape != (len(rows), self.num_labels):
                raise ArtifactError(
                    f"{shown_file(self._file)}: the network returned logits of the shape "
                    f"{logits.shape}; it does not belong to these {self.num_labels} labels. Export the "
                    "model again."
                )
            result[rows] = logits
        return result


_backends: weakref.WeakSet[ExportBackend] = weakref.WeakSet()


def _after_fork() -> None:
    for backend in _backends:
        backend._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def first_line(reason: Exception) -> str:
    """Return the first line of what a library says, cut."""
    return cut(next(iter(str(reason).splitlines()), type(reason).__name__))


def require_export_fits(
    artifact: Artifact, stored: StoredTokenizer, num_vectors: int | None, path: Path
) -> None:
    """Raise `ArtifactError` unless the tokenizer of an export fits its network of so many vectors."""
    exported = artifact.exported
    assert exported is not None
    folder = artifact.folder
    if num_vectors is None:
        raise ArtifactError(
            f"{shown_file(path)} has no table of token vectors; it is damaged, or not from 'multihot export'."
        )
    check_vocabulary(stored, num_vectors, folder, error=ArtifactError)
    if exported.pad_token_id >= num_vectors:
        raise ArtifactError(
            f"{shown_file(folder)}: 'pad_token_id' is {exported.pad_token_id}, and the network has "
            f"vectors for {num_vectors} tokens. Export the model again."
        )
    require_room(
        stored,
        folder,
        artifact.max_length,
        num_positions=exported.num_positions,
        prompt_length=exported.prompt_length,
    )


def require_same_metadata(text: str | None, path: Path, artifact: Artifact) -> None:
    """Raise `ArtifactError` unless a file says of itself what `thresholds.json` says."""
    if text is None:
        raise ArtifactError(
            f"{shown_file(path)} has no metadata of multihot; export the model again."
        )
    found = parse_json_object(memoryview(text.encode()), path, error=ArtifactError)
    expected = json.loads(json.dumps(file_metadata(artifact)))
    for key, value in expected.items():
        if found.get(key) != value:
            raise ArtifactError(
                f"{shown_file(path)} and thresholds.json differ in '{key}': {cut(found.get(key))} and "
                f"{cut(value)}. One of them was changed; export the model again, or renew both with "
                "'multihot decide'."
            )
