"""What `multihot serve` is asked for, checked before anything is loaded."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from multihot.core.text_tables import cut
from multihot.errors import OptionError, system_errors

__all__ = [
    "ServeOptions",
    "checked_token",
    "is_loopback",
    "own_names",
    "read_token",
    "same_secret",
]

_FEWEST_TOKEN_CHARACTERS = 16
_MOST_TOKEN_CHARACTERS = 4096
_MOST_PORT = 65_535


@dataclass(frozen=True)
class ServeOptions:
    """Where a server listens, whom it answers, and how much it takes at once.

    Raises `OptionError` for values out of range, and for an address that other machines reach without a
    token.
    """

    models: tuple[str, ...]
    """Folders; the first one answers where a request names no model."""
    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""
    workers: int = 1
    """Processes that answer."""
    backend: str = "auto"
    token: str | None = field(default=None, repr=False)
    """What clients must know."""
    insecure: bool = False
    """Whether other machines may ask without a token."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which clients may call the server, beside its addresses and this machine's name."""
    allowed_origins: tuple[str, ...] = ()
    """Of pages elsewhere that may ask, such as `https://example.org`."""
    max_texts: int = 32
    """In one request."""
    max_characters: int = 100_000
    """In one text."""
    max_body_bytes: int = 2_000_000
    pass_tokens: int = 2048
    """Tokens that are computed together, about."""
    max_queue_tokens: int = 16_384
    """Tokens that wait at most; what comes then is refused at once (429)."""
    deadline_seconds: float = 10.0
    """From the beginning of a request to its answer (504)."""
    body_seconds: float = 10.0
    """For a client to send headers, and a body (408)."""
    drain_seconds: float = 30.0
    """For accepted requests after SIGTERM."""
    log_requests: bool = False
    """Whether a line is written for each request; texts are in none."""

    def __post_init__(self) -> None:
        if not self.models:
            raise OptionError("There is no model to serve: name a folder.")
        _between("port", self.port, 0, _MOST_PORT)
        _between("workers", self.workers, 1, 256)
        _between("max_texts", self.max_texts, 1, 10_000)
        _between("max_characters", self.max_characters, 1, 10_000_000)
        _between("max_body_bytes", self.max_body_bytes, 1024, 1 << 30)
        _between("pass_tokens", self.pass_tokens, 1, 1 << 30)
        _between("max_queue_tokens", self.max_queue_tokens, 1, 1 << 30)
        for name in ("deadline_seconds", "body_seconds", "drain_seconds"):
            _between(name, getattr(self, name), 0.05, 3600)
        if not is_loopback(self.host) and self.token is None and not self.insecure:
            raise OptionError(
                f"host is {cut(self.host)}, which other machines reach, and there is no token. Give one with "
                "--token-file, or say --insecure."
            )


def _between(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise OptionError(f"{name} is {value}; expected {least} to {most}.")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_names() -> frozenset[str]:
    """Return the names by which this machine calls itself, in lower case."""
    return frozenset({"localhost", socket.gethostname().lower()})


def read_token(path: str) -> str:
    """Return the token in the first line of a file; raises as `checked_token` does."""
    with system_errors(path), Path(path).open("rb") as handle:
        content = handle.read(_MOST_TOKEN_CHARACTERS + 2)
    first = content.splitlines()[0] if content.strip() else b""
    return checked_token(first.decode("utf-8", "replace").strip(), path)


def checked_token(token: str, source: str) -> str:
    """Return a token; raise `OptionError` for one that is easily guessed, or that no header can hold."""
    if not _FEWEST_TOKEN_CHARACTERS <= len(token) <= _MOST_TOKEN_CHARACTERS:
        raise OptionError(
            f"{source}: expected a token of {_FEWEST_TOKEN_CHARACTERS} to {_MOST_TOKEN_CHARACTERS} "
            "characters, such as 'openssl rand -hex 32' prints."
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise OptionError(f"{source}: a token consists of ASCII characters without spaces.")
    return token


def same_secret(given: str, expected: str) -> bool:
    """Compare in a time that does not tell how much agrees."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
