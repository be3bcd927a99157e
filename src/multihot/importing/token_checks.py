"""What is wrong with the vocabulary and the special tokens of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.data.tokens import check_vocabulary, special_tokens
from multihot.errors import EncoderError, MultihotError
from multihot.gate.tokenizer_files import SETTINGS_FILE, TOKENIZER_FILE
from multihot.importing.checkpoint import Checkpoint
from multihot.importing.findings import ERROR, WARNING, Finding
from multihot.models.encoder import position_offset

__all__ = ["check_tokens", "check_unknown_token", "refused_tokenizer"]

_NAMED = ("unk_token", "pad_token", "cls_token", "sep_token", "bos_token", "eos_token")
_READS_LAST = ("xlnet", "xlm", "flaubert")  # their heads read another token, or texts have one sign


def check_tokens(
    checkpoint: Checkpoint, settings: Mapping[str, Any], tokenizer: Any, num_embeddings: int | None
) -> list[Finding]:
    """Return what is wrong with the tokens of a tokenizer that was loaded.

    Parameters
    ----------
    checkpoint
        The checkpoint.
    settings
        What `tokenizer_config.json` holds.
    tokenizer
        Of the tokenizers library.
    num_embeddings
        Rows of the word embeddings; `None` where they are not known.
    """
    findings = [
        *_named_tokens(settings, tokenizer),
        *_padding_token(checkpoint.config, settings, tokenizer),
    ]
    if checkpoint.family not in _READS_LAST and not checkpoint.is_pooled:
        findings += _first_token(tokenizer)
    if num_embeddings:
        findings += _vocabulary(tokenizer, num_embeddings, checkpoint)
    return findings


def refused_tokenizer(file: str, reason: str) -> Finding:
    """Return what is said of a tokenizer that cannot be used."""
    return Finding(
        "tokenizer_refused",
        ERROR,
        file,
        reason,
        "Without a sound tokenizer no text becomes the numbers that the model was trained on.",
        "Copy the tokenizer of the encoder that the model was made from.",
    )


def check_unknown_token(document: Mapping[str, Any]) -> list[Finding]:
    """Return whether the tokenizer has a token for what its vocabulary lacks."""
    model = document.get("model")
    if not isinstance(model, Mapping):
        return []
    kind, vocabulary = model.get("type"), model.get("vocab")
    if kind is None:
        kind = "Unigram" if isinstance(vocabulary, list) else "BPE" if "merges" in model else ""
    unknown = _content(model.get("unk_token"))
    if kind == "Unigram" and model.get("unk_id") is None:
        what, severity = "The vocabulary names no token for unknown characters.", ERROR
    elif kind in ("WordPiece", "WordLevel") and _lacks(vocabulary, unknown):
        what, severity = f"The vocabulary lacks its unknown token {cut(unknown)}.", ERROR
    elif kind == "BPE" and unknown is None and not _reads_bytes(document):
        what, severity = (
            "There is no token for unknown characters, and bytes do not stand for them.",
            WARNING,
        )
    else:
        return []
    why = "A text with a character that the vocabulary lacks ends in an error."
    if severity == WARNING:
        why = "Characters that the vocabulary lacks are dropped silently."
    return [
        Finding(
            "unknown_token_missing",
            severity,
            TOKENIZER_FILE,
            what,
            why,
            "Use the tokenizer of the encoder that the model was made from.",
        )
    ]


def _lacks(vocabulary: object, token: str | None) -> bool:
    return not isinstance(vocabulary, Mapping) or token not in vocabulary


def _reads_bytes(document: Mapping[str, Any]) -> bool:
    model: Any = document.get("model")
    steps = (str(document.get(part)) for part in ("normalizer", "pre_tokenizer"))
    return bool(model.get("byte_fallback")) or any("ByteLevel" in step for step in steps)


def _content(token: object) -> str | None:
    found = token.get("content") if isinstance(token, Mapping) else token
    return found if isinstance(found, str) else None


def _named_tokens(settings: Mapping[str, Any], tokenizer: Any) -> list[Finding]:
    named = {key: _content(settings.get(key)) for key in _NAMED}
    lost = [
        f"{key} {cut(token)}"
        for key, token in named.items()
        if token is not None and tokenizer.token_to_id(token) is None
    ]
    if not lost:
        return []
    return [
        Finding(
            "special_token_not_in_vocabulary",
            ERROR,
            SETTINGS_FILE,
            f"The vocabulary lacks {listed(lost)}.",
            "transformers adds them with ids that the embeddings have no row for.",
            "Use the tokenizer of the encoder that the model was made from.",
        )
    ]


def _padding_token(
    config: Mapping[str, Any], settings: Mapping[str, Any], tokenizer: Any
) -> list[Finding]:
    """Return whether texts can be padded, and with the id that the encoder expects."""
    token = _content(settings.get("pad_token"))
    stated = config.get("pad_token_id")
    found = None if token is None else tokenizer.token_to_id(token)
    if token is None and settings:
        return [
            Finding(
                "pad_token_missing",
                WARNING,
                SETTINGS_FILE,
                "No pad_token is named.",
                "transformers cannot make a batch of texts of different lengths.",
                "Name the pad_token that the encoder was trained with.",
            )
        ]
    counts_from_padding = position_offset(str(config.get("model_type")), 5) > 5
    if counts_from_padding and found is not None and type(stated) is int and found != stated:
        return [
            Finding(
                "pad_token_differs",
                ERROR,
                SETTINGS_FILE,
                f"The id of pad_token {cut(token)} is {found}, pad_token_id of config.json is {stated}.",
                "This family counts positions from its padding id, so that padded texts get other scores.",
                "Use the tokenizer of the encoder that the model was made from.",
            )
        ]
    return []


def _first_token(tokenizer: Any) -> list[Finding]:
    try:
        before, _ = special_tokens(tokenizer)
    except MultihotError as reason:
        return [refused_tokenizer(TOKENIZER_FILE, str(reason))]
    if before:
        return []
    return [
        Finding(
            "first_token_missing",
            WARNING,
            TOKENIZER_FILE,
            "It puts no special token such as [CLS] before a text.",
            "The head of most encoders reads the first token, which is then a word of the text.",
            "Use the tokenizer of the encoder that the model was made from.",
        )
    ]


def _vocabulary(tokenizer: Any, num_embeddings: int, checkpoint: Checkpoint) -> list[Finding]:
    try:
        check_vocabulary(tokenizer, num_embeddings, checkpoint.name, error=EncoderError)
    except EncoderError as reason:
        return [
            Finding(
                "vocabulary_differs",
                ERROR,
                TOKENIZER_FILE,
                str(reason),
                "Tokens are then numbers that mean other words to the encoder, or none.",
                "Use the tokenizer of the encoder that the model was made from.",
            )
        ]
    return []
