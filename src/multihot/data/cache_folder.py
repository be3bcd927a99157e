"""The folder of what is computed once and used again by later runs: where it is, and its upkeep.

FOLDER/KEY/   one entry: tokens of a file (`token_cache`), what a teacher says (`teacher_scores`)
          meta.json   written last
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

__all__ = ["META", "STAGE", "cache_folder", "remove", "remove_old"]

META = "meta.json"
"""File of an entry that is written last, and touched when the entry is used."""
STAGE = ".writing-"
"""How the name of an entry begins while it is written."""
_OTHER_STAGE = re.compile(r"\.[0-9a-f]{32}\.\d+\.[0-9a-f]{8}")  # of `mapped_arrays.new_arrays`
_ENTRY_NAME = re.compile("[0-9a-f]{32}")
_STAGE_DAYS, _UNUSED_DAYS = 7, 30  # left behind by a killed builder; not used by any run


def cache_folder() -> Path | None:
    """Return where entries lie; `None` when the cache is switched off (`MULTIHOT_CACHE=off`).

    `MULTIHOT_CACHE` names the folder; without it, it is the platform's: `~/.cache/multihot` (or
    below `XDG_CACHE_HOME`), `~/Library/Caches/multihot`, `%LOCALAPPDATA%/multihot`.
    """
    given = os.environ.get("MULTIHOT_CACHE", "").strip()
    if given.lower() in ("off", "none", "0"):
        return None
    if given:
        return Path(given).expanduser() / "tokens"
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "multihot" / "tokens"


def remove_old(folder: Path) -> None:
    """Remove what killed builders left a week ago, and entries that no run used for a month."""
    now = time.time()
    for path in folder.iterdir():
        if path.name.startswith(STAGE) or _OTHER_STAGE.fullmatch(path.name):
            witness, days = path, _STAGE_DAYS
        elif _ENTRY_NAME.fullmatch(path.name):
            witness, days = path / META, _UNUSED_DAYS
        else:  # not ours
            continue
        with contextlib.suppress(OSError):
            if now - witness.stat().st_mtime > days * 86400:
                remove(path)


def remove(path: Path) -> None:
    """Delete a file or a folder as far as possible, without a word."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
