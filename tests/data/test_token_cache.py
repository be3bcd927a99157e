"""An entry of the cache is complete or not there, and never another than what was written."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multihot.data.array_store import entry_of
from multihot.data.encode import EncodedRows, hold_rows, load_rows, store_rows
from multihot.data.text_windows import TextWindows
from multihot.data.tokens import TokenizedTexts
from multihot.errors import DataError, StorageError

KEY = "file 1, tokenizer 2"
FILES = {"ids", "offsets", "truncated", "codes", "hashes", "lines"}


def chunk(*texts: list[int], first: int = 0, dtype: type = np.uint16) -> EncodedRows:
    numbers = np.arange(first, first + len(texts))
    tokens = TokenizedTexts(
        np.array([number for text in texts for number in text], dtype=dtype),
        np.cumsum([0, *map(len, texts)]),
        numbers % 2 == 1,
    )
    codes = np.stack([numbers % 3, (numbers + 1) % 3], axis=1).astype(np.uint8)
    return EncodedRows(tokens, codes, (numbers * 2**40).astype(np.uint64), numbers + 2)


def chunks() -> Iterator[EncodedRows]:
    yield chunk([5, 6], [7])
    yield chunk([], [8, 9, 10], first=2)
    yield chunk([11], first=4)


def contents(rows: EncodedRows) -> list[object]:
    tokens = rows.tokens
    texts = [
        tokens.ids[start:end].tolist()
        for start, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
    ]
    others = (tokens.truncated, rows.codes, rows.hashes, rows.lines)
    return [texts, tokens.ids.dtype, *((other.tolist(), other.dtype) for other in others)]


def mapped(rows: EncodedRows) -> bool:
    """Return whether no array of the rows is a copy in memory."""

    def root(array: np.ndarray) -> object:
        while isinstance(array.base, np.ndarray):
            array = array.base
        return array.base

    arrays = (rows.tokens.ids, rows.tokens.offsets, rows.codes, rows.hashes, rows.lines)
    return all(type(root(array)).__name__ == "mmap" for array in arrays)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_stored_is_what_is_held_and_what_is_found_again(tmp_path: Path) -> None:
    held = hold_rows(chunks())
    stored = store_rows(tmp_path, KEY, chunks())
    found = load_rows(tmp_path, KEY)

    assert found is not None
    assert contents(held)[0] == [[5, 6], [7], [], [8, 9, 10], [11]]
    assert contents(held) == contents(stored) == contents(found)
    assert mapped(stored)
    assert mapped(found)
    assert not mapped(held)
    assert {path.stem for path in entry_of(tmp_path, KEY).glob("*.bin")} == FILES
    assert names(tmp_path) == [entry_of(tmp_path, KEY).name]


def test_rows_without_any_token_are_kept(tmp_path: Path) -> None:
    store_rows(tmp_path, KEY, iter([chunk([], [])]))
    found = load_rows(tmp_path, KEY)

    assert found is not None
    assert found.tokens.lengths.tolist() == [0, 0]


def test_large_vocabularies_keep_their_type(tmp_path: Path) -> None:
    stored = store_rows(tmp_path, KEY, iter([chunk([2**16 + 1], dtype=np.uint32)]))

    assert stored.tokens.ids.tolist() == [2**16 + 1]


def test_another_key_is_another_entry(tmp_path: Path) -> None:
    store_rows(tmp_path, KEY, chunks())

    assert load_rows(tmp_path, KEY + "!") is None
    assert load_rows(tmp_path / "nowhere", KEY) is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no meta": lambda entry: (entry / "meta.json").unlink(),
    "no JSON": lambda entry: (entry / "meta.json").write_text("{"),
    "a list": lambda entry: (entry / "meta.json").write_text("[]"),
    "no ids": lambda entry: (entry / "ids.bin").unlink(),
    "ids cut": lambda entry: cut(entry / "ids.bin"),
    "a bit of ids": lambda entry: flip(entry / "ids.bin"),
    "a bit of codes": lambda entry: flip(entry / "codes.bin"),
    "a bit of hashes": lambda entry: flip(entry / "hashes.bin"),
    "another key": lambda entry: (entry / "meta.json").write_text(
        (entry / "meta.json").read_text().replace(KEY, "other")
    ),
    "another format": lambda entry: (entry / "meta.json").write_text(
        (entry / "meta.json").read_text().replace('"format": 1', '"format": 0')
    ),
    "another shape": lambda entry: (entry / "meta.json").write_text(
        json.dumps(_with_shape(json.loads((entry / "meta.json").read_text())))
    ),
    "a file in its place": lambda entry: (entry.rename(entry.with_name("x")), entry.touch()),
    "an empty folder": lambda entry: (entry.rename(entry.with_name("x")), entry.mkdir()),
}


def _changed(entry: Path, name: str, array: np.ndarray) -> None:
    """Put another array into an entry, and its SHA-256 into the description."""
    (entry / f"{name}.bin").write_bytes(array.tobytes())
    meta = json.loads((entry / "meta.json").read_text())
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    meta["arrays"][name] = {"dtype": array.dtype.str, "shape": array.shape, "sha256": digest}
    (entry / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("ids", np.arange(7, dtype=np.int64)),
        ("ids", np.full(7, 99, np.uint16)),
        ("offsets", np.array([0, 2, 3, 3, 6, 8])),
        ("offsets", np.array([0, 3, 2, 3, 6, 7])),
        ("offsets", np.array([0, 2, 3, 3, 6])),
        ("codes", np.full((5, 2), 3, np.uint8)),
        ("codes", np.zeros((5, 3), np.uint8)),
        ("codes", np.full((5, 2), 1.5, np.float32)),
        ("codes", np.zeros(5, np.uint8)),
        ("truncated", np.zeros(4, np.bool_)),
        ("lines", np.zeros(5, np.float64)),
    ],
)
def test_arrays_that_do_not_fit_together_are_no_entry_whatever_vouches_for_them(
    tmp_path: Path, name: str, array: np.ndarray
) -> None:
    store_rows(tmp_path, KEY, chunks())
    _changed(entry_of(tmp_path, KEY), name, array)

    assert load_rows(tmp_path, KEY, num_labels=2, end=50) is None
    store_rows(tmp_path, KEY, chunks())

    found = load_rows(tmp_path, KEY, num_labels=2, end=50)
    assert found is not None
    assert contents(found) == contents(hold_rows(chunks()))


def _in_windows() -> Iterator[EncodedRows]:
    """Yield the chunks, every text of two tokens or more in two windows."""
    for each in chunks():
        tokens = each.tokens
        cuts = [[length - 1, 1] if length > 1 else [length] for length in tokens.lengths.tolist()]
        starts = np.cumsum([0, *(size for sizes in cuts for size in sizes)])
        windows = TextWindows(starts, np.cumsum([0, *map(len, cuts)]))
        yield replace(each, tokens=replace(tokens, windows=windows))


def test_windows_are_stored_with_the_tokens(tmp_path: Path) -> None:
    found = store_rows(tmp_path, KEY, _in_windows()).tokens.windows
    held = hold_rows(_in_windows()).tokens.windows

    for windows in (found, held):
        assert windows is not None
        assert windows.starts.tolist() == [0, 1, 2, 3, 3, 5, 6, 7]
        assert windows.first.tolist() == [0, 2, 3, 4, 6, 7]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("window_counts", np.array([1, 1, 1, 2, 1])),
        ("window_counts", np.array([2, 1, 0, 3, 1])),
        ("window_counts", np.array([2, 1, 2, 1, 1])),
        ("window_counts", np.array([2, 1, 1, 2])),
        ("window_counts", np.array([2.0, 1, 1, 2, 1])),
        ("window_lengths", np.array([1, 1, 1, 0, 2, 1, 2])),
        ("window_lengths", np.array([1, 1, 1, -1, 3, 1, 1])),
        ("window_lengths", np.array([[1], [1], [1], [0], [2], [1], [1]])),
    ],
)
def test_windows_that_do_not_divide_the_texts_are_no_entry(
    tmp_path: Path, name: str, array: np.ndarray
) -> None:
    store_rows(tmp_path, KEY, _in_windows())
    _changed(entry_of(tmp_path, KEY), name, array)

    assert load_rows(tmp_path, KEY, num_labels=2, end=50) is None


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "|O"},
        {"dtype": ["<i8"]},
        {"dtype": "<i8,<i8"},
        {"shape": [-1]},
        {"shape": [2.0]},
        {"shape": "7"},
        {"sha256": 5},
    ],
)
def test_a_description_that_makes_no_sense_is_no_entry(
    tmp_path: Path, change: dict[str, object]
) -> None:
    store_rows(tmp_path, KEY, chunks())
    path = entry_of(tmp_path, KEY) / "meta.json"
    meta = json.loads(path.read_text())
    meta["arrays"]["ids"] |= change
    path.write_text(json.dumps(meta))

    assert load_rows(tmp_path, KEY) is None


def test_an_entry_reads_no_file_outside_its_folder(tmp_path: Path) -> None:
    store_rows(tmp_path, KEY, chunks())
    entry = entry_of(tmp_path, KEY)
    (entry / "ids.bin").rename(tmp_path / "ids.bin")
    (entry / "ids.bin").symlink_to(tmp_path / "ids.bin")

    assert load_rows(tmp_path, KEY) is None


def _with_shape(meta: dict[str, dict[str, dict[str, object]]]) -> object:
    meta["arrays"]["ids"]["shape"] = [6]
    return meta


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_as_good_as_absent_and_is_made_anew(tmp_path: Path, damage: str) -> None:
    store_rows(tmp_path, KEY, chunks())
    DAMAGES[damage](entry_of(tmp_path, KEY))

    assert load_rows(tmp_path, KEY) is None
    store_rows(tmp_path, KEY, chunks())

    found = load_rows(tmp_path, KEY)
    assert found is not None
    assert contents(found) == contents(hold_rows(chunks()))
    assert set(names(tmp_path)) <= {entry_of(tmp_path, KEY).name, "x"}


def test_an_error_in_the_middle_passes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[EncodedRows]:
        yield chunk([1])
        raise DataError("line 7 is wrong")

    with pytest.raises(DataError):
        store_rows(tmp_path, KEY, broken())

    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process to kill")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("at_chunk", [0, 1, 3])
def test_a_builder_that_is_killed_harms_nobody(tmp_path: Path, at_chunk: int) -> None:
    def deadly() -> Iterator[EncodedRows]:
        for number, one in enumerate(chunks()):
            if number == at_chunk:
                os.kill(os.getpid(), signal.SIGKILL)
            yield one
        os.kill(os.getpid(), signal.SIGKILL)

    if (child := os.fork()) == 0:
        store_rows(tmp_path, KEY, deadly())
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    (left,) = names(tmp_path)

    assert left.startswith(f".{entry_of(tmp_path, KEY).name}.")
    assert load_rows(tmp_path, KEY) is None
    store_rows(tmp_path, KEY, chunks())
    assert load_rows(tmp_path, KEY) is not None

    # A week later the next builder sweeps up what the killed one left.
    os.utime(tmp_path / left, (0, 0))
    store_rows(tmp_path, KEY + "!", chunks())
    assert left not in names(tmp_path)


def test_an_entry_is_removed_when_no_run_used_it_for_a_month(tmp_path: Path) -> None:
    for key in ("old", "used"):
        store_rows(tmp_path, key, chunks())
        os.utime(entry_of(tmp_path, key) / "meta.json", (0, 0))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "meta.json").touch()
    os.utime(tmp_path / "mine" / "meta.json", (0, 0))

    assert load_rows(tmp_path, "used") is not None
    store_rows(tmp_path, KEY, chunks())

    kept = {entry_of(tmp_path, key).name for key in ("used", KEY)}
    assert set(names(tmp_path)) == {*kept, "mine"}


def test_builders_of_one_entry_do_not_hurt_each_other(tmp_path: Path) -> None:
    num_builders = 4
    barrier = threading.Barrier(num_builders)
    found: list[EncodedRows] = []

    def together() -> Iterator[EncodedRows]:
        for one in chunks():
            barrier.wait()
            yield one
        barrier.wait()

    builders = [
        threading.Thread(target=lambda: found.append(store_rows(tmp_path, KEY, together())))
        for _ in range(num_builders)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()

    assert [contents(rows) for rows in found] == [contents(hold_rows(chunks()))] * num_builders
    assert names(tmp_path) == [entry_of(tmp_path, KEY).name]


def test_what_is_open_stays_readable_when_its_entry_is_deleted(tmp_path: Path) -> None:
    stored = store_rows(tmp_path, KEY, chunks())
    for path in entry_of(tmp_path, KEY).iterdir():
        path.unlink()

    assert contents(stored) == contents(hold_rows(chunks()))


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError):
        store_rows(tmp_path / "file" / "tokens", KEY, chunks())


@pytest.mark.slow
def test_writing_takes_memory_for_one_chunk_only(tmp_path: Path) -> None:
    alive: list[int] = []

    def counted() -> Iterator[EncodedRows]:
        import gc
        import weakref

        references: list[weakref.ref[EncodedRows]] = []
        for number in range(20):
            one = chunk(list(range(50)), first=number)
            references.append(weakref.ref(one))
            yield one
            del one
            gc.collect()
            alive.append(sum(reference() is not None for reference in references))

    rows = store_rows(tmp_path, KEY, counted())

    assert len(rows.hashes) == 20
    assert max(alive) <= 1
