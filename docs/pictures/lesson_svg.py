"""Small pieces of SVG: boxes, lines and text in the reader's own fonts.

Text stays text, so that a figure in any language needs no font file and can be searched and copied.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from xml.sax.saxutils import escape

__all__ = [
    "ACCENT",
    "FAINT",
    "GREEN",
    "INK",
    "RED",
    "arrow",
    "box",
    "curve",
    "line",
    "page",
    "text",
]

INK, FAINT = "#222222", "#767676"
ACCENT, GREEN, RED = "#1f5fa8", "#1e7d3c", "#b3321f"
_FONTS = (
    "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'PingFang SC', 'Microsoft YaHei', "
    "'Noto Sans CJK SC', sans-serif"
)


def page(width: float, height: float, parts: Iterable[str]) -> str:
    """Return a whole file on a white ground, so that it reads on a dark page, too."""
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONTS}">'
    ground = f'<rect width="{width:g}" height="{height:g}" rx="6" fill="#ffffff"/>'
    return "\n".join((head, ground, *parts, "</svg>")) + "\n"


def text_width(words: str, size: float) -> float:
    """Return about how wide a text is; Chinese characters are as wide as they are high."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    return size * (wide + 0.56 * (len(words) - wide))


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 13,
    colour: str = INK,
    anchor: str = "start",
    bold: bool = False,
    turned: float = 0,
) -> str:
    """Return one line of text whose middle is at the height `y`."""
    more = ' font-weight="600"' if bold else ""
    more += f' transform="rotate({turned:g} {x:g} {y:g})"' if turned else ""
    place = f'x="{x:g}" y="{y:g}" dominant-baseline="central" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size:g}" fill="{colour}"{more}>{escape(words)}</text>'


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    fill: str,
    edge: str = "none",
    words: str = "",
    size: float = 13,
    colour: str = INK,
    bold: bool = False,
) -> str:
    """Return a rounded box, with a text in its middle that is made smaller where it must be."""
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3"'
    drawn = f'<rect {place} fill="{fill}" stroke="{edge}"/>'
    if not words:
        return drawn
    fitting = min(size, size * (width - 4) / max(1.0, text_width(words, size)))
    middle = (x + width / 2, y + height / 2)
    return drawn + text(
        *middle, words, size=round(fitting, 1), colour=colour, anchor="middle", bold=bold
    )


def line(
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    colour: str = FAINT,
    dashed: bool = False,
) -> str:
    """Return a thin straight line."""
    more = ' stroke-dasharray="4 3"' if dashed else ""
    ends = f'x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"'
    return f'<line {ends} stroke="{colour}"{more}/>'


def arrow(x: float, start: float, end: float, *, colour: str = FAINT) -> str:
    """Return an arrow straight down or up."""
    tip = 5 if end > start else -5
    head = f'<path d="M{x - 4:g} {end - tip:g}L{x:g} {end:g}L{x + 4:g} {end - tip:g}" '
    return line((x, start), (x, end), colour=colour) + head + f'fill="none" stroke="{colour}"/>'


def curve(points: Iterable[tuple[float, float]], *, colour: str, thick: float = 2) -> str:
    """Return a line through many points."""
    through = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{through}" fill="none" stroke="{colour}" stroke-width="{thick:g}"/>'
