"""Shards of a file: contiguous rows in input order, each row in exactly one, and the names of their outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from multihot.core.text_tables import cut
from multihot.errors import OptionError

__all__ = ["Shard", "parse_shard", "shard_path", "shards_beside"]

_MAX_SHARDS = 1_000_000
_ALIGNED_WINDOWS = 4
"""Shards of so many windows begin with a window, which makes them uneven by a quarter at most."""


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`; the first is 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def rows(self, num_rows: int, window: int) -> range:
        """Return the rows of this shard, counted from 0.

        Shards that are long enough begin where a run over all rows begins a window of texts, so that
        they compute the same batches as that run. Shorter ones differ by one row at most.
        """
        step = window if num_rows >= self.count * window * _ALIGNED_WINDOWS else 1
        num_steps = -(-num_rows // step)
        begin, end = (num_steps * number // self.count for number in (self.number - 1, self.number))
        return range(begin * step, min(end * step, num_rows))


def parse_shard(text: str) -> Shard:
    """Return the shard that `3/16` means; raise `OptionError` where it means none."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    if match is None:
        raise OptionError(f"--shard {cut(text)}; expected a shard of how many, such as 3/16.")
    number, count = int(match[1]), int(match[2])
    if not 1 <= count <= _MAX_SHARDS:
        raise OptionError(f"--shard {text}: there are 1 to {_MAX_SHARDS} shards.")
    if not 1 <= number <= count:
        raise OptionError(
            f"--shard {text}: the shards of {count} are numbered 1 to {count}, so {number} is none of them."
        )
    return Shard(number, count)


def shard_path(output: Path, shard: Shard) -> Path:
    """Return where a shard of `output` is written: `labels.csv` has `labels-03-of-16.csv`.

    The names sort in the order of the rows.
    """
    number = str(shard.number).zfill(len(str(shard.count)))
    return output.with_name(f"{output.stem}-{number}-of-{shard.count}{output.suffix}")


def shards_beside(output: Path, ending: str) -> dict[Shard, Path]:
    """Return the files of shards of `output` whose names have `ending` added, in order of their numbers."""
    form = re.compile(
        rf"{re.escape(output.stem)}-([0-9]{{1,9}})-of-([0-9]{{1,9}}){re.escape(output.suffix + ending)}"
    )
    folder = output.parent
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found = {
        Shard(int(match[1]), int(match[2])): folder / match[0]
        for match in filter(None, map(form.fullmatch, names))
    }
    return dict(sorted(found.items(), key=lambda each: (each[0].count, each[0].number)))
