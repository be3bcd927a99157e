"""One bash for the console blocks of a page, in the page's own folder."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from sitebuild.pages import ROOT
from sitebuild.warm import warm_socket

__all__ = ["Ran", "Shell", "ShellError", "commands", "free_port", "write_tools"]

SECONDS = 600


class ShellError(AssertionError):
    """A command did not end, or a server did not answer."""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def commands(source: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output that is shown for it."""
    found: list[tuple[str, str]] = []
    is_open = False
    for line in source.splitlines():
        if is_open:
            command, shown = found.pop()
            found.append((f"{command}\n{line.removeprefix('> ')}", shown))
        elif line.startswith("$ "):
            found.append((line[2:], ""))
        elif not found:
            raise ShellError(f"A console block begins with `$ `, not with: {line}")
        else:
            command, shown = found.pop()
            found.append((command, f"{shown}{line}\n"))
            continue
        is_open = _is_unfinished(found[-1][0])
    return found


def _is_unfinished(command: str) -> bool:
    if re.search(r"\\(\s+#.*)?$", command):
        return True
    here = re.search(r"<<-?\s*'?(\w+)'?", command)
    if here:
        return here[1] not in command.split("\n")[1:]
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


class Shell:
    """A bash whose variables and background processes last until it is closed."""

    def __init__(self, folder: Path, tools: Path, port: int) -> None:
        self._tools = tools
        self._port = port
        write_tools(tools)
        self._control, control = os.pipe()
        python_path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": python_path.rstrip(os.pathsep),
            "MULTIHOT_PORT": str(port),
            "MULTIHOT_ROOT": str(ROOT),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            pass_fds=(control,),
            start_new_session=True,
        )
        self._control_of_bash = control
        os.close(control)

    def run(self, command: str, *, background: bool = False) -> Ran:
        """Run a command to its end; one for the background until its server answers."""
        out, err = self._tools / "out", self._tools / "err"
        if background and not command.rstrip().endswith("&"):
            command = f"{command} &"
        wrapped = (
            f"{{ {command}\n}} </dev/null >{shlex.quote(str(out))} 2>{shlex.quote(str(err))}\n"
            f"echo $? >&{self._control_of_bash}\n"
        )
        assert self._bash.stdin is not None
        self._bash.stdin.write(wrapped.encode())
        self._bash.stdin.flush()
        status = int(self._answer(command))
        if re.search(r"multihot +serve\b.*&\s*$", command):
            self._wait_for_server(err)
        return Ran(status, out.read_text("utf-8", "replace"), err.read_text("utf-8", "replace"))

    def _answer(self, command: str) -> str:
        if not select.select([self._control], [], [], SECONDS)[0]:
            raise ShellError(f"No end after {SECONDS} seconds: {command}")
        answer = os.read(self._control, 100).decode().strip()
        if not answer:
            raise ShellError(f"The shell ended: {command}")
        return answer

    def _wait_for_server(self, err: Path) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self._port}/livez", timeout=5).close()
                return
            time.sleep(0.2)
        raise ShellError(f"The server does not answer.\n{err.read_text('utf-8', 'replace')}")

    def close(self) -> None:
        """End the shell and everything that it started."""
        os.close(self._control)
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._bash.pid, kind)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._bash.wait(5)
                if kind == signal.SIGTERM:
                    time.sleep(0.3)  # its children are stopping
        assert self._bash.stdin is not None
        with contextlib.suppress(OSError):
            self._bash.stdin.close()


def write_tools(folder: Path) -> None:
    """Write the commands that pages use: this checkout's `multihot`, this Python, a `pip` that installs nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    python = shlex.quote(sys.executable)
    serve = 'if [ "$1" = serve ] && [ -n "$MULTIHOT_PORT" ]; then shift; set -- serve --port "$MULTIHOT_PORT" "$@"; fi'
    pip = shlex.quote(str(Path(__file__).with_name("pip_install.py")))
    ask = shlex.quote(str(Path(__file__).with_name("ask_warm.py")))
    warm = f'exec {python} -I -S {ask} {shlex.quote(warm_socket())} "$@"'
    # What is measured, and what lasts, starts as it does for users.
    cold = f'case "$1" in serve|bench) exec {python} -m multihot "$@";; esac'
    tools = {
        "multihot": f"{serve}\n{cold}\n{warm}",
        "python": f'exec {python} "$@"',
        "python3": f'exec {python} "$@"',
        "pip": f'exec {python} {pip} "$@"',
    }
    for name, lines in tools.items():
        tool = folder / name
        tool.write_text(f"#!/bin/sh\n{lines}\n", "utf-8")
        tool.chmod(0o755)
