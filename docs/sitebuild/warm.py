"""`multihot` for pages, without its imports: a process that has them forks one child for each command.

Of the five seconds that a short command takes, more than four are imports of torch and transformers. This
module alone is the process; `ask_warm.py` is the command, which waits for a child here.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["warm_socket"]

IMPORTED = (
    "torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "multihot.inference.torch_backend",
    "multihot.workflows.train",
    "multihot.workflows.evaluate",
    "multihot.workflows.pretrain",
)
_MOST = 1 << 20  # bytes of a command with its environment
_running: dict[str, str] = {}


def warm_socket() -> str:
    """Return the socket of this process's helper, which ends with it; start it where there is none."""
    if "socket" not in _running:
        folder = tempfile.TemporaryDirectory()
        path = str(Path(folder.name) / "socket")
        words = [sys.executable, __file__, path]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("The process that runs the commands of pages did not start.")
        _running["socket"] = path
        atexit.register(_end, process, folder)
    return _running["socket"]


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.wait()
    folder.cleanup()


def main(path: str) -> None:
    """Import everything, then fork for whoever asks, until the starting process has ended."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # so that children share these pages
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # whoever waits for a command is reaped by the kernel
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    os.write(1, b"ready\n")
    while sys.stdin.fileno() not in select.select([listening, sys.stdin], [], [])[0]:
        asking, _ = listening.accept()
        if not os.fork():
            listening.close()
            _wait_for(asking)
        asking.close()


def _wait_for(asking: socket.socket) -> NoReturn:
    """Run a command in a child, tell its process number and, in the end, its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, files, _, _ = socket.recv_fds(asking, _MOST, 3)
    wanted = json.loads(message)
    child = os.fork()
    if not child:
        asking.close()
        _run(wanted, files)
    asking.sendall(f"{child}\n".encode())
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, asking], [], [])[0]:
        os.kill(child, signal.SIGKILL)  # whoever asked has gone
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        asking.sendall(f"{status}\n".encode())
    os._exit(0)


def _run(wanted: dict[str, Any], files: list[int]) -> NoReturn:
    """Become the command: its files, folder, environment and words."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # Those of before know of other files: whether they can be sought in, and are terminals.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    sys.argv = ["multihot", *wanted["words"]]
    status = 1
    try:
        from multihot.cli.main import main as command_line

        status = command_line()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if (problem := sys.exception()) is not None:
            traceback.print_exception(problem)
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
