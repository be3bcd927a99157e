"""Ray running for a block: a cluster that is there, or one of our own that only this machine reaches."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from multihot.core.extras import require_ray
from multihot.core.processors import usable_processors
from multihot.core.staging import staged_folder
from multihot.errors import MultihotError, OptionError, TrainingError

__all__ = ["ray_cluster", "ray_errors"]

_OBJECT_STORE_BYTES = 256 << 20  # of a cluster that we start; more goes to its temporary folder
_SHORT_TEMPORARY, _MAX_TEMPORARY = "/tmp", 24  # noqa: S108 - a folder with a random name comes below it
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # else it calls an error what Ray Data does with every actor
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Where this is 0 Ray takes 127.0.0.1 for the address of the machine, and nothing listens elsewhere."""


@contextlib.contextmanager
def ray_cluster(actors: int | None = None) -> Iterator[None]:
    """Have Ray running in the block: that of `RAY_ADDRESS`, or one of our own on this machine.

    Ours listens on the loopback interface only, asks for a token that it makes up, has neither dashboard
    nor usage statistics, and is gone after the block with all of its files. Where the program has called
    `ray.init`, nothing is started or ended.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    TrainingError
        It does not start.
    """
    require_ray()
    address = os.environ.get("RAY_ADDRESS")
    own = _QUIET | _LOOPBACK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}
    with contextlib.ExitStack() as stack:
        # Before Ray is imported, which reads some of them only then.
        stack.enter_context(_environment(_QUIET if address else own))
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what is wrong is raised
        if not ray.is_initialized():
            folder = (
                None
                if address
                else stack.enter_context(staged_folder(_temporary(), is_output=False))
            )
            stack.callback(ray.shutdown)
            with _kept_signals(), ray_errors(), _without_stderr():
                _start(address, folder, actors)
        yield


def _temporary() -> Path:
    """Return a short name for what Ray writes: the names of sockets in it have 107 characters at most."""
    folder = Path(tempfile.gettempdir())
    is_long = len(str(folder)) > _MAX_TEMPORARY and os.access(_SHORT_TEMPORARY, os.W_OK)
    return (Path(_SHORT_TEMPORARY) if is_long else folder) / "mh-ray"


@cache
def _token() -> str:
    """Return what our clusters ask for; Ray keeps the first one of a process."""
    return secrets.token_hex(32)


def _start(address: str | None, folder: Path | None, actors: int | None) -> None:
    import ray
    from ray._private import ray_constants

    if not address and ray_constants.ENABLE_RAY_CLUSTER:
        raise OptionError(
            "The program imported Ray before, so that what is started now would listen to other machines. "
            "Call ray.init first, as you want it to be."
        )
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    own: dict[str, Any] = {
        "num_cpus": actors or usable_processors(),
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "_temp_dir": str(folder),
    }
    ray.init(address=address or "local", **(common if address else common | own))


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Have what libraries write to the standard error stream go nowhere; errors are raised."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Have the same handlers of signals after the block as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have variables set in the block, in processes that it starts, too."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def ray_errors() -> Iterator[None]:
    """Turn what Ray raises into our error behind it, or into a `TrainingError`."""
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, RuntimeError, ConnectionError, ValueError) as error:
        if isinstance(error, MultihotError) and not isinstance(error, RayError):
            raise
        raise _ours_behind(error) or TrainingError(
            f"Ray failed: {str(error).strip().splitlines()[-1] if str(error).strip() else error!r}"
        ) from error


def _ours_behind(error: BaseException | None) -> MultihotError | None:
    """Return the error of a worker that an error of Ray is about; of some, Ray has the text only."""
    while error is not None:
        cause = getattr(error, "cause", None)
        for each in (cause, error):
            if isinstance(each, MultihotError):
                return each
        if found := re.findall(r"^multihot\.errors\.(\w+): (.+)$", str(error), re.MULTILINE):
            name, message = found[-1]
            kind = getattr(import_module("multihot.errors"), name, TrainingError)
            return kind(message) if issubclass(kind, MultihotError) else TrainingError(message)
        error = error.__cause__
    return None
