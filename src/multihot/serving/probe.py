"""Ask a server whether it is ready: `python -m multihot.serving.probe http://127.0.0.1:8000/readyz`.

The exit code is 0 where it answers with success, else 1, for health checks of containers, whose images have
no curl. Only the standard library is imported: it runs every few seconds beside the server.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["failure_of", "main"]

_USAGE = "usage: python -m multihot.serving.probe URL [TOKEN_FILE] [SECONDS]"
_MOST_TOKEN_BYTES = 4096
_SECONDS = 3.0


def main(arguments: Sequence[str]) -> int:
    """Run with the words of the command line; return the exit code."""
    if not 1 <= len(arguments) <= 3:
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    url, token_file, seconds = (*arguments, *("", str(_SECONDS))[len(arguments) - 1 :])
    try:
        reason = failure_of(url, token=_token(token_file), seconds=float(seconds))
    except ValueError as error:
        reason = str(error)
    if reason:
        sys.stderr.write(f"{url}: {reason}\n")
    return 1 if reason else 0


def failure_of(url: str, *, token: str | None = None, seconds: float = _SECONDS) -> str:
    """Return why a server does not answer with success; empty where it does."""
    place = urlsplit(url)
    if place.scheme != "http" or not place.hostname:
        return "expected an address such as http://127.0.0.1:8000/readyz"
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=seconds)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        connection.request("GET", place.path or "/", headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if 200 <= status < 300 else f"status {status}"


def _token(path: str) -> str | None:
    """Return the first line of a file, else what `MULTIHOT_TOKEN` says.

    A file that is not there is no error: without its token, a server that wants it says so.
    """
    if not path or not Path(path).is_file():
        return os.environ.get("MULTIHOT_TOKEN") or None
    with Path(path).open("rb") as handle:
        lines = handle.read(_MOST_TOKEN_BYTES).splitlines()
    return lines[0].strip().decode("latin-1") if lines else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
