"""The files of one folder, each read once: what is hashed is what is parsed.

A file that is changed or replaced later changes nothing of what was read; of one that is mapped, the
change is noticed. With the SHA-256 that each
file must have, the digest is computed from the same bytes; that of weights is compared by `verify`,
which who reads must call before the result is used.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multihot.core.text_tables import printable
from multihot.errors import MultihotError
from multihot.gate.folder_files import (
    MAX_FILE_BYTES,
    open_folder_file,
    read_folder_file,
    shown_file,
)
from multihot.gate.json_documents import MAX_JSON_BYTES, parse_json_object
from multihot.gate.mapped_file import MappedFile, map_folder_file
from multihot.gate.tensor_headers import (
    TENSOR_TYPES,
    WEIGHT_TYPES,
    TensorHeader,
    parse_tensor_header,
    read_tensor_header,
)

__all__ = ["FolderContents"]

_LARGE = 256 << 20  # bytes that only a file of tensors has


class _Reading:
    """A file that a thread reads."""

    def __init__(self, read: Callable[[], tuple[TensorHeader, memoryview]]) -> None:
        self._found: tuple[TensorHeader, memoryview] | None = None
        self._failure: BaseException | None = None
        # It does not keep `read`, nor what that belongs to: such a circle would outlive its use.
        self._thread = threading.Thread(target=self._run, args=(read,), daemon=True)
        self._thread.start()

    def result(self) -> tuple[TensorHeader, memoryview]:
        """Wait until the file is read; return what it holds, or raise what failed."""
        self.join()
        if self._found is None:
            assert self._failure is not None
            raise self._failure
        return self._found

    def join(self) -> None:
        """Wait until the file is read."""
        self._thread.join()

    def _run(self, read: Callable[[], tuple[TensorHeader, memoryview]]) -> None:
        try:
            self._found = read()
        except BaseException as failure:  # noqa: BLE001 - it is raised where the result is asked for
            self._failure = failure


class FolderContents:
    """Reads the files of a folder that may come from anyone.

    Parameters
    ----------
    folder
        The folder.
    error
        The class of what is raised for every file that is not as it must be.
    digests
        SHA-256 by name, in hex digits; `None`: nothing is compared. Files that are not in it are not
        read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        error: type[MultihotError],
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.error = error
        self.digests = digests
        self._found: dict[str, str] = {}
        self._readings: dict[str, _Reading] = {}
        self._mapped: list[MappedFile] = []

    def content(self, name: str, *, most_bytes: int) -> memoryview:
        """Return the bytes of a file; raise the error for what is no regular file or was changed."""
        self._require_listed(name)
        content = self._read(name, most_bytes)
        self._compare(name)
        return content

    def json_object(self, name: str, *, most_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
        """Return the JSON object in a file, as `parse_json` reads it."""
        content = self.content(name, most_bytes=most_bytes)
        return parse_json_object(content, self.folder / name, error=self.error)

    def mapped(self, name: str) -> MappedFile:
        """Return a file as it is mapped into memory; raise the error as `content` does."""
        self._require_listed(name)
        mapped = map_folder_file(self.folder, name, error=self.error)
        self._found[name] = mapped.digest
        self._compare(name)
        return mapped

    def begin_tensors(
        self, name: str, *, dtypes: Collection[str] = WEIGHT_TYPES, mapped: bool = False
    ) -> None:
        """Begin to read a safetensors file in a thread of its own; `tensors` waits for it.

        What is wrong with the file is raised there. With `mapped` its bytes stay those of the file,
        whose pages processes share, until they are written to: ask `require_unchanged` before they
        are used, and afterwards.
        """
        self._require_listed(name)
        read = self._map_tensors if mapped else self._read_tensors
        self._readings[name] = _Reading(lambda: read(name, dtypes))

    def tensors(
        self, name: str, *, dtypes: Collection[str] = WEIGHT_TYPES
    ) -> tuple[TensorHeader, memoryview]:
        """Return what a safetensors file holds, and its bytes.

        Call `verify` before the tensors are used for anything.
        """
        if name not in self._readings:
            self.begin_tensors(name, dtypes=dtypes)
        return self._readings[name].result()

    def _read_tensors(self, name: str, dtypes: Collection[str]) -> tuple[TensorHeader, memoryview]:
        # The header first: a file that is none of tensors is not read at all.
        read_tensor_header(self.folder, name, error=self.error, dtypes=dtypes)
        content = self._read(name, MAX_FILE_BYTES)
        header = parse_tensor_header(content, self.folder / name, error=self.error, dtypes=dtypes)
        return header, content

    def _map_tensors(self, name: str, dtypes: Collection[str]) -> tuple[TensorHeader, memoryview]:
        read_tensor_header(self.folder, name, error=self.error, dtypes=dtypes)
        mapped = map_folder_file(self.folder, name, error=self.error, writable=True)
        self._found[name] = mapped.digest
        self._mapped.append(mapped)
        path = self.folder / name
        header = parse_tensor_header(mapped.content, path, error=self.error, dtypes=dtypes)
        return header, mapped.content

    def _read(self, name: str, most_bytes: int) -> memoryview:
        """Read a file, and compute its digest from what was read."""
        if self.digests is None:
            return read_folder_file(self.folder, name, most_bytes=most_bytes, error=self.error)
        digest = hashlib.sha256()
        content = read_folder_file(
            self.folder, name, most_bytes=most_bytes, error=self.error, on_part=digest.update
        )
        self._found[name] = digest.hexdigest()
        return content

    @contextmanager
    def verifying(self) -> Iterator[None]:
        """Verify all files when the block ends, or fails: that a file was changed explains the failure."""
        try:
            yield
        finally:
            self.verify()

    def verify(self) -> None:
        """Raise the error unless every file has its digest; those not read so far are read for it."""
        for reading in self._readings.values():
            reading.join()
        for name in self.digests or {}:
            if name not in self._found:
                self._found[name] = self.digest(name)
            self._compare(name)

    def require_unchanged(self) -> None:
        """Raise the error when a file whose tensors are mapped was written to since it was read."""
        for mapped in self._mapped:
            mapped.require_unchanged()

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a file that is not kept, in hex digits.

        A huge one of tensors must be as long as its header says.
        """
        is_of_tensors = name.endswith(".safetensors") and (self.folder / name).is_file()
        if is_of_tensors and (self.folder / name).stat().st_size > _LARGE:
            read_tensor_header(self.folder, name, error=self.error, dtypes=TENSOR_TYPES)
        handle, _ = open_folder_file(self.folder, name, most_bytes=MAX_FILE_BYTES, error=self.error)
        with handle:
            try:
                return hashlib.file_digest(handle, "sha256").hexdigest()
            except OSError as reason:
                raise self.error(
                    f"{shown_file(self.folder / name)} cannot be read: {reason.strerror}."
                ) from None

    def _require_listed(self, name: str) -> None:
        if self.digests is not None and name not in self.digests:
            raise self.error(f"{shown_file(self.folder)}: the SHA-256 of {name} is not known.")

    def _compare(self, name: str) -> None:
        if self.digests is None:
            return
        found, expected = self._found[name], self.digests[name]
        if found != expected:
            raise self.error(
                f"{shown_file(self.folder / name)} was changed after training (SHA-256 {found[:12]}..., "
                f"expected {printable(str(expected)[:12])}...). Its thresholds may not fit any more: "
                "restore the file, retrain, or fit them anew: multihot decide MODEL FILE --changed-weights."
            )
