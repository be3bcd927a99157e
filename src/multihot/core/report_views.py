"""How reports show themselves in notebooks, and as data frames."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from multihot.errors import MultihotError

__all__ = ["as_frame", "as_html"]


def as_html(report: object) -> str:
    """Return the printed report as preformatted HTML, for `_repr_html_`."""
    return f'<pre style="line-height: 1.2">{html.escape(str(report))}</pre>'


def as_frame(rows: Mapping[str, Mapping[str, Any]], index: str) -> Any:
    """Return a pandas data frame of named rows; `index` is what the names are."""
    try:
        import pandas as pd
    except ImportError:
        raise MultihotError(
            "A data frame needs the package 'pandas', which is not installed; to_dict() does not."
        ) from None
    return pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name=index, dtype=object))
