"""The processes of a server: sockets, workers, signals and draining.

The first SIGTERM, SIGINT or SIGHUP lets accepted requests come to their end, while new ones get 503; a second
one ends the process at once. With several workers a parent starts them anew when they die or hang.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from multihot.core.processors import usable_processors
from multihot.errors import MultihotError, OptionError
from multihot.inference.artifact import read_artifact
from multihot.serving.connections import BoundedConnection, set_header_seconds
from multihot.serving.log import log_line
from multihot.serving.options import ServeOptions
from multihot.serving.shared_counters import FOLDER_VARIABLE, forget_process, shared_metrics_folder

if TYPE_CHECKING:
    from multihot.serving.running import Running

__all__ = ["listen", "serve"]

_LINGER = 0.5  # seconds in which new requests are told that the server stops
_BACKLOG = 2048
_MOST_CONNECTIONS = 4096
_KEEP_ALIVE_SECONDS = 20
_TICK = 0.05  # seconds
_HANGS_SECONDS = 5.0  # without a sign of life; a worker that is loading is given more
_LOADING_SECONDS = 120.0
_RETRY_SECONDS = 5.0  # until a worker that could not load what others serve is tried again
_CUT_OFF = 4  # exit code of a worker that left requests without an answer
_ENDING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
_GRACE = 2  # seconds after draining, until what is left is cancelled


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise `OptionError` for an address that is not free or not ours."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OptionError(
            f"The server cannot listen on {host} port {port}: {reason}. Choose another --port or --host."
        ) from None
    bound.set_inheritable(True)
    return bound


def serve(options: ServeOptions, announce: Callable[[str], None]) -> int:
    """Answer requests until a signal ends it; return the exit code.

    `announce` gets the address as soon as requests are answered.
    Raises `MultihotError` where a model cannot be loaded or nothing can listen.
    """
    bound = listen(options.host, options.port)
    with bound:
        host, port = bound.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if options.workers == 1:
            os.environ.pop(FOLDER_VARIABLE, None)  # of another program; it need not be there
            from multihot.serving.app import create_app, start_running

            running = start_running(options)
            server = _Server(_config(options, lambda: create_app(running)), running)
            server.announce = lambda: announce(address)
            _drain_at_hangup(server)
            server.run([bound])
            return 1 if server.has_cut_off else 0
        for folder in options.models:
            read_artifact(folder)  # what is wrong with it is said once, and not by every worker
        _share_processors(options.workers)
        with shared_metrics_folder():
            return _Workers(options, bound, lambda: announce(address)).serve()


def _share_processors(workers: int) -> None:
    """Let each worker compute with its share of the processors, unless the user has said how many threads."""
    threads = max(1, usable_processors() // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # workers inherit it


def _config(options: ServeOptions, app: Callable[[], object]) -> uvicorn.Config:
    set_header_seconds(options.body_seconds)
    return uvicorn.Config(
        app,
        factory=True,
        http=BoundedConnection,
        ws="none",
        lifespan="on",
        workers=options.workers,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE,
    )


class _Server(uvicorn.Server):
    """Drains before it shuts down."""

    def __init__(
        self, config: uvicorn.Config, running: Running, *, parent: int | None = None
    ) -> None:
        super().__init__(config)
        self.has_cut_off = False
        """Whether accepted requests were left without an answer."""
        self.announce: Callable[[], None] | None = None
        self._running = running
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        if self.announce is not None:
            self.announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; end at once for a second signal."""
        if self._parent is not None and sig == signal.SIGINT:
            return  # of the terminal; the parent got it, too, and passes it on
        if self._running.is_draining:
            self.should_exit = self.force_exit = True
        self._running.drain()

    async def on_tick(self, counter: int) -> bool:
        """Return whether it is time to shut down; called ten times a second."""
        running = self._running
        if self._parent is not None and os.getppid() != self._parent:
            running.drain()  # nobody would pass on signals any more
        if await super().on_tick(counter):
            return True
        since = running.draining_since
        if since is None:
            return False
        waited = time.monotonic() - since
        return waited > running.options.drain_seconds or (
            waited > _LINGER and not running.num_active
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, and remember whether that came too early for a request."""
        self.has_cut_off = self._running.num_active > 0
        await super().shutdown(sockets)


class _Worker(multiprocess.Process):
    """A process that answers; made in the parent, and copied to the process itself."""

    def __init__(self, options: ServeOptions, bound: socket.socket) -> None:
        super().__init__(_config(options, _no_app), [bound])
        self._options = options
        self._parent = os.getpid()
        self._heard = time.monotonic()
        self._was_asked = self._has_started = False

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer requests; runs in the process itself."""
        threading.Thread(target=self.always_pong, daemon=True).start()
        for sig in _ENDING:
            if sig != signal.SIGTERM:  # of the terminal; the parent got it, too, and passes it on
                signal.signal(sig, signal.SIG_IGN)
        from multihot.serving.app import create_app, start_running

        try:
            running = start_running(self._options)
        except MultihotError as error:
            log_line(f"multihot serve: {error}")
            sys.exit(STARTUP_FAILURE)
        config = _config(self._options, lambda: create_app(running))
        self._server = server = _Server(config, running, parent=self._parent)
        server.run(sockets)
        if server.has_cut_off:
            sys.exit(_CUT_OFF)

    def is_alive(self, timeout: float = _HANGS_SECONDS) -> bool:
        """Return whether the process runs and gave a sign of life in time; does not wait for one."""
        if not self.process.is_alive():
            return False
        now = time.monotonic()
        try:
            while self.parent_conn.poll():
                self._has_started = self.parent_conn.recv()
                self._heard, self._was_asked = now, False
            if not self._was_asked:
                self.parent_conn.send(b"ping")
                self._was_asked = True
        except (OSError, EOFError):
            return False
        return now - self._heard < (timeout if self._has_started else _LOADING_SECONDS)

    def is_ready(self, timeout: float = 0.0) -> bool:
        """Return whether the process accepted requests when it was last asked."""
        return self._has_started

    def pong(self) -> None:
        """Tell the parent that this process lives, and whether it accepts requests."""
        self.child_conn.recv()
        self.child_conn.send(self._server is not None and self._server.started)


class _Workers(multiprocess.Multiprocess):
    """The parent of several workers."""

    def __init__(
        self, options: ServeOptions, bound: socket.socket, announce: Callable[[], None]
    ) -> None:
        is_kept = _ignores_hangup()
        super().__init__(_config(options, _no_app), [bound])
        if is_kept:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._options = options
        self._announce: Callable[[], None] | None = announce
        self._has_failed = self._has_cut_off = False
        self._retry_at = 0.0

    def serve(self) -> int:
        """Run until a signal ends it; return the exit code."""
        self.run()
        return 2 if self._has_failed else int(self._has_cut_off)

    def run(self) -> None:
        """Start workers, and look after them until a signal ends it."""
        self.init_processes()
        while not self.should_exit.wait(_TICK):
            self.handle_signals()
            self.keep_subprocess_alive()
        for bound in self.sockets:
            bound.close()  # or clients would wait for a worker that accepts nothing any more
        self.terminate_all()
        self.join_all()

    def handle_signals(self) -> None:
        """Act on a signal; those after one that ends the server stay for `join_all`."""
        while self.signal_queue and not self.should_exit.is_set():
            if self.signal_queue.pop(0) in _ENDING:
                self.should_exit.set()

    def init_processes(self) -> None:
        """Start the workers."""
        self.processes = [self._started() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Start a worker for each that has died or hangs."""
        for number, worker in enumerate(self.processes):
            if self.should_exit.is_set() or worker.is_alive():
                continue
            if worker.exitcode == STARTUP_FAILURE and time.monotonic() < self._retry_at:
                continue
            worker.kill()
            worker.join()
            forget_process(worker.pid)
            if worker.exitcode == STARTUP_FAILURE:
                if self._announce is not None:
                    self._has_failed = True
                    self.should_exit.set()
                    return
                self._retry_at = time.monotonic() + _RETRY_SECONDS  # the others go on
            log_line(f"multihot serve: worker {worker.pid} died; another one starts.")
            self.processes[number] = self._started()
        if self._announce is not None and any(worker.is_ready() for worker in self.processes):
            self._announce()
            self._announce = None

    def join_all(self) -> None:
        """Wait until the workers have drained; a second signal ends them at once."""
        deadline = time.monotonic() + self._options.drain_seconds + 2 * _GRACE
        while any(worker.process.is_alive() for worker in self.processes):
            if self._was_asked_again() or time.monotonic() > deadline:
                self._has_cut_off = True
                for worker in self.processes:
                    worker.process.kill()
            time.sleep(_TICK)
        super().join_all()
        self._has_cut_off |= any(worker.exitcode == _CUT_OFF for worker in self.processes)

    def _was_asked_again(self) -> bool:
        return any(sig in _ENDING for sig in self.signal_queue)

    def _started(self) -> _Worker:
        worker = _Worker(self._options, self.sockets[0])
        worker.start()
        return worker


def _ignores_hangup() -> bool:
    """Return whether `nohup` started this process."""
    return hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def _drain_at_hangup(server: _Server) -> None:
    """Let a terminal that is closed end the server as a signal does, unless `nohup` started it."""
    if hasattr(signal, "SIGHUP") and not _ignores_hangup():
        signal.signal(signal.SIGHUP, server.handle_exit)


def _no_app() -> object:
    raise AssertionError("the parent of workers answers nothing")
