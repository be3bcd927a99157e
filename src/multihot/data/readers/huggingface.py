"""Read data sets of Hugging Face: a saved folder, a folder of data files, or a name on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from multihot.core.text_tables import listed
from multihot.data.readers.arrow_rows import arrow_batches, class_names
from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table, named_columns
from multihot.errors import DataError, MissingExtraError

__all__ = ["is_saved_dataset", "read_dataset"]

_PARQUET_REVISION = "refs/convert/parquet"
"""The branch in which the hub keeps its own Parquet conversion, one folder per configuration."""


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` of Hugging Face datasets wrote this folder."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def read_dataset(name: str, split: str | None = None, *, batch_rows: int = BATCH_ROWS) -> Table:
    """Open a split of a data set; class names replace class numbers.

    Parameters
    ----------
    name
        A folder, or on the hub `NAME[:CONFIGURATION][@REVISION]`.
    split
        Needed when there is more than one.
    batch_rows
        How many rows are read at once.

    Raises
    ------
    DataError
        The data set cannot be loaded, is a script, or has no such split, or the split has no rows.
    MissingExtraError
        datasets is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "hub", "Reading Hugging Face data sets") from None
    folder = Path(name)
    try:
        if is_saved_dataset(folder):
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(**_arguments(name))
    except Exception as error:  # noqa: BLE001 - the library raises many kinds, all about this data set
        raise _load_error(name, error) from None
    chosen, notes = _split_of(loaded, split, name)
    if not len(chosen):
        raise DataError("The split has no rows.", path=name)
    names, more = class_names(chosen.features.to_dict())
    columns = named_columns(chosen.column_names, name, None)

    def batches() -> Iterator[CellBatch]:
        tables = chosen.with_format("arrow").iter(batch_size=batch_rows)
        return arrow_batches(tables, names, name)

    return Table(columns, batches(), [*notes, *more], batches, class_names=names)


def _arguments(name: str) -> dict[str, Any]:
    """Return the arguments of `load_dataset` for `NAME[:CONFIGURATION][@REVISION]`."""
    if Path(name).is_dir():
        return {"path": name}
    match = re.fullmatch(r"([^:@]+)(?::([^:@]+))?(?:@(.+))?", name)
    if match is None:
        raise ValueError("a hub name is NAME[:CONFIGURATION][@REVISION]")
    path, configuration, revision = match.groups()
    key = "data_dir" if revision == _PARQUET_REVISION else "name"
    return {"path": path, key: configuration, "revision": revision}


def _load_error(name: str, error: Exception) -> DataError:
    said = str(error).partition("\n")[0] or type(error).__name__
    if "scripts are no longer supported" in said:
        path, _, configuration = name.partition("@")[0].partition(":")
        typed = f"{path}:{configuration or 'CONFIGURATION'}@{_PARQUET_REVISION}"
        return DataError(
            f"This data set is a script, which Hugging Face datasets no longer runs. Its hub page has a "
            f"Parquet conversion, in which every configuration is a folder: use {typed} with "
            "data.format=dataset and data.split=train. Or download the authors' text files, such as "
            "2018-E-c-En-train.txt, and name the file.",
            path=name,
        )
    return DataError(
        f"The data set cannot be loaded: {said}. Expected a folder, or a hub name "
        "NAME[:CONFIGURATION][@REVISION] and a connection.",
        path=name,
    )


def _split_of(loaded: Any, split: str | None, name: str) -> tuple[Any, list[str]]:
    """Return the wanted split of a data set, or its only one."""
    if not isinstance(loaded, Mapping):
        if split not in (None, str(loaded.split)):
            only = (
                f"the split '{loaded.split}' alone" if loaded.split else "not divided into splits"
            )
            raise DataError(
                f"There is no split '{split}' (data.split): this data set is {only}.", path=name
            )
        return loaded, []
    names = list(loaded)
    if split is None and len(names) == 1:
        return loaded[names[0]], [f"Split: '{names[0]}', the only one."]
    if split not in names:
        said = (
            "Choose a split with data.split=NAME."
            if split is None
            else f"There is no split '{split}'."
        )
        raise DataError(f"{said} The splits are: {listed(names)}.", path=name)
    return loaded[split], []
