"""What is wrong with the tokenizer of a checkpoint, and with the length that it allows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.data.tokens import check_vocabulary, special_tokens
from multihot.errors import EncoderError, MultihotError
from multihot.gate.folder_files import read_folder_file
from multihot.gate.json_documents import parse_json_object
from multihot.gate.tokenizer_files import SETTINGS_FILE, TOKENIZER_FILE, read_tokenizer_settings
from multihot.gate.tokenizer_loading import (
    MAX_TOKENIZER_BYTES,
    parse_tokenizer,
)
from multihot.importing.checkpoint import Checkpoint
from multihot.importing.findings import ERROR, NOTE, WARNING, WITHOUT_FILE, Finding
from multihot.models.encoder import max_tokens, position_offset

__all__ = ["TokenizerFacts", "check_tokenizer"]

_VOCABULARIES = ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "spm.model")
_MORE_VOCABULARIES = ("sentencepiece.model", "tokenizer.model", "bpe.codes")
_UNLIMITED = 1_000_000  # tokens; transformers writes 1e30 where nobody set a limit
_DEFAULT_PAD = 1  # of RoBERTa's family, where the configuration names none
_NAMED = ("unk_token", "pad_token", "cls_token", "sep_token", "bos_token", "eos_token")
_READS_LAST = ("xlnet", "xlm", "flaubert")  # their heads read another token, or texts have one sign


@dataclass(frozen=True)
class TokenizerFacts:
    """What is known of a tokenizer."""

    limit: int | None
    """The most tokens of a text: positions, and what the checkpoint says of its training."""
    findings: tuple[Finding, ...] = ()


def check_tokenizer(checkpoint: Checkpoint, num_embeddings: int | None) -> TokenizerFacts:
    """Look at the tokenizer of a checkpoint; nothing is run but the tokenizers library.

    Parameters
    ----------
    checkpoint
        The checkpoint.
    num_embeddings
        Rows of its word embeddings; `None` where they are not known.
    """
    folder = checkpoint.body
    if not os.path.lexists(folder / TOKENIZER_FILE) and folder != checkpoint.folder:
        folder = checkpoint.folder if _has(checkpoint.folder) else folder
    try:
        settings = read_tokenizer_settings(folder, error=EncoderError)
    except EncoderError as reason:
        return TokenizerFacts(None, (_refused(SETTINGS_FILE, str(reason)),))
    positions = _positions(checkpoint.config)
    length, trained = _trained_length(checkpoint, positions)
    findings = [*_length(settings, positions), *trained]
    if not os.path.lexists(folder / TOKENIZER_FILE):
        return TokenizerFacts(length, (*_without_file(folder), *findings))
    tokenizer = None
    try:
        content = read_folder_file(
            folder, TOKENIZER_FILE, most_bytes=MAX_TOKENIZER_BYTES, error=EncoderError
        )
        document = parse_json_object(content, folder / TOKENIZER_FILE, error=EncoderError)
        findings += [*_left_over(document), *_unknown_token(document)]
        tokenizer, _ = parse_tokenizer(content, folder / TOKENIZER_FILE, error=EncoderError)
    except EncoderError as reason:
        # The texts that are tried hold characters that a vocabulary may lack.
        if not any(finding.code == "unknown_token_missing" for finding in findings):
            findings.append(_refused(TOKENIZER_FILE, str(reason)))
    if tokenizer is None:
        return TokenizerFacts(length, tuple(findings))
    findings += _named_tokens(settings, tokenizer)
    findings += _padding_token(checkpoint.config, settings, tokenizer)
    if checkpoint.family not in _READS_LAST and not checkpoint.is_pooled:
        findings += _first_token(tokenizer)
    if num_embeddings:
        findings += _vocabulary(tokenizer, num_embeddings, checkpoint)
    return TokenizerFacts(length, tuple(findings))


def _has(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in (TOKENIZER_FILE, *_VOCABULARIES))


def _refused(file: str, reason: str) -> Finding:
    return Finding(
        "tokenizer_refused",
        ERROR,
        file,
        reason,
        "Without a sound tokenizer no text becomes the numbers that the model was trained on.",
        "Copy the tokenizer of the encoder that the model was made from.",
    )


def _without_file(folder: Path) -> list[Finding]:
    names = [*_VOCABULARIES, *_MORE_VOCABULARIES]
    found = [name for name in names if os.path.lexists(folder / name)]
    if not found:
        return [
            Finding(
                "tokenizer_missing",
                ERROR,
                TOKENIZER_FILE,
                "There is no tokenizer in the folder.",
                "transformers makes up an empty vocabulary, or fetches another tokenizer by the name.",
                "Copy the tokenizer of the encoder that the model was made from.",
            )
        ]
    return [
        Finding(
            "tokenizer_not_built",
            NOTE,
            found[0],
            f"There is no tokenizer.json, only {listed(found)}.",
            "It is built anew at every start, and what reads tokenizer.json alone cannot use the model.",
            "Load it with AutoTokenizer and save it with save_pretrained.",
            WITHOUT_FILE,
        )
    ]


def _positions(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens of a text the encoder has positions for; `None` where it sets no limit."""
    pad = config.get("pad_token_id", _DEFAULT_PAD)
    first = position_offset(str(config.get("model_type")), pad if type(pad) is int else 0)
    return max_tokens(
        positions=config.get("max_position_embeddings"), first=first, tokenizer_limit=None
    )


def _length(settings: Mapping[str, Any], positions: int | None) -> list[Finding]:
    """Compare the length that the tokenizer allows with the positions."""
    stated = settings.get("model_max_length", settings.get("max_len"))
    is_set = type(stated) in (int, float) and 0 < stated < _UNLIMITED
    if positions is None or (is_set and stated <= positions):
        return []
    shown = "not set" if stated is None else cut(stated)
    what = f"model_max_length is {shown}, and the encoder has positions for {positions} tokens."
    why = "A longer text is not cut: it ends in an index error, on a GPU in one that stops the process."
    advice = f"Set model_max_length to {positions}, and call the pipeline with truncation=True."
    code = "max_length_beyond_positions" if is_set else "max_length_unset"
    severity = ERROR if is_set else WARNING
    return [Finding(code, severity, SETTINGS_FILE, what, why, advice, WITHOUT_FILE)]


def _trained_length(
    checkpoint: Checkpoint, positions: int | None
) -> tuple[int | None, list[Finding]]:
    """Return the most tokens of a text, and a note where training cut texts shorter."""
    for file, key in (
        ("model_args.json", "max_seq_length"),
        ("sentence_bert_config.json", "max_seq_length"),
    ):
        found = checkpoint.tables.get(file, {}).get(key)
        if type(found) is int and 3 <= found < (positions or _UNLIMITED):
            note = Finding(
                "trained_length",
                NOTE,
                file,
                f"Training cut texts to {found} tokens; the encoder has positions for {positions or 'more'}.",
                "Of longer texts the model reads what it never saw in training.",
                f"Cut texts to {found} tokens in use, too.",
                WITHOUT_FILE,
            )
            return found, [note]
    return positions, []


def _left_over(document: Mapping[str, Any]) -> list[Finding]:
    """Return what the last call of a tokenizer left in its file."""
    findings = []
    truncation, padding = document.get("truncation"), document.get("padding")
    if isinstance(truncation, Mapping):
        findings.append(
            Finding(
                "truncation_left",
                WARNING,
                TOKENIZER_FILE,
                f"It cuts every text to {cut(truncation.get('max_length'))} tokens.",
                "Whatever reads tokenizer.json itself, such as servers and browsers, cuts longer texts "
                "silently; transformers wrote there what the last call had set.",
                'Set "truncation" to null there; the length belongs into model_max_length.',
                WITHOUT_FILE,
            )
        )
    if isinstance(padding, Mapping):
        strategy = padding.get("strategy")
        how = "of a batch to the longest"
        if isinstance(strategy, Mapping):
            how = f"to {cut(strategy.get('Fixed'))} tokens"
        findings.append(
            Finding(
                "padding_left",
                WARNING,
                TOKENIZER_FILE,
                f"It pads every text {how}.",
                "Padding that nobody asked for costs time, and is read as text where no mask is passed on.",
                'Set "padding" to null there.',
                WITHOUT_FILE,
            )
        )
    return findings


def _unknown_token(document: Mapping[str, Any]) -> list[Finding]:
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
        return [_refused(TOKENIZER_FILE, str(reason))]
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
