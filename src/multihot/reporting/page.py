"""The document of a report as one HTML file, which loads nothing and asks nobody.

Names and texts come from files of strangers. Templates escape everything; the policy of the page allows
its own script and style by their hashes and nothing else; what changes the direction of a line, or is
not to be seen, is shown as its code.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from multihot.core.text_tables import format_number, format_percent, printable, short_names
from multihot.reporting.card_content import label_cards
from multihot.reporting.charts import PLOT
from multihot.reporting.page_data import browser_data

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["report_page"]


def report_page(document: Mapping[str, Any]) -> str:
    """Return the page of a document of `model_document` or `data_document`."""
    template = _environment().get_template("report.html")
    is_model = document["model"] is not None
    data = browser_data(document) if is_model else None
    sources = [file["source"] for file in document["data"]["files"]]
    return template.render(
        document=document,
        cards=label_cards(document) if is_model else [],
        data="null" if data is None else _script_json(data),
        plot=PLOT,
        short=dict(zip(sources, short_names(sources), strict=True)),
        style=_resource("report.css"),
        script=_resource("report.js"),
        policy=_policy(),
    )


@cache
def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    names = ("report.html", "charts.html", "cards.html", "data.html", "summary.html")
    environment = Environment(
        loader=DictLoader({name: _resource(name) for name in names}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": _shown,
        "number": _number,
        "percent": _percent,
        "count": _count,
        "score": _score,
        "brief": lambda value: f"{value:.2g}",
        "signed": _signed_points,
    }
    return environment


@cache
def _resource(name: str) -> str:
    """Return a file of the package with the line ends that browsers hash."""
    content = files("multihot.reporting").joinpath("templates", name).read_bytes()
    return content.replace(b"\r\n", b"\n").decode("utf-8")


@cache
def _policy() -> str:
    """Return what the page may do: run its own script and look like its own style."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash('report.js')}",
            f"style-src {_hash('report.css')}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(name: str) -> str:
    digest = hashlib.sha256(_resource(name).encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _script_json(content: Any) -> str:
    """Return JSON that ends no element of HTML, whatever is in its strings."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _shown(text: object) -> str:
    return printable(str(text), lines=True)


def _number(value: float | None, decimals: int = 3) -> str:
    return format_number(value, decimals, "–")


def _percent(value: float | None, decimals: int = 1) -> str:
    return format_percent(value, decimals, "–")


def _score(value: float | None) -> str:
    """Return a score or threshold, of a very small one two digits."""
    return _number(value) if not value or value >= 0.01 else f"{value:.2g}"


def _count(value: float) -> str:
    """Return a whole number in groups of three digits."""
    return f"{value:,}".replace(",", "\u202f")


def _signed_points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "\u2212")
