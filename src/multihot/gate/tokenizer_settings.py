"""`tokenizer_config.json` and the small files beside it: known keys alone, each of its type.

What may name a file, a folder, code or a template of a chat is left out: a tokenizer is built from the
files of its own folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut
from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file
from multihot.gate.tokenizer_json import MAX_ADDED_TOKENS, MAX_ID

__all__ = ["added_tokens", "encoder_facts", "named_tokens", "tokenizer_settings"]

_MAX_TEXT = 1024
_MAX_NAMED_TOKENS = 64
_MAX_LISTED_TOKENS = 2**13  # of all lists; transformers adds them in quadratic time
_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}(Tokenizer|TokenizerFast|Backend)")
_NAME = re.compile(r"[\w.+-]{1,64}")
_TOKEN_KEYS = {"content", "lstrip", "rstrip", "normalized", "single_word", "special", "__type"}
_LISTS_OF_TOKENS = (
    "additional_special_tokens",
    "extra_special_tokens",
    "model_specific_special_tokens",
)
_CODE = ("auto_map", "custom_tokenizer")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return type(value) is int and abs(value) < 2**31


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_side(value: object) -> bool:
    return value in ("left", "right")


def _is_class(value: object) -> bool:
    return (
        isinstance(value, str) and _CLASS.fullmatch(value) is not None and value != "AutoTokenizer"
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MAX_ADDED_TOKENS and all(map(_is_text, value))


def _is_integers(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) <= _MAX_NAMED_TOKENS and all(map(_is_integer, value))
    )


def _is_numbered(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MAX_ADDED_TOKENS
        and all(map(_is_integer, value.values()))
    )


_Check = Callable[[object], bool]
_TYPES: Mapping[_Check, tuple[str, str]] = {
    _is_class: ("the name of a tokenizer of transformers", "tokenizer_class"),
    _is_side: ("left or right", "padding_side truncation_side"),
    _is_number: ("a number", "model_max_length max_len"),
    _is_text: (
        f"a text of at most {_MAX_TEXT} characters",
        "errors vocab_type src_lang tgt_lang language task wordpieces_prefix backend processor_class "
        "truncation_strategy",
    ),
    _is_flag: (
        "true or false",
        "do_lower_case do_basic_tokenize tokenize_chinese_chars strip_accents clean_text "
        "add_prefix_space trim_offsets keep_accents remove_space split_by_punct use_fast legacy "
        "clean_up_tokenization_spaces split_special_tokens spaces_between_special_tokens "
        "legacy_behaviour use_default_system_prompt add_bos_token add_eos_token normalize "
        "only_label_first_subword is_local local_files_only normalization do_normalize "
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    ),
    _is_integer: (
        "an integer",
        "pad_token_type_id extra_ids offset max_length stride pad_to_multiple_of unk_id "
        "max_entity_length max_mention_length max_depth max_width pad_width pad_token_label",
    ),
    _is_texts: ("a list of texts", "model_input_names never_split"),
    _is_integers: ("a list of integers", "cls_token_box sep_token_box pad_token_box"),
    _is_numbered: ("names with integers", "tags_dict"),
}
_CHECKS: Mapping[str, tuple[_Check, str]] = {
    key: (check, expected) for check, (expected, keys) in _TYPES.items() for key in keys.split()
}


def tokenizer_settings(
    table: Mapping[str, Any], source: str | Path, *, error: type[MultihotError]
) -> dict[str, Any]:
    """Return the known keys of a `tokenizer_config.json`; raise `error` for values of another type.

    Keys that are not known are left out. A tokenizer with code of its own (`auto_map`) is refused.
    """
    for key in _CODE:
        if table.get(key):
            raise error(
                f"{shown_file(source)} sets '{key}', which can load code from elsewhere. Only tokenizers "
                "inside transformers are used; remove the key if this is one of them."
            )
    kept: dict[str, Any] = {}
    for key, value in table.items():
        if key in _CHECKS:
            is_right, expected = _CHECKS[key]
            if value is not None and not is_right(value):
                raise _wrong(source, key, value, expected, error)
            kept[key] = value
        elif key == "sp_model_kwargs" and value == {}:
            kept[key] = value
        elif key == "added_tokens_decoder":
            kept[key] = _numbered_tokens(value, source, error)
    return kept | named_tokens(table, source, error=error)


def named_tokens(
    table: Mapping[str, Any], source: str | Path, *, error: type[MultihotError]
) -> dict[str, Any]:
    """Return the special tokens that a table names; its other keys are left out."""
    kept: dict[str, Any] = {}
    num_listed = 0
    for key, value in table.items():
        if key in _LISTS_OF_TOKENS:
            kept[key] = _token_list(key, value, source, error)
            num_listed += len(value or ())
        elif key.endswith("_token") and key not in _CHECKS:
            if value is not None and not _is_token(value):
                raise _wrong(source, key, value, "a token", error)
            kept[key] = value
    if len(kept) > _MAX_NAMED_TOKENS:
        raise error(f"{shown_file(source)} names {len(kept)} special tokens; expected at most 64.")
    if num_listed > _MAX_LISTED_TOKENS:
        raise error(
            f"{shown_file(source)} lists {num_listed} special tokens; expected at most "
            f"{_MAX_LISTED_TOKENS}."
        )
    return kept


def added_tokens(
    table: Mapping[str, Any], source: str | Path, *, error: type[MultihotError]
) -> dict[str, int]:
    """Return the tokens of an `added_tokens.json` with their ids."""
    if len(table) > MAX_ADDED_TOKENS:
        raise error(
            f"{shown_file(source)} holds {len(table)} tokens; expected at most {MAX_ADDED_TOKENS}."
        )
    for token, number in table.items():
        if not _is_text(token) or type(number) is not int or not 0 <= number < MAX_ID:
            raise _wrong(source, token, number, "the id of a token", error)
    return dict(table)


def encoder_facts(table: Mapping[str, Any]) -> dict[str, str]:
    """Return what of an encoder's `config.json` decides on the class of its tokenizer."""
    kept = {}
    for key, pattern in (
        ("model_type", _NAME),
        ("transformers_version", _NAME),
        ("tokenizer_class", _CLASS),
    ):
        value = table.get(key)
        if isinstance(value, str) and pattern.fullmatch(value):
            kept[key] = value
    return kept


def _is_token(value: object) -> bool:
    """Return whether a value is a token: a text, or one with its properties."""
    if not isinstance(value, dict):
        return _is_text(value)
    flags = {key: flag for key, flag in value.items() if key not in ("content", "__type")}
    return (
        set(value) <= _TOKEN_KEYS
        and _is_text(value.get("content"))
        and value.get("__type", "AddedToken") == "AddedToken"
        and all(map(_is_flag, flags.values()))
    )


def _token_list(key: str, value: Any, source: str | Path, error: type[MultihotError]) -> Any:
    tokens = list(value.values()) if isinstance(value, dict) else value
    if value is not None and not (
        isinstance(tokens, list) and len(tokens) <= MAX_ADDED_TOKENS and all(map(_is_token, tokens))
    ):
        raise _wrong(source, key, value, "a list of tokens", error)
    return value


def _numbered_tokens(value: Any, source: str | Path, error: type[MultihotError]) -> Any:
    """Return the value of `added_tokens_decoder`."""
    is_right = isinstance(value, dict) and len(value) <= MAX_ADDED_TOKENS
    for number, token in value.items() if is_right else ():
        is_id = number.isascii() and number.isdigit() and len(number) < 9 and int(number) < MAX_ID
        if not is_id or not isinstance(token, dict) or not _is_token(token):
            raise _wrong(source, "added_tokens_decoder", {number: token}, "tokens by id", error)
    if not is_right:
        raise _wrong(source, "added_tokens_decoder", value, "tokens by id", error)
    return value


def _wrong(
    source: str | Path, key: str, value: object, expected: str, error: type[MultihotError]
) -> MultihotError:
    return error(f"{shown_file(source)} has {cut(key)[1:-1]}={cut(value)}; expected {expected}.")
