"""What reading whole documents is worth: windows against cutting at the limit, on the same rows.

    python benchmarks/long_documents.py BOOKS.jsonl.gz --work DIR [--layers 2] [--pooling max]
    python benchmarks/long_documents.py GOEMOTIONS --work DIR --start MODEL --max-length 64

**Books.** Real documents: passages of whole paragraphs of 2,000 tokens and more, one after the other,
from books printed before 1929. Their labels are facts about the passage that a program finds: a passage
has the label of a theme where some stretch of 100 words mentions the theme's words at least twice. Most
such stretches are behind the first 512 tokens. Books of the parts are different ones.

**GoEmotions.** Composed documents: comments one below the other, in random order, until there are
2,000 tokens; four of them were labelled with emotions, the others as neutral. A document has the labels
of the four. Training documents are made of training comments, and so on.

In both, something must be found anywhere in a document. They say nothing about labels that the
beginning gives away.

All models have the same encoder (the starter, its first `--layers`, or that of `--start`) and the same
options; they differ in how they read: `none` cuts at the encoder's limit of 512 tokens, the others read
windows of `--max-length`. Each row has the metrics on the test documents, and the difference from
`none`, with the 95 % interval of the paired bootstrap and the p-value of the permutation test, as
`multihot compare` has them. A finished model is not trained again, an interrupted one is gone on with.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import build_options
from multihot.core.seeding import named_generator
from multihot.data.examples import Examples
from multihot.inference.artifact import is_artifact
from multihot.inference.predictor import Predictor
from multihot.models.encoder import load_encoder_tokenizer, locate_encoder
from multihot.workflows.compare import compare
from multihot.workflows.train import train
from provenance import append_row, provenance

FILE = "long_documents_202611.csv"
LEAST = 2000  # tokens of a document
LIMIT = 512  # of the encoder
WORDS, MENTIONS = 100, 2

THEMES = {
    "sea": "ship ships sea boat boats sail sails sailor sailors captain deck harbour harbor vessel",
    "war": "war battle army regiment soldier soldiers enemy troops cannon guns general officer",
    "religion": "church priest god prayer prayers holy bishop sermon chapel heaven saint",
    "law": "court judge law lawyer trial jury crime prison witness police guilty",
    "meals": "dinner supper breakfast table bread wine meat soup plate cook kitchen tea",
    "music": "music song songs sang piano violin singing dance dancing melody tune concert",
    "horses": "horse horses saddle bridle stable carriage coachman rode riding reins gallop",
    "money": "money pounds dollars shillings debt debts bank fortune rent gold coin purse",
    "illness": "doctor sick illness fever physician patient disease medicine pain nurse hospital",
    "letters": "letter letters wrote envelope post ink pen paper handwriting note",
    "weather": "rain storm wind snow clouds thunder lightning tempest mist fog",
    "marriage": "marry married marriage wedding bride husband wife engaged betrothed",
    "death": "death died dead dying grave coffin funeral corpse burial tomb",
    "school": "school teacher master lessons pupil pupils lesson class study college university",
    "woods": "forest wood woods tree trees leaves branches oak pine bushes",
    "royalty": "king queen prince princess duke palace throne crown majesty",
}


def main() -> None:
    """Make the documents, train what is missing, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pooling", nargs="+", default=["max"])
    parser.add_argument("--train", type=int, default=240)
    parser.add_argument("--validation", type=int, default=60)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--most", type=int, default=2600, help="tokens of a document")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6, help="of the starter's six")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument(
        "--start", type=Path, help="model to start from, with the labels of GoEmotions"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sizes = {part: getattr(given, part) for part in ("train", "validation", "test")}
    if given.data.is_dir():
        parts = {part: _composed(given.data, part, number) for part, number in sizes.items()}
    else:
        documents = iter(_documents(given.data, given.most))
        parts = {part: _examples(part, documents, number) for part, number in sizes.items()}
    encoder = _encoder(given.work / f"starter-{given.layers}", given.layers)
    models = {}
    for windows in ("none", *given.pooling):
        length = LIMIT if windows == "none" else given.max_length
        folder = given.work / f"{windows}-{length}-l{given.layers}-e{given.epochs}-s{given.seed}"
        options = {
            "encoder": encoder,
            "windows": windows,
            "max_length": length,
            "epochs": given.epochs,
            "batch_size": 4,
            "learning_rate": given.rate,
            "seed": given.seed,
            "goal": "micro_f1",
        }
        if windows != "none":
            options["max_windows"] = 64
        seconds = _train(folder, options, parts["train"], parts["validation"], given.start)
        models[windows] = Predictor.load(folder)
        row = _figures(windows, models, parts["test"])
        facts = {
            "documents": "composed of GoEmotions" if given.data.is_dir() else "books",
            **sizes,
            "layers": given.layers,
            "max_length": length,
            "seed": given.seed,
        }
        append_row(FILE, {**row, **facts, "cpu_seconds": seconds, **provenance()})
        print(row, flush=True)


def _encoder(folder: Path, layers: int) -> str:
    """Return the starter encoder, or a folder with its first layers."""
    if layers == 6:
        return "starter"
    source = locate_encoder("starter").folder
    if not folder.exists():
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.bin", "onnx", "openvino"))
        config = json.loads((source / "config.json").read_text("utf-8"))
        (folder / "config.json").chmod(0o644)
        (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    return str(folder)


def _documents(path: Path, most: int) -> Iterator[tuple[str, str]]:
    """Yield book and text of one passage after the other, five of a book at most."""
    tokenizer: Tokenizer = _starter_tokenizer()
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            book = json.loads(line)
            passages, paragraphs, size = 0, [], 0
            for paragraph in book["paragraphs"]:
                length = len(tokenizer.encode(paragraph, add_special_tokens=False).ids)
                if length > most - LEAST:
                    paragraphs, size = [], 0  # verse in one piece, tables
                    continue
                paragraphs.append(paragraph)
                size += length
                if size >= LEAST:
                    yield book["id"], "\n\n".join(paragraphs)
                    passages, paragraphs, size = passages + 1, [], 0
                if passages == 5:
                    break


def _starter_tokenizer() -> Tokenizer:
    return load_encoder_tokenizer(locate_encoder("starter").folder)[0]


def _examples(part: str, documents: Iterator[tuple[str, str]], number: int) -> Examples:
    """Take so many documents, and go on to the next book."""
    taken = []
    last = None
    for book, text in documents:
        if len(taken) >= number and book != last:
            break
        if len(taken) < number:
            taken.append((book, text))
        last = book
    space = LabelSpace(tuple(THEMES))
    truth = np.array([_themes(text) for _, text in taken], dtype=np.float32)
    print(part, len(taken), "documents; labels of each:", round(float(truth.sum(axis=1).mean()), 2))
    print("  ", dict(zip(THEMES, truth.mean(axis=0).round(2).tolist(), strict=True)), flush=True)
    return Examples(
        texts=[text for _, text in taken],
        labels=LabelMatrix(space, truth),
        ids=[f"{book} {row}" for row, (book, _) in enumerate(taken)],
        source=f"{part}.jsonl",
        data=DataOptions(text_column="text", encoding="utf-8"),
        notes=(),
        lines=list(range(1, len(taken) + 1)),
    )


def _composed(folder: Path, part: str, number: int) -> Examples:
    """Make documents of comments; the label `neutral` is unknown in all."""
    names = (folder / "labels.txt").read_text("utf-8").split()
    file = {"validation": "dev"}.get(part, part)
    rows = [line.split("\t") for line in (folder / f"{file}.tsv").read_text("utf-8").splitlines()]
    neutral = names.index("neutral")
    others = [text for text, labels, _ in rows if labels == str(neutral)]
    emotional = [
        (text, [int(each) for each in labels.split(",")])
        for text, labels, _ in rows
        if str(neutral) not in labels.split(",")
    ]
    generator = named_generator(0, part)
    lengths = _starter_tokenizer().encode_batch(others, add_special_tokens=False)
    tokens = np.array([len(each.ids) for each in lengths])
    chosen = generator.permutation(len(emotional))[: 4 * number].reshape(number, 4)
    texts, truth = [], np.zeros((number, len(names)), dtype=np.float32)
    for row, four in enumerate(chosen):
        some = generator.permutation(len(others))
        filling = some[: int(np.searchsorted(np.cumsum(tokens[some]), LEAST))]
        comments = [others[each] for each in filling] + [emotional[each][0] for each in four]
        texts.append("\n".join(comments[each] for each in generator.permutation(len(comments))))
        for each in four:
            truth[row, emotional[each][1]] = 1
    truth[:, neutral] = np.nan
    print(part, number, "documents; labels of each:", round(float(np.nansum(truth)) / number, 2))
    return Examples(
        texts=texts,
        labels=LabelMatrix(LabelSpace(tuple(names)), truth),
        ids=[f"{part}-{row}" for row in range(number)],
        source=f"{part}.jsonl",
        data=DataOptions(text_column="text", encoding="utf-8"),
        notes=(),
        lines=list(range(1, number + 1)),
    )


def _themes(text: str) -> list[bool]:
    """Return which themes some stretch of the text mentions often enough."""
    words = re.findall(r"[a-z]+", text.lower())
    found = []
    for theme in THEMES.values():
        places = np.flatnonzero(np.isin(words, theme.split()))
        spans = places[MENTIONS - 1 :] - places[: len(places) - MENTIONS + 1]
        found.append(bool((spans < WORDS).any()))
    return found


def _train(
    folder: Path,
    values: dict[str, Any],
    training: Examples,
    validation: Examples,
    start: Path | None,
) -> float:
    """Train unless it was done; return the seconds of processor time."""
    stopwatch = folder / "seconds.json"
    if is_artifact(folder) and stopwatch.exists():
        return float(json.loads(stopwatch.read_text("utf-8")))
    began = time.process_time()
    train(
        training,
        validation,
        build_options(TrainOptions, values),
        folder,
        start_from=start,
        resume=folder.exists(),
        listener=_Printing(),
    )
    seconds = round(time.process_time() - began, 1)
    stopwatch.write_text(json.dumps(seconds), "utf-8")
    return seconds


class _Printing(Listener):
    def say(self, message: str) -> None:
        print("  ", message, flush=True)


def _figures(windows: str, models: dict[str, Predictor], test: Examples) -> dict[str, Any]:
    """Return the metrics of a model, and their differences from those of the one that cuts."""
    found = compare(models[windows], models["none"], test).metrics
    row: dict[str, Any] = {"windows": windows}
    for name in ("micro_f1", "macro_f1", "jaccard"):
        one = found[name]
        row[name] = _rounded(one.first)
        if windows != "none":
            row |= {
                f"{name}_difference": _rounded(one.difference),
                f"{name}_low": _rounded(one.low),
                f"{name}_high": _rounded(one.high),
                f"{name}_p": _rounded(one.p_value),
            }
    return row


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 4)


if __name__ == "__main__":
    main()
