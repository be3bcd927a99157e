"""The components of a tokenizer around its model: of known types, of bounded number and growth.

Normalizers and pre-tokenizers change and split a text, a post-processor puts special tokens around it,
a decoder makes text of tokens.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from multihot.core.text_tables import cut
from multihot.gate.character_map import check_character_map
from multihot.gate.text_patterns import MAX_PATTERN_CHARACTERS, check_pattern, may_match_nothing

__all__ = [
    "COMPONENT_KINDS",
    "MAX_SPECIAL_TEXT",
    "bounded_integer",
    "bounded_text",
    "check_components",
    "components",
]

MAX_SPECIAL_TEXT = 1024
"""Characters of a prefix, a replacement or an added token."""

_MAX_COMPONENTS = 128
_MAX_GROWTH = 64  # characters that replacing may make of one
_MAX_TEMPLATE_TOKENS = 2**15  # around one text; 500 labels with descriptions take 15,000
_MAX_TOKEN_TYPE = 255
_BYTE_LEVEL_GROWTH = 4  # a character is at most four bytes

_NORMALIZERS = (
    *("BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt"),
    *("Precompiled", "Prepend", "Replace", "Sequence", "Strip", "StripAccents"),
)
_PRE_TOKENIZERS = (
    *("BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace"),
    *("Punctuation", "Sequence", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"),
)
_POST_PROCESSORS = (
    *("BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"),
)
_DECODERS = (
    *("BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace"),
    *("Sequence", "Strip", "WordPiece"),
)
COMPONENT_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "normalizer": ("normalizers", _NORMALIZERS),
    "pre_tokenizer": ("pretokenizers", _PRE_TOKENIZERS),
    "post_processor": ("processors", _POST_PROCESSORS),
    "decoder": ("decoders", _DECODERS),
}
"""By key of the document: the key of the parts of a sequence, and the types that are known."""


def check_components(document: Mapping[str, Any], ids: Mapping[str, int]) -> list[str]:
    """Raise `ValueError` for components that are unknown, too many, or can make a text very long.

    Parameters
    ----------
    document
        A parsed `tokenizer.json`.
    ids
        Of all pieces and added tokens.

    Returns
    -------
    list[str]
        The regular expressions in them, which `check_pattern` has passed.
    """
    patterns: list[str] = []
    for kind in COMPONENT_KINDS:
        parts = list(components(document.get(kind), kind))
        for part in parts:
            _check_strings(part, kind)
            patterns += _patterns(part)
        if kind == "post_processor":
            _check_post_processors(parts, ids)
        else:
            _check_growth(parts, kind)
    for pattern in patterns:
        check_pattern(pattern)
    return patterns


def bounded_text(
    owner: Mapping[str, Any], key: str, what: str, most: int = MAX_SPECIAL_TEXT
) -> str:
    """Return `owner[key]`; raise `ValueError` for anything but a text of at most `most` characters."""
    value = owner.get(key)
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(
            f"{what} has {key}={cut(value)}; expected a text of at most {most} characters"
        )
    return value


def bounded_integer(value: object, what: str, most: int, least: int = 0) -> int:
    """Return an integer of an accepted range; raise `ValueError` for anything else."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is {cut(value)}; expected an integer from {least} to {most}")
    return value


def components(component: Any, kind: str) -> Iterator[dict[str, Any]]:
    """Yield a component, and those inside it when it is a sequence of them, in their order."""
    inner_key, known = COMPONENT_KINDS[kind]
    pending = [] if component is None else [component]
    number = 0
    while pending:
        each = pending.pop()
        number += 1
        if number > _MAX_COMPONENTS:
            raise ValueError(f"the {kind} has more than {_MAX_COMPONENTS} parts")
        if not isinstance(each, dict) or each.get("type") not in known:
            found = each.get("type") if isinstance(each, dict) else each
            raise ValueError(
                f"the {kind} has a part of type {cut(found)}; expected one of those known"
            )
        if each["type"] != "Sequence":
            yield each
            continue
        inner = each.get(inner_key)
        if not isinstance(inner, list):
            raise ValueError(f"the {kind} is a sequence of {cut(inner)}; expected a list")
        pending += reversed(inner)


def _check_strings(component: Mapping[str, Any], kind: str) -> None:
    """Bound every text and number in a component, other than the two large ones."""
    if component["type"] == "TemplateProcessing":
        return
    for key, value in component.items():
        if key == "precompiled_charsmap":
            continue
        if isinstance(value, str) and len(value) > MAX_SPECIAL_TEXT:
            raise ValueError(f"the {kind} {component['type']} has {key} of {len(value)} characters")
        if type(value) is int and not 0 <= value < 2**31:
            raise ValueError(f"the {kind} {component['type']} has {key}={value}")
    if component["type"] == "FixedLength":
        bounded_integer(component.get("length"), "length of FixedLength", 2**31 - 1, 1)
    if component["type"] == "Prepend" and not component.get("prepend"):
        raise ValueError(f"the {kind} Prepend puts nothing before a text")
    if "pattern" in component:
        _pattern(component)


def _pattern(component: Mapping[str, Any]) -> tuple[str, str]:
    """Return `String` or `Regex` and the pattern of a component."""
    pattern = component.get("pattern")
    if isinstance(pattern, dict) and len(pattern) == 1:
        kind, text = next(iter(pattern.items()))
        if kind in ("String", "Regex") and isinstance(text, str):
            if len(text) > MAX_PATTERN_CHARACTERS:
                raise ValueError(
                    f"a pattern has {len(text)} characters; expected at most {MAX_PATTERN_CHARACTERS}"
                )
            return kind, text
    raise ValueError(f"the pattern of {component['type']} is {cut(pattern)}")


def _patterns(component: Mapping[str, Any]) -> list[str]:
    """Return the regular expressions of a component."""
    if "pattern" not in component:
        return []
    kind, text = _pattern(component)
    return [text] if kind == "Regex" else []


def _check_growth(components: list[dict[str, Any]], kind: str) -> None:
    """Bound how many characters all components together can make of one."""
    growth, num_charsmaps = 1, 0
    for component in components:
        if component["type"] == "ByteLevel":
            growth *= _BYTE_LEVEL_GROWTH
        elif component["type"] == "Replace":
            content = bounded_text(component, "content", f"the {kind} Replace")
            pattern_kind, pattern = _pattern(component)
            if pattern_kind == "String":
                growth *= max(1, -(-len(content) // len(pattern)) if pattern else len(content) + 1)
            else:
                growth *= len(content) + 1 if may_match_nothing(pattern) else max(1, len(content))
        elif component["type"] == "Precompiled":
            num_charsmaps += 1
            _check_charsmap(component.get("precompiled_charsmap"))
        if growth > _MAX_GROWTH or num_charsmaps > 1:
            raise ValueError(
                f"the {kind} can make more than {_MAX_GROWTH} characters of one, or has two character "
                "maps"
            )


def _check_charsmap(encoded: Any) -> None:
    try:
        raw = base64.b64decode(encoded if isinstance(encoded, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("precompiled_charsmap is not valid base64") from None
    check_character_map(raw)


def _check_post_processors(components: list[dict[str, Any]], ids: Mapping[str, int]) -> None:
    """Check that each special token around a text has the id that the vocabulary gives it."""
    num_tokens = 0
    num_templates = sum(each["type"] == "TemplateProcessing" for each in components)
    if num_templates > 1:  # the library gives up on parts that a template has already put together
        raise ValueError(f"the post_processor has {num_templates} templates; expected at most one")
    for component in components:
        if component["type"] in ("BertProcessing", "RobertaProcessing"):
            for key in ("sep", "cls"):
                pair = component.get(key)
                if not isinstance(pair, list) or len(pair) != 2:
                    raise ValueError(f"{component['type']} has {key}={cut(pair)}")
                _check_special(pair[0], pair[1], ids)
        elif component["type"] == "TemplateProcessing":
            num_tokens += _check_template(component, ids)
    if num_tokens > _MAX_TEMPLATE_TOKENS:
        raise ValueError(
            f"{num_tokens} special tokens are put around a text; expected at most "
            f"{_MAX_TEMPLATE_TOKENS}"
        )


def _check_special(token: Any, number: Any, ids: Mapping[str, int]) -> None:
    if not isinstance(token, str) or type(number) is not int or ids.get(token) != number:
        found = ids.get(token) if isinstance(token, str) else None
        raise ValueError(
            f"the special token {cut(token)} around a text has the id {cut(number)}; the vocabulary "
            + (f"says {found}" if found is not None else "lacks it")
        )


def _check_template(component: Mapping[str, Any], ids: Mapping[str, int]) -> int:
    """Return how many tokens the longer of the two templates puts around texts."""
    specials = component.get("special_tokens")
    if not isinstance(specials, dict):
        raise ValueError(f"special_tokens of the template is {cut(specials)}; expected an object")
    sizes: dict[str, int] = {}
    for name, special in specials.items():
        pairs = [
            special.get(key) if isinstance(special, dict) else None for key in ("tokens", "ids")
        ]
        tokens, numbers = pairs
        if (
            not isinstance(tokens, list)
            or not isinstance(numbers, list)
            or len(tokens) != len(numbers)
        ):
            raise ValueError(f"the special token {cut(name)} of the template is {cut(special)}")
        if special.get("id") != name:
            raise ValueError(f"the special token {cut(name)} names itself {cut(special.get('id'))}")
        for token, number in zip(tokens, numbers, strict=True):
            _check_special(token, number, ids)
        sizes[name] = len(numbers)
    wanted = {"single": ["A"], "pair": ["A", "B"]}
    return max(
        _check_pieces(component.get(key), key, texts, sizes) for key, texts in wanted.items()
    )


def _check_pieces(pieces: Any, key: str, texts: list[str], sizes: Mapping[str, int]) -> int:
    """Return how many tokens one template puts around its texts, each of which it holds once."""
    if not isinstance(pieces, list) or len(pieces) > _MAX_TEMPLATE_TOKENS:
        raise ValueError(
            f"the template '{key}' is {cut(pieces)}; expected at most {_MAX_TEMPLATE_TOKENS} parts"
        )
    num_tokens, found = 0, []
    for piece in pieces:
        kind, content = (
            next(iter(piece.items()), (None, None)) if isinstance(piece, dict) else (None, 0)
        )
        if (
            kind not in ("Sequence", "SpecialToken")
            or not isinstance(content, dict)
            or len(piece) > 1
        ):
            raise ValueError(f"the template '{key}' has the part {cut(piece)}")
        bounded_integer(
            content.get("type_id", 0), f"type_id in the template '{key}'", _MAX_TOKEN_TYPE
        )
        name = content.get("id")
        if kind == "Sequence":
            found.append(name)
        elif not isinstance(name, str) or name not in sizes:
            raise ValueError(
                f"the template '{key}' names the special token {cut(name)}, but does not describe it"
            )
        else:
            num_tokens += sizes[name]
    if sorted(map(str, found)) != texts and not (key == "pair" and not pieces):
        raise ValueError(
            f"the template '{key}' holds the texts {cut(found)}; expected each of {cut(texts)} once"
        )
    return num_tokens
