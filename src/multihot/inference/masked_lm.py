"""Use a pretrained model by itself: fill masks, and predict whether one sentence follows another.

Letters: `N` texts or pairs, `M` masks of all texts together, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multihot.core.extras import require_network
from multihot.core.files import as_path
from multihot.core.text_tables import cut
from multihot.data.batches import length_sorted_batches
from multihot.data.in_memory import as_texts
from multihot.data.tokenizer_fit import check_vocabulary
from multihot.errors import DataError, EncoderError, OptionError
from multihot.gate.tokenizer_loading import library_errors

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding, Tokenizer

    from multihot.models.pretraining.network import PretrainingNetwork

__all__ = ["Fill", "FillMask", "NextSentence", "fill_mask", "next_sentence"]

_TOKEN_BUDGET = 8192  # padded tokens in one forward pass; bounds memory


@dataclass(frozen=True)
class Fill:
    """One predicted token for one mask."""

    token: str
    """The token as text."""
    token_id: int
    score: float
    """Probability of the token at this mask, 0 to 1; those of all tokens, special ones too, sum to 1."""
    text: str
    """The whole text with this mask filled, as the tokenizer writes it; other masks stay."""


@dataclass(frozen=True)
class _Loaded:
    """A checkpoint that is ready to predict."""

    name: str
    network: PretrainingNetwork
    tokenizer: Tokenizer
    tokenizer_config: dict[str, Any]
    device: torch.device

    def batches(
        self, encodings: Sequence[Encoding]
    ) -> Iterator[tuple[npt.NDArray[np.int64], list[torch.Tensor]]]:
        """Yield rows of similar length with their ids, attention mask and token types, (B, S) each."""
        import torch

        from multihot.models.encoder import pad_id

        lengths = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64)
        for rows in length_sorted_batches(lengths, _TOKEN_BUDGET):
            attended = np.arange(lengths[rows].max()) < lengths[rows, None]
            ids = np.full(attended.shape, pad_id(self.network), dtype=np.int64)
            types = np.zeros(attended.shape, dtype=np.int64)
            ids[attended] = np.concatenate([encodings[row].ids for row in rows])
            types[attended] = np.concatenate([encodings[row].type_ids for row in rows])
            arrays = (ids, attended.astype(np.int64), types)
            yield rows, [torch.from_numpy(array).to(self.device) for array in arrays]

    def encode(self, inputs: Sequence[Any], names: Sequence[str]) -> list[Encoding]:
        """Return the tokens of every text or pair; refuse those longer than the model's positions."""
        from multihot.models.encoder import length_limit

        with library_errors(EncoderError, f"The tokenizer of {self.name} fails on a text"):
            encodings: list[Encoding] = self.tokenizer.encode_batch(list(inputs))
        limit = length_limit(self.network.config, self.tokenizer_config)
        for name, encoding in zip(names, encodings, strict=True):
            if limit is not None and len(encoding.ids) > limit:
                raise DataError(
                    f"{name} has {len(encoding.ids)} tokens, and {self.name} reads {limit} at most. "
                    "Shorten it."
                )
        return encodings


class FillMask:
    """A masked-language model: predicts the tokens at the masks of a text."""

    def __init__(self, loaded: _Loaded) -> None:
        self._loaded = loaded
        token = loaded.tokenizer_config.get("mask_token")
        self.mask_token = str(token["content"] if isinstance(token, dict) else token)
        """What stands for a mask in a text."""
        mask_id = None if token is None else loaded.tokenizer.token_to_id(self.mask_token)
        if mask_id is None:
            raise EncoderError(
                f"The tokenizer of {loaded.name} names no mask token, so its model cannot fill masks. "
                "Use the tokenizer that it was pretrained with."
            )
        self._mask_id: int = mask_id
        self._special = {
            number
            for number, added in loaded.tokenizer.get_added_tokens_decoder().items()
            if added.special or number == mask_id
        }

    @classmethod
    def load(cls, name: str | Path, *, device: str = "auto") -> FillMask:
        """Load a pretrained model: a folder, or a hub name.

        Raises
        ------
        EncoderError
            When it cannot be found or loaded, or has no masked-language-model head.
        MissingExtraError
            Without torch or transformers.
        """
        return cls(_load(name, "masked-language-model", device))

    def fill(
        self, texts: Sequence[str], *, top: int = 5, names: Sequence[str] | None = None
    ) -> list[list[list[Fill]]]:
        """Return, for every mask of every text, the `top` most probable tokens, best first.

        Special tokens, such as `[SEP]`, are no answers; the scores of all tokens with them sum to 1.

        Several masks in a text are predicted independently, with the other masks left in place; the
        best tokens of each are not always the best together.

        Parameters
        ----------
        texts
            N texts with at least one mask each.
        top
            Tokens per mask; no more than the vocabulary has.
        names
            Names of the texts in error messages; default `Text 1`, `Text 2` and so on.

        Raises
        ------
        DataError
            For a text without a mask, or longer than the model reads.
        OptionError
            For a `top` below 1.
        """
        if top < 1:
            raise OptionError(f"top={top}; expected at least 1.")
        texts = texts if isinstance(texts, list) else as_texts(texts)
        names = _numbered("Text", len(texts)) if names is None else names
        _require_strings(texts, names)
        encodings = self._loaded.encode(texts, names)
        for name, text, encoding in zip(names, texts, encodings, strict=True):
            if self._mask_id not in encoding.ids:
                raise DataError(self._no_mask(name, text))
        fills: list[list[list[Fill]]] = [[] for _ in texts]
        for row, position, probabilities, tokens in self._best_tokens(encodings, top):
            fills[row].append(self._fills(encodings[row].ids, position, probabilities, tokens))
        return fills

    def _best_tokens(
        self, encodings: Sequence[Encoding], top: int
    ) -> Iterator[tuple[int, int, list[float], list[int]]]:
        """Yield row, position, best probabilities and their token ids of every mask.

        The positions of a row ascend.
        """
        import torch

        network = self._loaded.network
        with torch.inference_mode():
            for rows, (ids, attended, types) in self._loaded.batches(encodings):
                masked = torch.nonzero(ids.flatten() == self._mask_id)[:, 0]
                output = network(ids, attended, types, masked_positions=masked)
                probabilities = output.mlm_logits.float().softmax(dim=1)
                best = probabilities.topk(min(top, probabilities.shape[1]))
                length = ids.shape[1]
                for slot, values, tokens in zip(
                    masked.tolist(), best.values.tolist(), best.indices.tolist(), strict=True
                ):
                    yield int(rows[slot // length]), slot % length, values, tokens

    def _fills(
        self,
        ids: Sequence[int],
        position: int,
        probabilities: Sequence[float],
        tokens: Sequence[int],
    ) -> list[Fill]:
        """Return the fills of the mask at `position` of a text with the tokens `ids`."""
        decode = self._loaded.tokenizer.decode
        # Special tokens are left out of the text, unless they are masks still to fill.
        fills = []
        for probability, token in zip(probabilities, tokens, strict=True):
            filled = [*ids[:position], token, *ids[position + 1 :]]
            kept = [
                each
                for index, each in enumerate(filled)
                if each not in self._special or (each == self._mask_id and index != position)
            ]
            with library_errors(EncoderError, f"The tokenizer of {self._loaded.name} fails"):
                shown = decode([token], skip_special_tokens=False)
                text = decode(kept, skip_special_tokens=False)
            fills.append(Fill(shown, token, probability, text))
        return fills

    def _no_mask(self, name: str, text: str) -> str:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        if self.mask_token in text:
            return (
                f"{name} ({shown!r}) holds {self.mask_token}, but the tokenizer of "
                f"{self._loaded.name} takes it apart: its tokenizer.json does not list it among the "
                "added tokens. Save the tokenizer again with transformers."
            )
        return (
            f"{name} ({shown!r}) has no mask. Write {self.mask_token}, exactly so, where this "
            "tokenizer should fill in a token."
        )


class NextSentence:
    """A next-sentence model: predicts whether one text follows another."""

    def __init__(self, loaded: _Loaded) -> None:
        self._loaded = loaded

    @classmethod
    def load(cls, name: str | Path, *, device: str = "auto") -> NextSentence:
        """Load a pretrained BERT: a folder, or a hub name; raises as `FillMask.load` does."""
        return cls(_load(name, "next-sentence", device))

    def probabilities(
        self, pairs: Sequence[tuple[str, str]], *, names: Sequence[str] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the probabilities of the two classes of every pair.

        Raises `DataError` for a pair that is longer than the model reads. `names` are those of the
        pairs in error messages; default `Pair 1`, `Pair 2` and so on.

        Returns
        -------
        ndarray
            *Shape:* (N, 2), float32, 0 to 1; rows sum to 1. Column 0: the second text follows the
            first; column 1: it is a random one (transformers' order).
        """
        import torch

        pairs = _as_pairs(pairs)
        names = _numbered("Pair", len(pairs)) if names is None else names
        for side in (0, 1):
            _require_strings([pair[side] for pair in pairs], names)
        encodings = self._loaded.encode([tuple(pair) for pair in pairs], names)
        result = np.zeros((len(pairs), 2), dtype=np.float32)
        with torch.inference_mode():
            for rows, (ids, attended, types) in self._loaded.batches(encodings):
                logits = self._loaded.network.next_sentence(ids, attended, types)
                result[rows] = logits.float().softmax(dim=1).cpu().numpy()
        return result


def fill_mask(
    model: str | Path, text: str, *, top: int = 5, device: str = "auto"
) -> list[list[Fill]]:
    """Return the `top` best tokens for every mask of a text; see `FillMask`."""
    return FillMask.load(model, device=device).fill([text], top=top)[0]


def next_sentence(
    model: str | Path, pairs: Sequence[tuple[str, str]], *, device: str = "auto"
) -> npt.NDArray[np.float32]:
    """Return the probabilities that second texts follow first ones; see `NextSentence`."""
    return NextSentence.load(model, device=device).probabilities(pairs)


def _load(given: str | Path, head: str, device_name: str) -> _Loaded:
    """Load a checkpoint with its `head`; raise `EncoderError` when it has none."""
    as_path(given, "model")
    name = str(given)  # a path would lose the ./ that tells a folder from a hub name
    require_network("A language model")
    from multihot.models.devices import choose_device
    from multihot.models.encoder import load_encoder_tokenizer, locate_encoder, read_config
    from multihot.models.pretraining.checkpoint import load_heads
    from multihot.models.pretraining.network import PretrainingNetwork

    device = choose_device(device_name)
    if (Path(name) / "thresholds.json").is_file():
        raise EncoderError(f"{name} is a multihot classifier, which has no {head} head.")
    folder = locate_encoder(name).folder
    with_pairs = head == "next-sentence"
    family = read_config(folder).model_type
    if with_pairs and family != "bert":
        raise EncoderError(
            f"{name} is of the family '{family}'; only BERT's own family has a next-sentence head."
        )
    model, missing = load_heads(folder, next_sentence=with_pairs)
    if head in missing:
        raise EncoderError(
            f"{name} has no {head} head in its weights. Take a checkpoint that was saved with its "
            "pretraining heads, or pretrain it first."
        )
    tokenizer, tokenizer_config = load_encoder_tokenizer(folder)
    network = PretrainingNetwork(model).eval().to(device)
    check_vocabulary(tokenizer, int(network.config.vocab_size), name)
    return _Loaded(name, network, tokenizer, tokenizer_config, device)


def _as_pairs(given: Any) -> list[tuple[str, str]]:
    """Return pairs of texts as a list; raise `DataError` for anything else."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise DataError(f"expected a list of pairs of texts, got {cut(given)}.")
    pairs = list(given)
    for number, pair in enumerate(pairs, start=1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise DataError(f"Pair {number} is {cut(pair)}; expected two texts.")
    return pairs


def _numbered(what: str, count: int) -> list[str]:
    return [f"{what} {number}" for number in range(1, count + 1)]


def _require_strings(texts: Sequence[str], names: Sequence[str]) -> None:
    """Raise `DataError` for anything that is no text a tokenizer can read."""
    for name, text in zip(names, texts, strict=True):
        if not isinstance(text, str):
            raise DataError(f"{name} is {type(text).__name__} ({text!r}), expected a string.")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise DataError(f"{name} holds half a surrogate pair, no valid Unicode: {text!r}")
