"""Write results/README.md from the CSV files beside it: `python benchmarks/tables.py`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping

from provenance import RESULTS

_INTRODUCTION = """# Results

Written by `benchmarks/tables.py` from the CSV files in this folder; every row there also names versions and date.

What these figures are not: file names with `screening` hold validation figures that chose settings, so they are optimistic; only `test_` columns compare with published results.
E-c's 95 % sampling error on its 3259 test rows is about 1.0 point of Jaccard, 0.8 of micro-F1 and 1.0 of macro-F1, so smaller differences between rows mean nothing by themselves.
Minutes were taken on shared machines, some beside other work: they say what to expect, not which is faster.
Speeds in `finetune`, `predict` and `gpu` files are medians of interleaved rounds and can be compared within one run: see [docs/how-to/benchmarks.md](../docs/how-to/benchmarks.md).
"""
_BELOW_THE_TABLE = ("command", "commit", "hardware", "versions", "rival_versions")

Row = Mapping[str, str]
Cell = str | Callable[[Row], str]


def main() -> None:
    """Write the page."""
    parts = [_INTRODUCTION]
    for path in sorted(RESULTS.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        parts.append(section(path.name, rows))
    (RESULTS / "README.md").write_text("\n".join(parts), encoding="utf-8")


def section(name: str, rows: list[dict[str, str]]) -> str:
    """Return the Markdown of one file: a table, and where its rows come from."""
    heads, cells = table(name, rows)
    lines = [f"## {name}", ""]
    if name.startswith(tuple(_SPEED)):
        lines += [_SPEED_NOTE, ""]
    lines += [_line(heads), _line(["---"] * len(heads))]
    lines += [_line([cell.replace("|", "\\|") for cell in row]) for row in cells]
    lines += ["", "Measured with:", ""]
    origins = dict.fromkeys(
        f"- `{row['command']}` at {row['commit']} on {row['hardware']}" for row in rows
    )
    return "\n".join([*lines, *origins, ""])


def table(name: str, rows: list[dict[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells of the rows of a file with this name."""
    shown = _columns(name, rows)
    return list(shown), [[_text(cell, row) for cell in shown.values()] for row in rows]


def _columns(name: str, rows: list[dict[str, str]]) -> dict[str, Cell]:
    """Return heading and content of every column in which something stands."""
    chosen = next((cells for start, cells in _SPEED.items() if name.startswith(start)), None)
    if chosen is None:
        every: dict[str, Cell] = {key: key for key in rows[0] if key not in _BELOW_THE_TABLE}
        return {key: key for key in every if any(row[key] for row in rows)}
    return {head: cell for head, cell in chosen.items() if any(_text(cell, row) for row in rows)}


def _text(cell: Cell, row: Row) -> str:
    return row.get(cell, "") if isinstance(cell, str) else cell(row)


def _times(reference: str) -> Callable[[Row], str]:
    """Return a cell: how many times as fast as the reference, with its quartiles and the least."""

    def text(row: Row) -> str:
        if not row.get(f"times_{reference}"):
            return ""
        quartiles, least = row[f"times_{reference}_quartiles"], row[f"times_{reference}_least"]
        cpu = row.get(f"cpu_times_{reference}")
        in_cpu = f"; in CPU time {cpu}" if cpu else ""
        return f"{row[f'times_{reference}']} ({quartiles}; least {least}{in_cpu})"

    return text


def _percent(column: str) -> Callable[[Row], str]:
    return lambda row: f"{100 * float(row[column]):.0f} %" if row.get(column) else ""


def _setting(row: Row) -> str:
    """Return batch size, precision, padding and order in one cell."""
    words = [
        f"batch {row['batch_size']}" if row.get("batch_size") else "",
        row.get("precision", ""),
        f"padding {row['padding']}" if row.get("padding") else "",
        f"{row['order']} order" if row.get("order") else "",
    ]
    return ", ".join(word for word in words if word)


_RATES: dict[str, Cell] = {
    "mean tokens": "mean_tokens",
    "texts/s": "texts_per_second",
    "tokens/s": "tokens_per_second",
    "CPU s / 1000 texts": "cpu_seconds_per_1000_texts",
}
_ROOFS: dict[str, Cell] = {
    "of bf16 roof": _percent("share_of_bf16_roof"),
    "of fp32 roof": _percent("share_of_fp32_roof"),
}
_WHO: dict[str, Cell] = {"data": "data", "contender": "contender", "setting": _setting}
_ROUNDS: dict[str, Cell] = {
    "rounds": lambda row: f"{row['rounds']} of {row['slice_texts']}" if row.get("rounds") else "",
    "threads": "threads",
    "date": "date",
}
_SPEED_NOTE = (
    "`x` columns: how many times as fast as that contender, median over rounds (quartiles; least; by processor seconds). "
    "Roof: the same model's matrix products alone, timed in the same rounds."
)
# The first name that a file begins with.
_SPEED: dict[str, dict[str, Cell]] = {
    "finetune_whole": {
        "data": "data",
        "rows": "training_rows",
        "contender": "contender",
        "setting": "setting",
        "seed": "seed",
        "seconds": "seconds",
        "CPU seconds": "cpu_seconds",
        "x tutorial": "times_tutorial",
        "dev Jaccard": "validation_jaccard",
        "dev micro-F1": "validation_micro_f1",
        "dev Jaccard, threshold fitted": "fitted_jaccard",
        "dev Jaccard at 0.5": "at_half_jaccard",
        "threads": "threads",
        "date": "date",
    },
    "finetune": {
        **_WHO,
        **_RATES,
        "x tutorial": _times("tutorial"),
        "x best Trainer": _times("best_trainer"),
        **_ROOFS,
        **_ROUNDS,
    },
    "predict": {
        **_WHO,
        **_RATES,
        "x pipeline fp32": _times("pipeline_fp32"),
        "x pipeline bf16": _times("pipeline_bf16"),
        **_ROOFS,
        "largest logit difference": "largest_logit_difference",
        **_ROUNDS,
    },
    "gpu": {
        "what": "what",
        **_WHO,
        "shape": "shape",
        **_RATES,
        "x tutorial": _times("tutorial"),
        "x best Trainer": _times("best_trainer"),
        "x pipeline fp32": _times("pipeline_fp32"),
        "x pipeline bf16": _times("pipeline_bf16"),
        **_ROOFS,
        "seconds": "seconds",
        "texts/s without start": "texts_per_second_without_start",
        "card": "card",
        **_ROUNDS,
    },
}


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
