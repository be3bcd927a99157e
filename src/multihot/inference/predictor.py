"""Texts to scores to labels; picks the backend, and passes every backend through one decision.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.core.extras import require_network
from multihot.core.files import TemporaryFolder
from multihot.core.labels import LabelSpace
from multihot.core.text_tables import cut
from multihot.data.in_memory import as_texts
from multihot.data.tokens import StoredTokenizer, TokenizedTexts, stored_tokenizer, tokenize
from multihot.data.unknown_tokens import UnknownTokens, unknown_tokens_in
from multihot.decision.decision import Decision
from multihot.errors import DataError, NonFiniteError, OptionError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import shown_file
from multihot.inference.artifact import (
    Artifact,
    artifact_bytes,
    read_artifact,
    write_artifact_bytes,
)
from multihot.inference.prediction import Prediction, labelled
from multihot.inference.window_logits import WindowsRead, loudest_and_pooled

__all__ = [
    "BACKENDS",
    "WINDOW_ROWS",
    "Backend",
    "Predictor",
]

BACKENDS = ("torch", "onnx", "openvino")
"""What computes logits: torch from a model as it was trained, the others from an export."""

T = TypeVar("T")
WINDOW_ROWS = 2048
"""Texts held at once while streaming; they are sorted by length inside."""
_WINDOW_CELLS = 1 << 23  # scores of a window; with very many labels it has fewer texts


class Backend(Protocol):
    """Anything that turns token ids into logits."""

    def logits(self, tokenized: TokenizedTexts) -> npt.NDArray[np.float32]:
        """Return the logits of N texts in their order. *Shape:* (N, L), float32."""
        ...


class Predictor:
    """An artefact that is ready to answer.

    Pickles and copies hold the files of the model folder; what is loaded from them has a temporary
    folder of its own.
    """

    def __init__(
        self,
        artifact: Artifact,
        tokenizer: Tokenizer,
        backend: Backend,
    ) -> None:
        self.artifact = artifact
        self.tokenizer = tokenizer
        self.backend = backend
        self.owned: TemporaryFolder | None = None
        """Where the folder is a temporary one: it lives as long as this."""
        self._loading: dict[str, str] | None = None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str = "auto",
        precision: str = "fp32",
        backend: str = "auto",
    ) -> Predictor:
        """Load a model folder and the backend that runs it.

        `backend` is `torch` for what was trained, `onnx` or `openvino` for exports; `auto` takes the one
        of the folder's form. With precision `bf16` (or `auto`, where the hardware computes it) scores change in the third
        digit and come about twice as fast; the thresholds were fitted in fp32.

        Raises `ArtifactError` for folders that are not a finished model and `MissingExtraError`
        when no backend is installed.
        """
        return cls.from_artifact(
            read_artifact(folder), device=device, precision=precision, backend=backend
        )

    @classmethod
    def from_artifact(
        cls,
        artifact: Artifact,
        *,
        device: str = "auto",
        precision: str = "fp32",
        backend: str = "auto",
    ) -> Predictor:
        """Load the backend of an artefact that was read before; raises as `load` does.

        Every file is read once and verified by its SHA-256, whether it was before or not.
        """
        name = _chosen_backend(artifact, backend)
        contents = artifact.contents()
        with contents.verifying():
            if name == "torch":
                contents.begin_tensors(artifact.weights_name, mapped=True)
            else:
                _refuse_for_exports(device, precision)
            stored = stored_tokenizer(contents)
            if name == "torch":
                running = _load_torch_backend(artifact, contents, stored, device, precision)
            else:
                running = _load_export_backend(name, artifact, contents, stored)
            loaded = cls(artifact, stored.tokenizer, running)
        loaded._loading = {"device": device, "precision": precision, "backend": backend}
        return loaded

    def with_artifact(self, artifact: Artifact) -> Predictor:
        """Return the same model with another description of its folder, such as a new decision."""
        other = Predictor(artifact, self.tokenizer, self.backend)
        other.owned, other._loading = self.owned, self._loading
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Return the files of the model folder; raise before anything is lost when they are not there."""
        if self._loading is None:
            raise OptionError(
                "This Predictor was put together by hand, so it cannot be pickled or copied; use "
                "Predictor.load(folder)."
            )
        return {"files": artifact_bytes(self.artifact), "loading": self._loading}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        owned = TemporaryFolder()
        write_artifact_bytes(state["files"], owned.path)
        vars(self).update(vars(Predictor.load(owned.path, **state["loading"])))
        self.owned = owned

    @property
    def decision(self) -> Decision:
        """The decision layer stored with the model."""
        return self.artifact.decision

    @property
    def space(self) -> LabelSpace:
        """The labels in class order."""
        return self.decision.space

    def logits(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return logits, *shape* (N, L), float32, and which texts were truncated, (N,), bool.

        Raises `NonFiniteError` when one is NaN.
        """
        tokenized = self.tokenized(texts)
        return self.logits_of(tokenized), tokenized.truncated

    def tokenized(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return texts as the network reads them."""
        artifact = self.artifact
        return tokenize(
            self.tokenizer, as_texts(texts), artifact.max_length, windows=artifact.windows
        )

    def logits_of(self, tokenized: TokenizedTexts) -> npt.NDArray[np.float32]:
        """Return the logits of N tokenised texts, *shape* (N, L); raise as `logits` does."""
        return self.loudest_and_logits(tokenized)[1]

    def loudest_and_logits(
        self, tokenized: TokenizedTexts
    ) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.float32]]:
        """Return which window speaks loudest for each label, and logits; *shapes* (N, L) both.

        `None` for a model that reads each text at once. Raises as `logits` does.
        """
        loudest, settings = None, self.artifact.windows
        if tokenized.windows is None or settings is None:
            logits = self.backend.logits(tokenized)
        else:
            loudest, logits = loudest_and_pooled(
                self._logits_at_once,
                tokenized,
                np.arange(len(tokenized)),
                settings,
                self.space.names,
            )
        if num_broken := int(np.isnan(logits).any(axis=1).sum()):
            raise NonFiniteError(
                f"{shown_file(self.artifact.folder / self.artifact.network_names)}: the model returned "
                f"NaN for {num_broken} of {len(logits)} texts. Its weights are damaged or its training "
                "diverged: train it again."
            )
        return loudest, logits

    def _logits_at_once(
        self, texts: TokenizedTexts, indices: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        is_whole = len(indices) == len(texts)
        return self.backend.logits(texts if is_whole else texts.selected(indices))

    def windows_read(
        self,
        tokenized: TokenizedTexts,
        loudest: npt.NDArray[np.int64] | None,
        labels: Sequence[Sequence[str]],
    ) -> list[WindowsRead | None]:
        """Return the windows of N texts that have these labels; see `loudest_and_logits`."""
        return [
            None if loudest is None else self._windows_of(tokenized, loudest, row, names)
            for row, names in enumerate(labels)
        ]

    def _windows_of(
        self,
        tokenized: TokenizedTexts,
        loudest: npt.NDArray[np.int64],
        row: int,
        names: Sequence[str],
    ) -> WindowsRead | None:
        windows = tokenized.windows
        if windows is None or windows.characters is None:
            return None
        own = windows.characters[windows.first[row] : windows.first[row + 1]]
        return WindowsRead(
            [(int(start), int(end)) for start, end in own],
            {name: int(loudest[row, self.space.index(name)]) for name in names},
        )

    def unknown_tokens(self, texts: Sequence[str]) -> UnknownTokens:
        """Count the tokens of texts that the model's vocabulary does not have."""
        return unknown_tokens_in(self.tokenizer, texts, self.artifact.max_length)

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return probabilities. *Shape:* (N, L), float32, 0 to 1."""
        return self.decision.scores(self.logits(texts)[0])

    def predict(self, texts: Sequence[str], *, threshold: float | None = None) -> list[Prediction]:
        """Label N texts in their order; `threshold` overrides the stored ones for this call."""
        return list(self._each(texts, threshold))

    def _each(self, texts: Sequence[str], threshold: float | None) -> Iterator[Prediction]:
        """Yield the predictions, each of which is put together when it is asked for."""
        tokenized = self.tokenized(texts)
        loudest, logits = self.loudest_and_logits(tokenized)
        answers = labelled(self.decision, logits, tokenized.truncated, threshold=threshold)
        if loudest is None:
            yield from answers
            return
        for row, answer in enumerate(answers):
            yield replace(answer, windows=self._windows_of(tokenized, loudest, row, answer.labels))

    def stream(
        self, rows: Iterable[tuple[str, T]], *, threshold: float | None = None
    ) -> Iterator[tuple[T, Prediction]]:
        """Label any number of (text, companion) pairs in constant memory, in their order."""
        iterator, size = _checked_pairs(rows), WINDOW_ROWS
        while size > 1 and size * len(self.space) > _WINDOW_CELLS:
            size //= 2  # whole windows make up those of few labels
        while window := list(islice(iterator, size)):
            predictions = self._each([text for text, _ in window], threshold)
            for (_, companion), prediction in zip(window, predictions, strict=True):
                yield companion, prediction


def _checked_pairs(rows: Any) -> Iterator[Any]:
    if isinstance(rows, str) or not isinstance(rows, Iterable):
        raise DataError(f"expected pairs of a text and a companion, got {cut(rows)}.")
    for number, pair in enumerate(rows):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise DataError(f"row {number} is {cut(pair)}; expected a text and its companion.")
        yield pair


def _chosen_backend(artifact: Artifact, name: str) -> str:
    """Return the backend of a folder; raise `OptionError` where another one is asked for."""
    if name not in ("auto", *BACKENDS):
        raise OptionError(f"backend is {cut(name)}; expected auto, {', '.join(BACKENDS)}.")
    runs = {"onnx": ("onnx", "openvino"), "openvino": ("openvino",)}.get(artifact.form, ("torch",))
    if artifact.exported is not None and artifact.exported.precision == "int8":
        runs = ("onnx",)  # OpenVINO 2026.4 cannot quantise with one scale for each row
    if name == "auto":
        return runs[0]
    if name not in runs:
        form = "an export" if artifact.exported else "no export"
        other = (
            "the model that it was made from"
            if artifact.exported
            else "what 'multihot export' writes"
        )
        raise OptionError(
            f"backend is {name}, and {artifact.folder} is {form}, which {' or '.join(runs)} runs; use "
            f"{other}."
        )
    return name


def _refuse_for_exports(device: str, precision: str) -> None:
    if device not in ("auto", "cpu"):
        raise OptionError(
            f"device is {cut(device)}; exports run on the processor: use cpu or auto."
        )
    if precision not in ("auto", "fp32"):
        raise OptionError(
            f"precision is {cut(precision)}, and that of an export is fixed: leave it out."
        )


def _load_export_backend(
    name: str, artifact: Artifact, contents: FolderContents, stored: StoredTokenizer
) -> Backend:
    if name == "onnx":
        from multihot.inference.onnx_backend import load_onnx_backend

        return load_onnx_backend(artifact, contents, stored)
    from multihot.inference.openvino_backend import load_openvino_backend

    return load_openvino_backend(artifact, contents, stored)


def _load_torch_backend(
    artifact: Artifact,
    contents: FolderContents,
    stored: StoredTokenizer,
    device_name: str,
    precision_name: str,
) -> Backend:
    require_network("Prediction")
    from multihot.inference.torch_backend import TorchBackend
    from multihot.models.devices import choose_device, choose_precision
    from multihot.models.stored_network import load_network, require_fit

    device = choose_device(device_name)
    space = artifact.decision.space
    network = load_network(
        contents, artifact.form, space, pooling=artifact.pooling, windows=artifact.windows
    )
    require_fit(network, stored, artifact.folder, artifact.max_length)
    precision = choose_precision(precision_name, device)
    return TorchBackend(
        network,
        len(space),
        device,
        precision,
        frozen=True,
        require_unchanged=contents.require_unchanged,
    )
