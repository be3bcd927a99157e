"""Small files in the form of data sets that cannot be bundled: python stand_ins.py goemotions | cars | speeches | levels."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

DATA = Path(__file__).parents[2] / "src" / "multihot" / "demo_data"


def _rows(part: str, count: int) -> list[tuple[str, str, list[str]]]:
    lines = (DATA / f"{part}.jsonl").read_text("utf-8").splitlines()[:count]
    return [(row["id"], row["text"], row["labels"]) for row in map(json.loads, lines)]


def goemotions() -> None:
    """Write train.tsv, dev.tsv, test.tsv (text, indices of labels, id; no header) and labels.txt."""
    names = [*sorted({name for _, _, labels in _rows("train", 1000) for name in labels}), "neutral"]
    Path("labels.txt").write_text("\n".join(names) + "\n", "utf-8")
    for part, name, count in (
        ("train", "train", 96),
        ("validation", "dev", 48),
        ("test", "test", 48),
    ):
        with Path(f"{name}.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            for row, text, labels in _rows(part, count):
                writer.writerow(
                    [text, ",".join(str(names.index(n)) for n in labels or ["neutral"]), row]
                )


def cars() -> None:
    """Write train.csv: one line per text and subject."""
    subjects = ("价格", "油耗", "空间", "动力", "外观")
    with Path("train.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["content_id", "content", "subject", "sentiment_value", "sentiment_word"])
        for number, (_, text, labels) in enumerate(_rows("train", 120)):
            plain = text.replace(",", " ").replace('"', "")
            for subject in sorted({subjects[len(name) % 5] for name in labels}) or subjects[:1]:
                writer.writerow([number, plain, subject, 0, ""])


def speeches() -> None:
    """Write speeches.jsonl, three texts in one each, with the labels of all; and the first as long.jsonl."""
    rows = _rows("train", 360)
    with Path("speeches.jsonl").open("w", encoding="utf-8") as file:
        for number in range(0, len(rows), 3):
            some = rows[number : number + 3]
            text = " ".join(text for _, text, _ in some)
            labels = sorted({name for _, _, names in some for name in names})
            line = {"id": str(number), "text": text, "labels": labels}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            if not number:
                first = json.dumps({"text": text}, ensure_ascii=False)
                Path("long.jsonl").write_text(first + "\n", "utf-8")


def levels() -> None:
    """Write train.jsonl and test.jsonl, with groups before the labels, and parents.csv with both."""
    groups = {
        **dict.fromkeys(("joy", "love", "optimism", "trust"), "pleasant"),
        **dict.fromkeys(("anger", "disgust", "fear", "sadness", "pessimism"), "unpleasant"),
    }
    for part, name, count in (("train", "train", 240), ("test", "test", 96)):
        with Path(f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for row, text, labels in _rows(part, count):
                full = [f"{groups[one]}/{one}" if one in groups else one for one in labels]
                line = {"id": row, "text": text, "labels": full}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    pairs = [f"{group}/{name},{group}" for name, group in groups.items()]
    Path("parents.csv").write_text("\n".join(["child,parent", *pairs]) + "\n", "utf-8")


if __name__ == "__main__":
    {"goemotions": goemotions, "cars": cars, "speeches": speeches, "levels": levels}[sys.argv[1]]()
