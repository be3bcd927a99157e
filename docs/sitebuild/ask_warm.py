"""`python -I -S ask_warm.py SOCKET WORD ...`: let `warm.py` run `multihot WORD ...` with our files, and end as it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from types import FrameType


def main(path: str, words: list[str]) -> int:
    """Ask, pass signals on, and return the status."""
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(path)
    wanted = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}
    socket.send_fds(asking, [json.dumps(wanted).encode()], [0, 1, 2])
    answer = asking.makefile()
    child = int(answer.readline())

    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    return int(answer.readline())


if __name__ == "__main__":
    status = main(sys.argv[1], sys.argv[2:])
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)
