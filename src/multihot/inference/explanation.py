"""What the words of a text spoke for and against each label.

Two methods, one result:

* `gradients`: integrated gradients (`models.attribution`) from the same text with every token masked.
  What the words add up to is the difference of the two logits; the number of steps grows until it is.
* `occlusion`: how far the logit falls when a word is left out. Needs predictions only, so it works
  for exports too; words that say the same share nothing, so these values add up to no logit.

Of a text in several windows, each label is explained by the window with its highest logit.

Letters: `W` words, `S` tokens of a text or of the window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.text_tables import cut
from multihot.data.in_memory import as_texts
from multihot.data.text_windows import TextCutter
from multihot.data.tokens import TokenizedTexts, special_tokens
from multihot.data.words import Word, shares_of_words, words_of
from multihot.errors import EncoderError, OptionError
from multihot.gate.tokenizer_loading import library_errors
from multihot.inference.explained_labels import MOST_LABELS, column_of, columns_of
from multihot.inference.predictor import Predictor

__all__ = ["METHODS", "Explanation", "LabelReasons", "explain"]

METHODS = ("auto", "gradients", "occlusion")
"""How words are weighed; `auto` is `gradients` for a model that torch runs, else `occlusion`."""

FloatArray = npt.NDArray[np.float64]

_FIRST_STEPS, _MOST_STEPS = 16, 512
_RELATIVE_ERROR, _LEAST_ERROR = 0.01, 0.005
_MASKS = ("[MASK]", "<mask>")
_PADS = ("[PAD]", "<pad>", "[UNK]", "<unk>")


@dataclass(frozen=True)
class LabelReasons:
    """Why a text got one label, or did not."""

    label: str
    score: float
    """Probability, calibrated as the model's own predictions are."""
    threshold: float | None
    """`None` where ranks decide."""
    given: bool
    """Whether the model gives the label."""
    logit: float
    """Of the network, before calibration; the words speak for and against this number. Of a text in
    several windows it is that of one of them."""
    baseline_logit: float
    """The logit of the text without its words: every token masked, or left out."""
    values: tuple[float, ...]
    """*Shape:* (W,). What each word adds to the logit; 0 for words that were not read."""
    rest: float
    """What tokens added that belong to no word, such as white space."""
    steps: int | None
    """Points of the line in `gradients`; `None` for `occlusion`."""
    window: int | None = None
    """Which window of the text this is about, from 0; `None` for a model that reads each text at once."""

    @property
    def total(self) -> float:
        """What all words and the rest add up to."""
        return sum(self.values) + self.rest

    @property
    def error(self) -> float:
        """How far the total is from the difference of the two logits."""
        return abs(self.total - (self.logit - self.baseline_logit))

    @property
    def complete(self) -> bool | None:
        """Whether the total is that difference, to a hundredth; `None` where it need not be."""
        if self.steps is None:
            return None
        return self.error <= _allowed(self.logit - self.baseline_logit)


@dataclass(frozen=True)
class Explanation:
    """What the words of one text spoke for and against some labels."""

    text: str
    words: tuple[Word, ...]
    num_read: int
    """The first words, which the model read; a longer text is cut to `max_length` tokens."""
    truncated: bool
    method: str
    """`gradients` or `occlusion`."""
    baseline: str
    """What stands in the place of each token in the baseline; empty: nothing."""
    labels: tuple[LabelReasons, ...]
    windows: tuple[tuple[int, int], ...] = ()
    """First and last-plus-one character of each window that was read."""
    num_left_out: int = 0
    """Labels that the text gets, too, and that are not explained."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the keys as in `multihot explain --json`."""
        return {
            "text": self.text,
            "truncated": self.truncated,
            "words_read": self.num_read,
            "method": self.method,
            "baseline": self.baseline,
            "labels_left_out": self.num_left_out,
            "words": [[word.text, word.start, word.end] for word in self.words],
            "labels": {reasons.label: _plain(reasons) for reasons in self.labels},
            **({"windows": [list(span) for span in self.windows]} if self.windows else {}),
        }


def _plain(reasons: LabelReasons) -> dict[str, Any]:
    return {
        "score": round(reasons.score, 6),
        "threshold": reasons.threshold,
        "given": reasons.given,
        "logit": round(reasons.logit, 6),
        "baseline_logit": round(reasons.baseline_logit, 6),
        "values": [round(value, 6) for value in reasons.values],
        "rest": round(reasons.rest, 6),
        "sum": round(reasons.total, 6),
        "error": round(reasons.error, 6),
        "complete": reasons.complete,
        "steps": reasons.steps,
        **({} if reasons.window is None else {"window": reasons.window}),
    }


@dataclass(frozen=True)
class _Tokens:
    """One text, or a window of it, as the model reads it."""

    ids: npt.NDArray[np.int64]
    inner: slice
    """The tokens of the text itself, between special ones."""
    shares: FloatArray
    """*Shape:* (S, W). How much of each token belongs to each word."""


def explain(
    predictor: Predictor,
    texts: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    method: str = "auto",
    most: int = MOST_LABELS,
    with_nearest: bool = False,
) -> list[Explanation]:
    """Return what the words of each text spoke for and against labels.

    Parameters
    ----------
    predictor
        The model.
    texts
        N texts.
    labels
        Names of labels; by default those that each text gets, or, where it gets none, the one
        nearest to its threshold.
    method
        One of `METHODS`.
    most
        Without `labels`: how many of a text at most, those with the highest scores.
    with_nearest
        Without `labels`: explain so many, with those that the text nearly gets.

    Raises
    ------
    LabelError
        The model does not know a label.
    OptionError
        The method is not known, or needs gradients that the model does not have.
    """
    texts = as_texts(texts)
    method = _chosen_method(predictor, method)
    columns = None
    if labels is not None:  # each once, in the order given
        columns = list(dict.fromkeys(column_of(predictor, name) for name in labels))
    filler = _filler(predictor) if method == "gradients" else None
    weigh = _Gradients(predictor, filler) if filler is not None else _Occlusion(predictor)
    tokenized = predictor.tokenized(texts)
    loudest, logits = predictor.loudest_and_logits(tokenized)
    read = predictor.windows_read(tokenized, loudest, [()] * len(texts))
    scores = predictor.decision.scores(logits)
    decided = predictor.decision.decide(scores)
    choose = partial(columns_of, predictor, most=most, with_nearest=with_nearest)
    found = []
    for row, text in enumerate(texts):
        wanted = choose(scores[row], decided[row]) if columns is None else columns
        words = words_of(text)
        parts = _tokens_of(predictor, text, words)
        numbers = [None] * len(wanted) if loudest is None else loudest[row, wanted].tolist()
        spoke = dict(zip(wanted, numbers, strict=True))
        weighed = _weighed(weigh, parts, spoke)
        reasons = _reasons_of(predictor, weighed, spoke, scores[row], decided[row])
        left_out = int(decided[row].sum() - decided[row, wanted].sum()) if columns is None else 0
        windows, truncated = read[row], bool(tokenized.truncated[row])
        found.append(
            Explanation(
                text,
                words,
                _num_read(parts, words, truncated=truncated),
                truncated,
                method,
                "" if filler is None else filler[1],
                reasons,
                () if windows is None else tuple(windows.spans),
                left_out,
            )
        )
    return found


def _reasons_of(
    predictor: Predictor,
    weighed: Mapping[int, tuple[_Weights, int]],
    spoke: Mapping[int, int | None],
    scores: npt.NDArray[np.float32],
    decided: npt.NDArray[np.bool_],
) -> tuple[LabelReasons, ...]:
    """Return the reasons of each column of `spoke`, with its score and decision. *Shapes:* (L,)."""
    thresholds = list(predictor.decision.thresholds_by_name().values())
    return tuple(
        LabelReasons(
            label=predictor.space.names[column],
            score=float(scores[column]),
            threshold=thresholds[column],
            given=bool(decided[column]),
            logit=float(weights.logits[place]),
            baseline_logit=float(weights.baseline_logits[place]),
            values=tuple(weights.values[place].tolist()),
            rest=float(weights.rest[place]),
            steps=weights.steps,
            window=window,
        )
        for column, window in spoke.items()
        for weights, place in (weighed[column],)
    )


def _weighed(
    weigh: Callable[[_Tokens, Sequence[int]], _Weights],
    parts: Sequence[_Tokens],
    spoke: Mapping[int, int | None],
) -> dict[int, tuple[_Weights, int]]:
    """Return for each column what the words of its window weigh, and where in those weights it is."""
    found: dict[int, tuple[_Weights, int]] = {}
    for part in sorted({number or 0 for number in spoke.values()}):
        columns = [column for column, number in spoke.items() if (number or 0) == part]
        weights = weigh(parts[part], columns)
        found |= {column: (weights, place) for place, column in enumerate(columns)}
    return found


def _chosen_method(predictor: Predictor, method: str) -> str:
    if method not in METHODS:
        raise OptionError(f"method is {cut(method)}; expected one of {', '.join(METHODS)}.")
    has_gradients = predictor.artifact.exported is None
    if method == "gradients" and not has_gradients:
        raise OptionError(
            f"{predictor.artifact.folder} is an export, which has no gradients: use method=occlusion, "
            "or the model that it was made from."
        )
    return ("gradients" if has_gradients else "occlusion") if method == "auto" else method


def _filler(predictor: Predictor) -> tuple[int, str]:
    """Return the token that stands for nothing in a baseline, and how it is written."""
    for name in (*_MASKS, *_PADS):
        found = predictor.tokenizer.token_to_id(name)
        if found is not None:
            return found, name
    return 0, predictor.tokenizer.id_to_token(0) or ""


def _tokens_of(predictor: Predictor, text: str, words: Sequence[Word]) -> list[_Tokens]:
    """Tokenise one text as `data.tokens.tokenize` does, and keep the places of its tokens.

    Returns its windows, or the one part that is read.
    """
    with library_errors(EncoderError, "The tokenizer fails on the text"):
        encoding = predictor.tokenizer.encode(text)
    prefix, suffix = special_tokens(predictor.tokenizer)
    artifact = predictor.artifact
    cutter = TextCutter(prefix, suffix, artifact.max_length, artifact.windows)
    all_ids, all_offsets = list(encoding.ids), list(encoding.offsets)
    before, end = len(prefix), len(all_ids) - len(suffix)
    found = []
    for first, last in cutter.bounds(text, encoding)[0]:
        kept = [*range(before), *range(before + first, before + last), *range(end, len(all_ids))]
        ids, offsets = [all_ids[place] for place in kept], [all_offsets[place] for place in kept]
        shares = shares_of_words(words, offsets)
        inner = slice(before, len(ids) - len(suffix))
        shares[: inner.start] = shares[inner.stop :] = 0
        found.append(_Tokens(np.array(ids, dtype=np.int64), inner, shares))
    return found


def _num_read(parts: Sequence[_Tokens], words: Sequence[Word], *, truncated: bool) -> int:
    """Return how many words were read, the last of them perhaps in part."""
    read = np.flatnonzero(parts[-1].shares.any(axis=0))
    return int(read[-1]) + 1 if truncated and len(read) else len(words)


@dataclass(frozen=True)
class _Weights:
    values: FloatArray
    rest: FloatArray
    logits: FloatArray
    baseline_logits: FloatArray
    steps: int | None


class _Gradients:
    """Integrated gradients of one model, text after text."""

    def __init__(self, predictor: Predictor, filler: tuple[int, str]) -> None:
        from multihot.inference.torch_backend import TorchBackend

        backend = predictor.backend
        if not isinstance(backend, TorchBackend):
            raise OptionError("This model has no gradients: use method=occlusion.")
        self._attribution = backend.integrated_gradients()
        self._filler = filler[0]

    def __call__(self, tokens: _Tokens, columns: Sequence[int]) -> _Weights:
        """Double the steps until the words add up to the difference of the logits."""
        baseline = tokens.ids.copy()
        baseline[tokens.inner] = self._filler
        steps = _FIRST_STEPS
        while True:
            found = self._attribution.of(tokens.ids, baseline, columns, steps)
            differences = found.logits - found.baseline_logits
            allowed = np.array([_allowed(difference) for difference in differences])
            if (found.errors <= allowed).all() or steps >= _MOST_STEPS:
                break
            steps *= 2
        values = found.values @ tokens.shares
        rest = found.values.sum(axis=1) - values.sum(axis=1)
        return _Weights(values, rest, found.logits, found.baseline_logits, steps)


class _Occlusion:
    """What is lost with each word, by any backend."""

    def __init__(self, predictor: Predictor) -> None:
        self._backend = predictor.backend

    def __call__(self, tokens: _Tokens, columns: Sequence[int]) -> _Weights:
        num_words = tokens.shares.shape[1]
        owners = np.full(len(tokens.ids), -1)
        if num_words:
            owned = tokens.shares.any(axis=1)
            owners[owned] = tokens.shares[owned].argmax(axis=1)
        places = sorted(set(owners.tolist()) - {-1})
        kept = [owners != word for word in places]
        texts = [tokens.ids, tokens.ids[owners < 0], *(tokens.ids[mask] for mask in kept)]
        logits = self._backend.logits(_joined(texts))[:, list(columns)].astype(np.float64)
        values = np.zeros((len(columns), num_words))
        values[:, places] = (logits[0] - logits[2:]).T
        return _Weights(values, np.zeros(len(columns)), logits[0], logits[1], None)


def _joined(texts: Sequence[npt.NDArray[np.int64]]) -> TokenizedTexts:
    offsets = np.append(0, np.cumsum([len(ids) for ids in texts]))
    ids = np.concatenate(texts).astype(np.uint32)
    return TokenizedTexts(ids, offsets, np.zeros(len(texts), dtype=np.bool_))


def _allowed(difference: float) -> float:
    return max(_LEAST_ERROR, _RELATIVE_ERROR * abs(difference))
