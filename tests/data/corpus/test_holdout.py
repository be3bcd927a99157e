from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from corpora import stories, write_documents
from multihot.data.corpus.documents import (
    Corpus,
    HoldoutRule,
    holdout_rule,
    read_corpus,
    split_document,
)


def _corpus(path: Path, num_documents: int, passages: int = 3) -> Corpus:
    return read_corpus(
        [write_documents(path / "a.jsonl", stories(num_documents, passages=passages))]
    )


def _held_out(corpus: Corpus, rule: HoldoutRule) -> list[list[bool]]:
    return [
        [is_held_out for is_held_out, _ in split_document(each, rule)]
        for each in corpus.documents()
    ]


def test_about_the_fraction_of_the_documents_is_held_out_whole(tmp_path: Path) -> None:
    documents = [[f"document number {number} of many"] for number in range(4000)]
    corpus = read_corpus([write_documents(tmp_path / "a.jsonl", documents)])
    rules = [holdout_rule(corpus, 0.1, seed) for seed in (0, 1)]
    chosen, others = (_held_out(corpus, rule) for rule in rules)

    assert not rules[0].by_section
    assert rules[0].notes() == []
    assert 340 < sum(map(sum, chosen)) < 460
    assert 340 < sum(map(sum, others)) < 460
    assert chosen != others
    for document in corpus.documents():
        ((_, passages),) = split_document(document, rules[0])
        assert passages == document.passages


def test_what_is_held_out_does_not_depend_on_the_rest(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, 100)
    rule = holdout_rule(corpus, 0.2, seed=0)
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "b.jsonl").write_text("".join(reversed(lines[:60])), encoding="utf-8")
    fewer = read_corpus([tmp_path / "b.jsonl"])

    assert holdout_rule(fewer, 0.2, seed=0) == rule


def test_sections_are_held_out_where_documents_are_few(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, 3, passages=1500)
    rule = holdout_rule(corpus, 0.2, seed=0)
    runs = [list(split_document(each, rule)) for each in corpus.documents()]
    characters = {True: 0, False: 0}
    for is_held_out, passages in (run for document in runs for run in document):
        characters[is_held_out] += sum(map(len, passages))

    assert rule.by_section
    assert "sections of them are held out" in rule.notes()[0]
    for document, found in zip(corpus.documents(), runs, strict=True):
        assert tuple(each for _, passages in found for each in passages) == document.passages
        assert all(one[0] != following[0] for one, following in pairwise(found))
    assert 0.1 < characters[True] / sum(characters.values()) < 0.3


def test_a_tiny_corpus_still_has_two_sides(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, 6, passages=2)
    parts = _held_out(corpus, holdout_rule(corpus, 0.05, seed=0))

    assert sum(each == [True] for each in parts) == 2


def test_nothing_is_held_out_without_a_fraction_or_of_a_single_section(tmp_path: Path) -> None:
    several, single = _corpus(tmp_path, 5), read_corpus([tmp_path / "a.jsonl"])

    assert not any(map(any, _held_out(several, holdout_rule(several, 0.0, seed=0))))
    write_documents(tmp_path / "a.jsonl", stories(1))
    assert _held_out(single, holdout_rule(single, 0.5, seed=0)) == [[False]]
