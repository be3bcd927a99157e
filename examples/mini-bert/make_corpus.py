"""Write stories of an invented village to pretrain on, and a few labelled passages to try the encoder.

    python make_corpus.py runs/village

writes stories.jsonl (a document a line: {"id", "paragraphs"}), train.csv, dev.csv and test.csv
("text,labels"). Each story plays in one place and uses its words; a passage comes from one or two
places, which are its labels. There are few labelled passages and many words, so an encoder that knows
from the stories which words belong together has an advantage.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

# place: (people, things, doings)
PLACES = {
    "harbour": ("sailor captain", "boat anchor rope net crab sail", "rowed anchored"),
    "bakery": ("baker miller", "bread oven flour cake dough loaf", "baked kneaded"),
    "school": ("teacher pupil", "book desk chalk lesson pencil slate", "read counted"),
    "farm": ("farmer shepherd", "cow sheep barn plough hay goat", "milked ploughed"),
}
NAMES = ("Mara", "Tom", "Rosa", "Emil")
WEATHER = ("It was raining", "The sun shone", "It was cold")
TIMES = ("at noon", "at night", "on Monday")

SENTENCES = (
    "The {who} {did} beside the {thing} {time}.",
    "{name} looked for the {thing} and found only the {other}.",
    "There was a {thing} at the {place}, and a {other} as well.",
    "{name}, the {who}, {did} and then put the {thing} away.",
    '"Bring me the {thing}," said the {who}.',
    "Nobody had seen the {thing} since the {who} {did} there.",
    "The old {thing} was broken, so they used the {other}.",
    "{name} had never {did} so long at the {place}.",
    "{weather}, and the {who} carried the {thing} inside.",
    "The {other} lay next to the {thing} {time}.",
)
PASSAGES = (
    "The {other} was nowhere near the {thing}.",
    "{name} asked the {who} about the {thing}.",
    "{weather} when {name} {did}.",
    "All spoke of the {thing} {time}.",
    "The {who} wanted a new {thing}.",
)
"""Of the labelled passages; they never name their place."""


def sentence(form: str, place: str, draw: random.Random) -> str:
    """Fill a form with the words of a place."""
    who, things, did = (words.split() for words in PLACES[place])
    thing, other = draw.sample(things, 2)
    return form.format(
        who=draw.choice(who),
        thing=thing,
        other=other,
        did=draw.choice(did),
        name=draw.choice(NAMES),
        place=place,
        time=draw.choice(TIMES),
        weather=draw.choice(WEATHER),
    )


def story(draw: random.Random) -> list[str]:
    """Return the paragraphs of a story that plays in one place."""
    place = draw.choice(sorted(PLACES))
    return [
        " ".join(sentence(form, place, draw) for form in draw.sample(SENTENCES, draw.randint(3, 5)))
        for _ in range(draw.randint(2, 4))
    ]


def passage(draw: random.Random) -> tuple[str, str]:
    """Return a labelled passage: a sentence or two from each of its places."""
    places = draw.sample(sorted(PLACES), draw.choice((1, 1, 2)))
    sentences = [
        sentence(form, place, draw) for place in places for form in draw.sample(PASSAGES, 2)
    ]
    draw.shuffle(sentences)
    return " ".join(sentences), ";".join(sorted(places))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("output", type=Path, help="folder")
    parser.add_argument("--stories", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    draw = random.Random(given.seed)
    given.output.mkdir(parents=True, exist_ok=True)
    with (given.output / "stories.jsonl").open("w", encoding="utf-8") as file:
        for number in range(given.stories):
            file.write(json.dumps({"id": f"s{number}", "paragraphs": story(draw)}) + "\n")
    for part, rows in {"train": 60, "dev": 60, "test": 300}.items():
        with (given.output / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("text", "labels"))
            table.writerows(passage(draw) for _ in range(rows))


if __name__ == "__main__":
    main()
