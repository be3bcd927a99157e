"""Load a checked `tokenizer.json`, and turn whatever the tokenizers library fails with into a sentence.

The library is written in Rust. Where it gives up it raises `PanicException`, which is no `Exception`,
so that an ordinary handler lets it through.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from multihot.core.text_tables import cut
from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file
from multihot.gate.json_documents import parse_json
from multihot.gate.tokenizer_json import TokenizerContent, check_tokenizer_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "MAX_TOKENIZER_BYTES",
    "check_saved_tokenizer",
    "check_tokenizer_bytes",
    "library_errors",
    "parse_tokenizer",
    "refuse_pointer",
]

MAX_TOKENIZER_BYTES = 64 << 20
"""Bytes of a `tokenizer.json`; that of the largest vocabulary in use has 34 million."""

_MAX_VALUES = 2_500_000  # a piece of the largest vocabulary takes two
_accepted: dict[bytes, int] = {}
"""Largest id by SHA-256 of the content, of those that passed every check in this process."""

_MOST_ACCEPTED = 256
_POINTER = b"version https://git-lfs"
_MAX_PROBE_SECONDS = (
    0.1  # of this thread's processor, for one probe; an honest one takes a thousandth
)
_MAX_TOKENS_PER_BYTE = 64
_PROBE_LENGTHS = (16, 20, 24, 28, 32, 48, 64, 96, 128, 192, 256)
_PROBE_CHARACTERS = "a1 .\n\u00e9\u7684"
_MAX_OWN_CHARACTERS = 24
_MAX_PATTERN_SECONDS = 0.01  # for one probe of one pattern; one in use takes a fiftieth of it
_MAX_PROBES_SECONDS = 2.0  # for all probes; a pattern in use takes a hundredth of a second
_PATTERN_LENGTHS = (24, 48, 96, 256)
_PATTERN_UNITS = (
    *map(chr, range(32, 127)),
    *("\n", "\t", "\u00e9", "\u7684", "\u0438", "\u0627", "ab", "b c", "No. ", "e, "),
    "the quick brown fox jumps over the lazy dog ",
)
_MAX_TAIL = 1024
_GROWTH_PROBE = (
    "I'm so happy, it's 2024! \u00dcber \u00e9t\u00e9 \u7684\u4eba \u0438 \ufdfa \U0001f600\t#tag\n"
)


@contextmanager
def library_errors(error: type[MultihotError], what: str) -> Iterator[None]:
    """Raise `error` with `what` and the reason for all that the library fails with, panics included.

    Errors of our own, Ctrl-C and the end of the process pass.
    """
    try:
        yield
    except MultihotError:
        raise
    except BaseException as reason:
        if not isinstance(reason, Exception) and type(reason).__name__ != "PanicException":
            raise
        raise error(f"{what}: {cut(str(reason))}") from None


def refuse_pointer(
    content: bytes | memoryview, source: str | Path, error: type[MultihotError]
) -> None:
    """Raise `error` for a file of Git LFS that only says where the content is."""
    if bytes(content[: len(_POINTER)]) == _POINTER:
        raise error(
            f"{shown_file(source)} is a pointer of Git LFS, not the file itself. Fetch it with "
            "'git lfs pull', or copy the folder anew."
        )


def parse_tokenizer(
    content: bytes | memoryview, source: str | Path, *, error: type[MultihotError]
) -> tuple[Tokenizer, int]:
    """Return the tokenizer in the bytes of a `tokenizer.json`, and the largest of its ids.

    Padding and truncation are cleared. The bytes are checked first (see `check_tokenizer_json`), and some short texts are encoded
    afterwards.

    Parameters
    ----------
    content
        The file, as it was read.
    source
        Its path, for messages.
    error
        The class of what is raised for a file that is refused.
    """
    # The same bytes pass the same checks: several models of a process often have one tokenizer.
    digest = hashlib.sha256(content).digest()
    accepted = _accepted.get(digest)
    found = None if accepted is not None else check_tokenizer_bytes(content, source, error)
    from tokenizers import Tokenizer

    with library_errors(error, _unreadable(source)):
        tokenizer = Tokenizer.from_buffer(bytes(content))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if found is not None:
            _probe(tokenizer, found, source, error)
            # The library numbers added tokens itself where those of the file leave a gap.
            accepted = max([found.largest_piece, *tokenizer.get_added_tokens_decoder()])
            if len(_accepted) < _MOST_ACCEPTED:
                _accepted[digest] = accepted
    assert accepted is not None
    return tokenizer, accepted


def check_saved_tokenizer(
    tokenizer: Tokenizer, source: str | Path, *, error: type[MultihotError]
) -> None:
    """Raise `error` for a tokenizer that `parse_tokenizer` would refuse once it is saved.

    Call it before work whose result is saved with this tokenizer.
    """
    with library_errors(error, _unreadable(source)):
        content = tokenizer.to_str().encode()
    found = check_tokenizer_bytes(content, source, error)
    with library_errors(error, _unreadable(source)):
        _probe(tokenizer, found, source, error)


def _unreadable(source: str | Path) -> str:
    return f"{shown_file(source)}: is not a readable tokenizer file"


def check_tokenizer_bytes(
    content: bytes | memoryview, source: str | Path, error: type[MultihotError]
) -> TokenizerContent:
    """Return what the bytes of a `tokenizer.json` hold; raise `error` for one that is not safe to load.

    Nothing is loaded; see `check_tokenizer_json`.
    """
    refuse_pointer(content, source, error)
    if len(content) > MAX_TOKENIZER_BYTES:
        raise error(
            f"{shown_file(source)} has {len(content)} bytes; expected at most {MAX_TOKENIZER_BYTES}."
        )
    document = parse_json(content, source, error=error, max_values=_MAX_VALUES)
    try:
        return check_tokenizer_json(document)
    except ValueError as reason:
        raise error(f"{_unreadable(source)}: {reason}.") from None


def _probe(
    tokenizer: Tokenizer, content: TokenizerContent, source: str | Path, error: type[MultihotError]
) -> None:
    """Encode short texts; refuse a tokenizer that makes very long ones of them, or takes long."""
    num_tokens = len(tokenizer.encode(_GROWTH_PROBE, add_special_tokens=False).ids)
    if num_tokens > _MAX_TOKENS_PER_BYTE * len(_GROWTH_PROBE.encode()):
        raise error(
            f"{_unreadable(source)}: it makes {num_tokens} tokens of {len(_GROWTH_PROBE)} characters."
        )
    if not content.patterns:
        return
    own = "".join(dict.fromkeys(c for c in "".join(content.patterns) if c.isprintable()))
    own = own[:_MAX_OWN_CHARACTERS]
    _Probes(_unreadable(source), error).run(tokenizer, content.patterns, own)


class _Probes:
    """Tries patterns, first each alone and then all together, on short texts, and takes their time."""

    def __init__(self, what: str, error: type[MultihotError]) -> None:
        self._what, self._error = what, error
        self._start = time.thread_time()

    def run(self, tokenizer: Tokenizer, patterns: Sequence[str], own: str) -> None:
        """Raise the error where a text takes very long; `own` are characters of the patterns."""
        from tokenizers import Regex, normalizers

        for pattern in patterns:
            search = normalizers.Replace(Regex(pattern), "").normalize_str
            # The library gives up at once on a text that lacks a word which the pattern needs.
            tail = f"\x01{pattern[:_MAX_TAIL]}\x01" + pattern.replace("\\", "")[:_MAX_TAIL]
            for length in _PATTERN_LENGTHS:
                for unit in (*_PATTERN_UNITS, *own):
                    text = (unit * length)[:length] + tail
                    self._take(search, text, length, _MAX_PATTERN_SECONDS)
        for character in [*_PROBE_CHARACTERS, *own]:
            for length in _PROBE_LENGTHS:
                text = character * length + "\x01"
                self._take(
                    lambda text: tokenizer.encode(text, add_special_tokens=False),
                    text,
                    length,
                    _MAX_PROBE_SECONDS,
                )

    def _take(
        self, search: Callable[[str], object], text: str, length: int, most_seconds: float
    ) -> None:
        for _ in range(2):  # the first time may be slow for another reason
            start = time.thread_time()
            search(text)
            now = time.thread_time()
            if now - start <= most_seconds and now - self._start <= _MAX_PROBES_SECONDS:
                return
        raise self._error(f"{self._what}: its patterns take very long for {length} characters.")
