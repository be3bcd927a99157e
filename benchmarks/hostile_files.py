"""Read labelled files that were damaged or rewritten on purpose, and compare with the rows they hold.

    python benchmarks/hostile_files.py --cases 1000
    python benchmarks/hostile_files.py --cases 50 --seed 7 --show

Every case writes rows that are known in one of the formats, changes the file, and reads it. Reading
must give the rows, up to what the change did to them, or a `UserError`; anything else is counted as
wrong, as an internal error, or as too slow or too large. One row goes into `results/`. Exit code 0 if
nothing was wrong, else 1.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from multihot.core.options import DataOptions
from multihot.data.labelled_file import read_examples
from multihot.errors import UserError
from provenance import append_row, provenance

NAMES = ("anger", "joy", "love", "fear", "hope")
_WORDS = (
    "the",
    "train",
    "was",
    "late",
    "again",
    "café",
    "tea",
    "four",
    "o'clock",
    "soup",
    "größer",
)
_MAX_SECONDS, _MAX_BYTES = 5.0, 4 << 30

Row = tuple[str, frozenset[str] | None]
"""A text and the names of its labels; `None` = not labelled."""
Accepts = Callable[[Sequence[Row], Sequence[str]], bool]
"""Whether rows and notes are right."""
Random = np.random.Generator


@dataclass(frozen=True)
class Case:
    """A file and what reading it may give; any `UserError` is right, too, unless `must_read`."""

    kind: str
    name: str
    content: bytes
    options: dict[str, Any]
    accepts: Accepts
    must_read: bool = False


@dataclass(frozen=True)
class Written:
    """A file before it is changed."""

    name: str
    content: bytes
    rows: tuple[Row, ...]
    is_lines: bool = True
    has_header: bool = True
    options: tuple[tuple[str, Any], ...] = ()


def known_rows(random: Random) -> tuple[Row, ...]:
    """Return 12 to 20 rows; every label occurs, and a row without any."""
    rows: list[Row] = []
    for number in range(int(random.integers(12, 21))):
        words = random.choice(_WORDS, int(random.integers(2, 8)))
        chosen = {name for name in NAMES if random.random() < 0.3}
        if number < len(NAMES):
            chosen.add(NAMES[number])
        if number == len(NAMES):
            chosen.clear()
        rows.append((f"{' '.join(words)} {number}", frozenset(chosen)))
    return tuple(rows)


def _table(rows: Sequence[Row], cells: Callable[[frozenset[str]], list[Any]], mark: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark, lineterminator="\n")
    for number, (text, labels) in enumerate(rows):
        writer.writerow([number, text, *cells(labels or frozenset())])
    return out.getvalue().encode()


def _binary(labels: frozenset[str]) -> list[Any]:
    return [int(name in labels) for name in NAMES]


_CELLS: dict[str, Callable[[list[str]], str]] = {
    "bars": "|".join,
    "semicolons": "; ".join,
    "lists": str,
    "tuples": lambda names: str(tuple(names)),
    "sets": lambda names: "{" + str(names)[1:-1] + "}" if names else "set()",
    "json": json.dumps,
    "postgres": lambda names: "{" + ",".join(names) + "}",
    "arrays": lambda names: f"array({names}, dtype=object)",
    "tags": lambda names: "".join(f"<{name}>" for name in names),
    "numpy": lambda names: "[" + " ".join(map(repr, names)) + "]",
}


def written_files(rows: tuple[Row, ...]) -> Iterator[Written]:
    """Yield the rows in every format."""
    header = ",".join(["id", "text", *NAMES]).encode()
    yield Written("binary.csv", header + b"\n" + _table(rows, _binary, ","), rows)
    tabs = header.replace(b",", b"\t") + b"\n" + _table(rows, _binary, "\t")
    yield Written("binary.tsv", tabs, rows)
    yield Written(
        "excel.csv", header.replace(b",", b";") + b"\n" + _table(rows, _binary, ";"), rows
    )
    for way, cell in _CELLS.items():
        body = _table(rows, lambda labels, cell=cell: [cell(sorted(labels))], ",")  # type: ignore[misc]
        yield Written(f"{way}.csv", b"id,text,labels\n" + body, rows)
    listed = [
        {"id": number, "text": text, "labels": sorted(labels or ())}
        for number, (text, labels) in enumerate(rows)
    ]
    valued = [
        {"text": text, "labels": {name: int(name in (labels or ())) for name in NAMES}}
        for text, labels in rows
    ]
    for name, records in (("lists", listed), ("values", valued)):
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        yield Written(f"{name}.jsonl", lines.encode(), rows, has_header=False)
        array = json.dumps(records, ensure_ascii=False, indent=1)
        yield Written(f"{name}.json", array.encode(), rows, is_lines=False, has_header=False)
    lines = "".join(
        " ".join([*(f"__label__{name}" for name in sorted(labels or ())), text]) + "\n"
        for text, labels in rows
    )
    yield Written(
        "fasttext.txt", lines.encode(), rows, has_header=False, options=(("format", "fasttext"),)
    )
    plain = header + b"\n" + _table(rows, _binary, ",")
    yield Written("binary.csv.gz", gzip.compress(plain, mtime=0), rows, is_lines=False)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as handle:
        handle.writestr("binary.csv", plain)
    yield Written("binary.zip", archive.getvalue(), rows, is_lines=False)
    yield from _packaged_files(rows)


def _packaged_files(rows: tuple[Row, ...]) -> Iterator[Written]:
    import openpyxl
    import pyarrow
    import pyarrow.parquet

    workbook = openpyxl.Workbook()
    assert workbook.active is not None
    workbook.active.append(["id", "text", *NAMES])
    for number, (text, labels) in enumerate(rows):
        workbook.active.append([number, text, *_binary(labels or frozenset())])
    out = io.BytesIO()
    workbook.save(out)
    yield Written("binary.xlsx", out.getvalue(), rows, is_lines=False)
    texts, sets = [text for text, _ in rows], [sorted(labels or ()) for _, labels in rows]
    structs = [[{"name": name, "score": 1.0} for name in names] for names in sets]
    columns: dict[str, Any] = {
        "lists": pyarrow.array(sets, pyarrow.list_(pyarrow.string())),
        "structs": structs,
    }
    for name, labels_column in columns.items():
        sink = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({"text": texts, "labels": labels_column}), sink)
        yield Written(f"{name}.parquet", sink.getvalue(), rows, is_lines=False)


def _equal(rows: Sequence[Row]) -> Accepts:
    return lambda found, notes: list(found) == list(rows)


def _beginning(rows: Sequence[Row]) -> Accepts:
    """Accept the first rows; the last of them may be cut."""

    def accepts(found: Sequence[Row], notes: Sequence[str]) -> bool:
        if not found or len(found) > len(rows):
            return False
        (text, labels), (whole, all_labels) = found[-1], rows[len(found) - 1]
        are_cut = all(any(n.startswith(name) for n in all_labels or ()) for name in labels or ())
        same = list(found[:-1]) == list(rows[: len(found) - 1])
        return same and (whole.startswith(text) or "__label__".startswith(text)) and are_cut

    return accepts


def _all_but_one(rows: Sequence[Row]) -> Accepts:
    """Accept rows of which at most one differs."""
    return lambda found, notes: (
        len(found) == len(rows) and sum(a != b for a, b in zip(found, rows, strict=True)) <= 1
    )


def _never(found: Sequence[Row], notes: Sequence[str]) -> bool:
    return False


def _remarked(rows: Sequence[Row], word: str) -> Accepts:
    return lambda found, notes: list(found) == list(rows) or any(word in note for note in notes)


def changes(written: Written, random: Random) -> Iterator[Case]:
    """Yield the file itself and changed ones."""
    rows, content = written.rows, written.content
    plain = Case("unchanged", written.name, content, dict(written.options), _equal(rows), True)
    yield plain
    place = int(random.integers(len(content) // 3, len(content)))
    yield replace(
        plain, kind="cut off", content=content[:place], accepts=_beginning(rows), must_read=False
    )
    if not written.is_lines:
        if not written.name.endswith(".json"):  # without checksums, a byte may change a value
            yield from _changed_packages(plain, random)
        return
    yield from _line_changes(written, plain, random)
    yield from _cell_changes(written, plain, random)


def _changed_packages(plain: Case, random: Random) -> Iterator[Case]:
    content = plain.content
    if not plain.name.endswith(".parquet"):
        place = int(random.integers(len(content) // 4, 3 * len(content) // 4))
        flipped = bytes([content[place] ^ 0xFF])
        yield replace(
            plain,
            kind="byte flipped",
            content=content[:place] + flipped + content[place + 1 :],
            must_read=False,
        )
    noise = random.bytes(64)
    yield replace(plain, kind="tail replaced", content=content[:-64] + noise, must_read=False)
    yield replace(plain, kind="other ending", name=f"{plain.name}.csv", must_read=False)


def _line_changes(written: Written, plain: Case, random: Random) -> Iterator[Case]:
    rows, text = written.rows, written.content.decode()
    lines = text.splitlines(keepends=True)
    first = int(written.has_header)
    row = int(random.integers(len(rows)))
    other = int(random.integers(len(rows)))

    def case(kind: str, content: str | bytes, accepts: Accepts, *, reads: bool = False) -> Case:
        encoded = content.encode() if isinstance(content, str) else content
        return replace(plain, kind=kind, content=encoded, accepts=accepts, must_read=reads)

    def joined(changed: Sequence[str]) -> str:
        return "".join(changed)

    same = _equal(rows)
    yield case("line ends CR LF", text.replace("\n", "\r\n"), same, reads=True)
    yield case("line ends CR", text.replace("\n", "\r"), same, reads=True)
    yield case("no end of the last line", text.rstrip("\n"), same, reads=True)
    yield case("byte order mark", b"\xef\xbb\xbf" + text.encode(), same, reads=True)
    yield case("UTF-16", text.encode("utf-16"), same, reads=True)
    yield case("cp1252", text.encode("cp1252"), same)
    without = [each for number, each in enumerate(lines) if number != first + row]
    yield case("line deleted", joined(without), _equal(rows[:row] + rows[row + 1 :]))
    repeated = [*lines[: first + row], lines[first + row], *lines[first + row :]]
    yield case("line repeated", joined(repeated), _equal(rows[: row + 1] + rows[row:]))
    swapped = list(lines)
    swapped[first + row], swapped[first + other] = swapped[first + other], swapped[first + row]
    moved = list(rows)
    moved[row], moved[other] = moved[other], moved[row]
    yield case("lines swapped", joined(swapped), _equal(moved))
    place = text.index("\n") + 1 + int(random.integers(10))
    yield case("NUL", f"{text[:place]}\0{text[place:]}", _never)
    encoded = text.encode()
    spots = [n for n, byte in enumerate(encoded) if n > encoded.index(b"\n") and 97 <= byte <= 122]
    spot = int(random.choice(spots))
    wild = bytes([int(random.integers(0x80, 0x100))])
    yield case("wild byte", encoded[:spot] + wild + encoded[spot + 1 :], _all_but_one(rows))
    western = "".join(lines[: first + row]).encode() + (lines[first + row]).encode("cp1252")
    western += "".join(lines[first + row + 1 :]).encode()
    unaffected = lines[first + row].isascii()
    yield case("one line in cp1252", western, same if unaffected else _all_but_one(rows))
    yield case("another ending", text, same)


def _cell_changes(written: Written, plain: Case, random: Random) -> Iterator[Case]:
    """Change cells of a table, or values of JSON lines."""
    rows, text = written.rows, written.content.decode()
    lines = text.splitlines()
    row = int(random.integers(len(rows)))
    line = row + int(written.has_header)
    mark = {"binary.tsv": "\t", "excel.csv": ";"}.get(written.name, ",")

    def case(kind: str, changed: str, accepts: Accepts) -> Case:
        content = "\n".join([*lines[:line], changed, *lines[line + 1 :]]) + "\n"
        return replace(plain, kind=kind, content=content.encode(), accepts=accepts, must_read=False)

    if written.name.endswith(".jsonl"):
        yield from _json_changes(lines[line], case, rows, row)
        return
    if not written.has_header:
        return
    cells = next(csv.reader([lines[line]], delimiter=mark))

    def record(values: Sequence[str]) -> str:
        out = io.StringIO()
        csv.writer(out, delimiter=mark, lineterminator="").writerow(values)
        return out.getvalue()

    yield case("cell missing", record(cells[:-1]), _never)
    yield case("cell too many", record([*cells, "x"]), _never)
    is_binary = len(cells) == 2 + len(NAMES)
    junk = str(
        random.choice(["2", "yes", "0.5", "1e400", "--", "[]", "None", "=A1", "２", "x" * 200])
    )
    if is_binary:
        yield case(f"junk {junk[:5]}", record([*cells[:-1], junk]), _never)
        unknown = str(random.choice(["", "null", "NaN", "-1"]))
        yield case("unknown", record([*cells[:-1], unknown]), _all_but_one(rows))
    elif written.name not in ("bars.csv", "semicolons.csv"):
        bare = str(random.choice(["joy", "nan", "None", "joy, love", "3"]))
        yield case("bare cell", record([*cells[:2], bare]), _never)
    if mark != "\t":
        open_quote = mark.join([cells[0], f'"{cells[1]}', *cells[2:]])
        yield case("open quote", open_quote, _never)
        if row + 2 < len(rows) and '"' not in "".join(lines[line : line + 3]):
            later = lines[line + 2].rsplit(mark, 1)
            content = "\n".join(
                [
                    *lines[:line],
                    open_quote,
                    lines[line + 1],
                    f'{later[0]}"{mark}{later[1]}',
                    *lines[line + 3 :],
                ]
            )
            accepts = _remarked(rows, "quote")
            yield replace(case("quote over rows", "", accepts), content=f"{content}\n".encode())


def _json_changes(
    line: str, case: Callable[[str, str, Accepts], Case], rows: Sequence[Row], row: int
) -> Iterator[Case]:
    record = json.loads(line)
    text = record["text"]

    def changed(**values: Any) -> str:
        return json.dumps({**record, **values}, ensure_ascii=False)

    unlabelled = [*rows[:row], (text, None), *rows[row + 1 :]]
    yield case("labels null", changed(labels=None), _equal(unlabelled))
    without = {key: value for key, value in record.items() if key != "labels"}
    yield case("labels missing", json.dumps(without), _equal(unlabelled))
    yield case("further key", changed(source="web"), _equal(rows))
    yield case("repeated key", line[:-1] + ', "text": "other"}', _never)
    yield case("bare label", changed(labels="joy"), _never)
    yield case("number", changed(labels=[3]), _never)
    yield case("huge number", line[:-1] + ', "n": 1' + "0" * 5000 + "}", _equal(rows))
    yield case("deep", line[:-1] + ', "n": ' + "[" * 100_000 + "]" * 100_000 + "}", _never)
    yield case("half a surrogate pair", line.replace('"text": "', '"text": "\\ud800', 1), _never)
    yield case("comma at the end", line[:-1] + ",}", _never)
    yield case("two objects", f"{line} {line}", _never)
    yield case("a list", "[1, 2]", _never)
    yield case("text is a number", changed(text=5), _never)
    yield case("text is null", changed(text=None), _never)


def all_cases(seed: int, count: int) -> Iterator[Case]:
    """Yield `count` cases, the same for the same seed."""
    made = 0
    while True:
        random = np.random.default_rng([seed, made])
        for written in written_files(known_rows(random)):
            for case in changes(written, random):
                if made == count:
                    return
                made += 1
                yield case


def outcome(case: Case, folder: Path) -> str:
    """Return `refused`, `right`, `wrong`, or the internal error."""
    path = folder / case.name
    path.write_bytes(case.content)
    try:
        examples = read_examples(path, DataOptions(**case.options))
    except UserError:
        return "wrong: refused" if case.must_read else "refused"
    except Exception as error:  # noqa: BLE001 - what must never come
        return f"internal: {type(error).__name__}: {str(error)[:80]}"
    assert examples.labels is not None
    names = np.array(examples.labels.space.names, dtype=object)
    rows: list[Row] = []
    for text, values in zip(examples.texts, examples.labels.values, strict=True):
        labels = None if np.isnan(values).all() else frozenset(names[values == 1])
        rows.append((text, labels))
    return "right" if case.accepts(rows, examples.notes) else "wrong"


def main() -> None:
    """Read all cases and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print every case that is wrong")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_BYTES, _MAX_BYTES))
    counts: Counter[str] = Counter()
    kinds: set[tuple[str, str]] = set()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(all_cases(given.seed, given.cases)):
            own = Path(folder) / str(number)
            own.mkdir()
            start = time.process_time()
            found = outcome(case, own)
            seconds = time.process_time() - start
            slowest = max(slowest, seconds)
            kinds.add((case.name, case.kind))
            result = found.partition(":")[0] if seconds < _MAX_SECONDS else "slow"
            counts[result] += 1
            if result not in ("right", "refused") and given.show:
                print(f"{number}: {case.name}, {case.kind}: {found}", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {name: counts[name] for name in ("right", "refused", "wrong", "internal", "slow")}
    print(f"{given.cases} files, {len(kinds)} kinds: {figures}")
    print(f"slowest {slowest:.2f} CPU seconds, peak memory {peak:.0f} MB")
    append_row(
        "hostile_files_202611.csv",
        {
            "files": given.cases,
            "kinds": len(kinds),
            **figures,
            "slowest_cpu_seconds": round(slowest, 2),
            "peak_megabytes": round(peak),
            **provenance(),
        },
    )
    sys.exit(int(counts["wrong"] + counts["internal"] + counts["slow"] > 0))


if __name__ == "__main__":
    main()
