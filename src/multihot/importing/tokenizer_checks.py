"""What is wrong with the tokenizer of a checkpoint, and with the length that it allows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.data.tokens import load_tokenizer
from multihot.errors import EncoderError
from multihot.gate.folder_files import read_folder_file
from multihot.gate.json_documents import parse_json_object
from multihot.gate.tokenizer_files import SETTINGS_FILE, TOKENIZER_FILE, read_tokenizer_settings
from multihot.gate.tokenizer_loading import (
    MAX_TOKENIZER_BYTES,
    library_errors,
    parse_tokenizer,
)
from multihot.importing.checkpoint import Checkpoint
from multihot.importing.findings import ERROR, NOTE, WARNING, WITHOUT_FILE, Finding
from multihot.importing.token_checks import (
    check_tokens,
    check_unknown_token,
    refused_tokenizer,
)
from multihot.models.encoder import max_tokens, position_offset

__all__ = [
    "VOCABULARY_FILES",
    "TokenizerFacts",
    "check_tokenizer",
    "compare_built",
    "refused_tokenizer",
]

_VOCABULARIES = (
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "tokenizer.model",
    "bpe.codes",
)
VOCABULARY_FILES = (TOKENIZER_FILE, *_VOCABULARIES)
"""Files that a tokenizer can be built of."""

_PROBES = ("I'm so Happy, it's 2024!", "\u00dcber \u00e9t\u00e9", "\u7684\u4eba", "a  b\n#tag")
_UNLIMITED = 1_000_000  # tokens; transformers writes 1e30 where nobody set a limit
_DEFAULT_PAD = 1  # of RoBERTa's family, where the configuration names none


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
    folder = _folder(checkpoint)
    try:
        settings = read_tokenizer_settings(folder, error=EncoderError)
    except EncoderError as reason:
        return TokenizerFacts(None, (refused_tokenizer(SETTINGS_FILE, str(reason)),))
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
        findings += [*_left_over(document), *check_unknown_token(document)]
        tokenizer, _ = parse_tokenizer(content, folder / TOKENIZER_FILE, error=EncoderError)
    except EncoderError as reason:
        # The texts that are tried hold characters that a vocabulary may lack.
        if not any(finding.code == "unknown_token_missing" for finding in findings):
            findings.append(refused_tokenizer(TOKENIZER_FILE, str(reason)))
    if tokenizer is None:
        return TokenizerFacts(length, tuple(findings))
    findings += check_tokens(checkpoint, settings, tokenizer, num_embeddings)
    return TokenizerFacts(length, tuple(findings))


def compare_built(checkpoint: Checkpoint, built: Any) -> list[Finding]:
    """Return whether transformers builds the same tokenizer as is stored, by a few texts."""
    folder = _folder(checkpoint)
    if not os.path.lexists(folder / TOKENIZER_FILE):
        return []
    stored = load_tokenizer(folder / TOKENIZER_FILE)
    with library_errors(EncoderError, "The tokenizer fails"):
        pairs = [[each.encode(text).tokens for each in (stored, built)] for text in _PROBES]
    different = next((pair for pair in pairs if pair[0] != pair[1]), None)
    if different is None:
        return []
    alone, from_settings = (listed(tokens, 8) for tokens in different)
    return [
        Finding(
            "tokenizer_differs",
            WARNING,
            TOKENIZER_FILE,
            f"tokenizer.json alone makes {alone} of a text, transformers makes {from_settings}.",
            "transformers 5 builds some tokenizers anew from the vocabulary and tokenizer_config.json; "
            "servers, browsers and transformers 4 take tokenizer.json as it is.",
            "Find out which of them training used, and save that one; --fix takes what transformers makes.",
        )
    ]


def _folder(checkpoint: Checkpoint) -> Path:
    """Return where the tokenizer is: beside the encoder, or in the folder above it."""
    folder = checkpoint.body
    if not os.path.lexists(folder / TOKENIZER_FILE) and folder != checkpoint.folder:
        return checkpoint.folder if _has(checkpoint.folder) else folder
    return folder


def _has(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in VOCABULARY_FILES)


def _without_file(folder: Path) -> list[Finding]:
    found = [name for name in _VOCABULARIES if os.path.lexists(folder / name)]
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
    stated: Any = settings.get("model_max_length", settings.get("max_len"))
    is_set = _is_number(stated) and 0 < stated < _UNLIMITED
    if positions is None or (is_set and stated <= positions):
        return []
    shown = "not set" if stated is None else f"{stated:g}" if _is_number(stated) else cut(stated)
    what = f"model_max_length is {shown}, and the encoder has positions for {positions} tokens."
    why = "A longer text is not cut: it ends in an index error, on a GPU in one that stops the process."
    advice = f"Set model_max_length to {positions}, and call the pipeline with truncation=True."
    code = "max_length_beyond_positions" if is_set else "max_length_unset"
    severity = ERROR if is_set else WARNING
    return [Finding(code, severity, SETTINGS_FILE, what, why, advice, WITHOUT_FILE)]


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


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
