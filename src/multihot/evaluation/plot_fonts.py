"""Fonts for names in any script: matplotlib's own has no Chinese, and draws boxes instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["families_for"]

_PREFERRED = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "SimHei", "Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS"),
)
"""Tried first, in this order; a collection is known to matplotlib by its first font only."""

_BOXES = "Last Resort"  # comes with matplotlib and has a box for every character


def families_for(texts: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """Return font families that draw the texts together, and the characters that none of them has.

    The first families are those that matplotlib is set to; installed ones follow where they are needed.
    White space needs no font.
    """
    import matplotlib as mpl
    from matplotlib.font_manager import FontProperties, findfont

    wanted = {character for text in texts for character in text if not character.isspace()}
    wanted = wanted - _characters(findfont(FontProperties()))
    families: list[str] = list(mpl.rcParams["font.family"])
    for name, path in _installed() if wanted else ():
        if covered := wanted & _characters(path):
            families.append(name)
            wanted = wanted - covered
        if not wanted:
            break
    return families, frozenset(wanted)


def _installed() -> Iterator[tuple[str, str]]:
    """Yield name and path of one font of each family, upright and of normal weight if there is one."""
    from matplotlib.font_manager import fontManager

    _add_new_ones()
    rank = {name: number for number, name in enumerate(_PREFERRED)}
    seen = set()
    for entry in sorted(
        fontManager.ttflist,
        key=lambda font: (
            rank.get(font.name, len(rank)),
            font.name,
            font.style != "normal",
            font.weight not in (400, "normal", "regular"),
        ),
    ):
        if entry.name.startswith(_BOXES):
            continue
        if entry.name not in seen and Path(entry.fname).is_file():
            seen.add(entry.name)
            yield entry.name, entry.fname


def _add_new_ones() -> None:
    """Add fonts that were installed after matplotlib stored its list, which it does once and for all."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {entry.fname for entry in fontManager.ttflist}
    for path in set(findSystemFonts()) - known:
        with suppress(OSError, RuntimeError, NotImplementedError, ValueError):
            fontManager.addfont(path)


def _characters(path: str) -> set[str]:
    """Return the characters that a font has; none where it cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        return {chr(code) for code in get_font(path).get_charmap()}
    except (OSError, RuntimeError):
        return set()
