"""Run a command in a process of its own, and note what it opens, starts, connects to and uses.

Two observers: Python's audit events, which do not see what compiled code opens, and, where strace is
installed, the calls of the system. POSIX only.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Meanwhile", "Observed", "observe", "under_strace"]

_PATIENCE = 60.0  # wall seconds
_TRACES = "MULTIHOT_CAMPAIGN_TRACES"  # the folder of what strace writes, a file for each thread
_OPENED = re.compile(r"open(?:at2?)?\(.* = \d+<(?P<path>.*)>(?:\(deleted\))?$")
_STARTED = re.compile(r'execve\("(?P<program>[^"]*)".* = 0$')
_CONNECTED = re.compile(r"connect\(.*(?P<address>\{sa_family=AF_INET.*\})")


@dataclass(frozen=True)
class Observed:
    """What one process did."""

    code: int
    output: str
    error: str
    seconds: float
    grown_bytes: int
    events: tuple[str, ...]
    """What it opened outside its places, started, connected to, and which code it imported."""


@dataclass(frozen=True)
class Meanwhile:
    """What somebody else does while the process runs."""

    act: Callable[[], None]
    when: int
    """When the process opens the folder's file of this number; 0: over and over, in a process beside."""


def under_strace(words: Sequence[str]) -> bool:
    """Start this program again under strace; this returns only where that is done, or not possible.

    Returns whether the program runs under strace.
    """
    if _TRACES in os.environ:
        atexit.register(shutil.rmtree, os.environ[_TRACES], ignore_errors=True)
        return True
    strace = shutil.which("strace")
    if strace is None:
        return False
    probe = subprocess.run([strace, "-qq", "true"], capture_output=True, check=False)
    if probe.returncode:
        return False
    os.environ[_TRACES] = tempfile.mkdtemp()
    options = ["-ff", "-y", "--seccomp-bpf", "-qq", "-s", "4096"]
    options += ["-e", "trace=open,openat,openat2,creat,execve,connect"]
    options += ["-o", f"{os.environ[_TRACES]}/trace"]
    os.execv(strace, [strace, *options, sys.executable, *words])


def observe(
    command: Callable[[], int],
    work: Path,
    *,
    folder: Path,
    places: Sequence[str | Path],
    code_of: str,
    meanwhile: Meanwhile | None = None,
) -> Observed:
    """Run `command` in a forked process and return what it did.

    Parameters
    ----------
    command
        Returns an exit code.
    work
        New folder, in which it runs.
    folder
        What it loads; the files that it opens there are counted for `meanwhile`.
    places
        Where it may open files; folders may be opened anywhere.
    code_of
        Part of the name of modules that must not be imported.
    """
    work.mkdir()
    files = [work / name for name in ("stdout", "stderr", "events")]
    allowed = [os.path.realpath(place) for place in (*places, work, folder)]
    before, beside = _resident_bytes(), _beside(meanwhile)
    _clear_traces()
    child = os.fork()
    if not child:
        _child(command, work, files, _Watch(allowed, str(folder), code_of, meanwhile))
    until = time.monotonic() + _PATIENCE
    while not (ended := os.wait4(child, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            ended = os.wait4(child, 0)
            break
        time.sleep(0.002)
    if beside:
        os.kill(beside, signal.SIGKILL)
        os.waitpid(beside, 0)
    output, error, events = (
        path.read_text("utf-8", errors="replace") if path.exists() else "" for path in files
    )
    usage = ended[2]
    return Observed(
        os.waitstatus_to_exitcode(ended[1]),
        output.replace(str(folder), "FOLDER"),
        error,
        usage.ru_utime + usage.ru_stime,
        max(0, usage.ru_maxrss * 1024 - before),
        (*events.splitlines(), *_traced(allowed, (os.getpid(), beside))),
    )


def _allowed(path: str, places: Sequence[str]) -> bool:
    """Return whether a path without links is in one of the places, or is a folder."""
    inside = any(path == place or path.startswith(f"{place}{os.sep}") for place in places)
    return inside or Path(path).is_dir()


class _Watch:
    """Receives the audit events of a process."""

    def __init__(
        self, places: Sequence[str], folder: str, code_of: str, meanwhile: Meanwhile | None
    ) -> None:
        self.events: list[str] = []
        self._places = places
        self._folder = folder
        self._code_of = code_of
        self._meanwhile = meanwhile if meanwhile is not None and meanwhile.when else None
        self._num_opened = 0
        self._acts = False

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if self._acts:
            return
        if event == "open" and isinstance(given[0], str | bytes):
            path = os.fsdecode(given[0])
            folder, name = os.path.split(path)
            follows = not given[2] & os.O_NOFOLLOW
            real = os.path.realpath(path if follows else folder)
            if not _allowed(real if follows else os.path.join(real, name), self._places):
                self.events.append(f"opened {path}")
            self._count(path)
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            self.events.append(f"started {given[0]}")
        elif event in ("socket.connect", "socket.getaddrinfo"):
            self.events.append(f"connected {given[-1]}")
        elif event == "import" and self._code_of in str(given[0]):
            self.events.append(f"imported {given[0]}")

    def _count(self, path: str) -> None:
        if self._meanwhile is None or not path.startswith(f"{self._folder}{os.sep}"):
            return
        if Path(path).is_dir():
            return
        self._num_opened += 1
        if self._num_opened == self._meanwhile.when:
            self._acts = True
            try:
                self._meanwhile.act()
            finally:
                self._acts = False


def _beside(meanwhile: Meanwhile | None) -> int:
    """Start a process that acts over and over; return its number, 0 for none."""
    if meanwhile is None or meanwhile.when:
        return 0
    beside = os.fork()
    if beside:
        return beside
    try:
        while True:
            meanwhile.act()
            time.sleep(0.0005)
    finally:
        os._exit(1)


def _child(command: Callable[[], int], work: Path, files: Sequence[Path], watch: _Watch) -> None:
    code = 99
    try:
        for number, path in enumerate(files[:2], 1):
            os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        resource.setrlimit(resource.RLIMIT_CPU, (20, 25))
        os.environ["TMPDIR"] = tempfile.tempdir = str(work)
        os.chdir(work)
        sys.addaudithook(watch)
        code = command()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - this is what is looked for
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        files[2].write_text("\n".join(watch.events), "utf-8")
        os._exit(code)


def _traces() -> list[Path]:
    return [*Path(os.environ[_TRACES]).glob("trace.*")] if _TRACES in os.environ else []


def _clear_traces() -> None:
    own = f".{os.getpid()}"
    for path in _traces():
        if path.suffix != own:
            path.unlink(missing_ok=True)


def _traced(places: Sequence[str], others: Sequence[int]) -> list[str]:
    """Return what strace saw of all threads but those of other processes."""
    events = []
    for path in _traces():
        if path.suffix in [f".{number}" for number in others]:
            continue
        for line in path.read_text("utf-8", errors="replace").splitlines():
            if (found := _OPENED.search(line)) and not _allowed(found["path"], places):
                events.append(f"opened {found['path']}")
            elif found := _STARTED.search(line):
                events.append(f"started {found['program']}")
            elif found := _CONNECTED.search(line):
                events.append(f"connected {found['address']}")
    return events


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()
