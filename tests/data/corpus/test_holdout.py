from __future__ import annotations

from pathlib import Path

from corpora import stories, write_documents
from multihot.data.corpus.documents import Corpus, new_document, read_corpus
from multihot.data.corpus.holdout import HeldOutRule, held_out_rule, is_held_out, split_document


def _corpus(path: Path, num_documents: int, passages: int = 3) -> Corpus:
    return read_corpus(
        [write_documents(path / "a.jsonl", stories(num_documents, passages=passages))]
    )


def _aside(corpus: Corpus, rule: HeldOutRule) -> list[list[bool]]:
    return [[aside for aside, _ in split_document(each, rule)] for each in corpus.documents()]


def test_the_share_of_documents_is_about_the_fraction() -> None:
    documents = [new_document(str(number), [f"document {number}"]) for number in range(4000)]
    chosen = [is_held_out(each, 0.1, seed=0) for each in documents]
    others = [is_held_out(each, 0.1, seed=1) for each in documents]

    assert 340 < sum(chosen) < 460
    assert 340 < sum(others) < 460
    assert chosen != others


def test_whole_documents_are_set_aside_where_there_are_enough(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, 100)
    rule = held_out_rule(corpus, 0.1, seed=0)

    assert not rule.by_section
    assert rule.notes() == []
    for document in corpus.documents():
        (found,) = split_document(document, rule)
        assert found == (is_held_out(document, 0.1, seed=0), document.passages)


def test_what_is_set_aside_does_not_depend_on_the_rest(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, 100)
    rule = held_out_rule(corpus, 0.2, seed=0)
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "b.jsonl").write_text("".join(reversed(lines[:60])), encoding="utf-8")
    fewer = read_corpus([tmp_path / "b.jsonl"])

    assert held_out_rule(fewer, 0.2, seed=0) == rule


def test_sections_are_set_aside_where_documents_are_few(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, 3, passages=1500)
    rule = held_out_rule(corpus, 0.2, seed=0)
    runs = [list(split_document(each, rule)) for each in corpus.documents()]
    characters = {True: 0, False: 0}
    for aside, passages in (run for document in runs for run in document):
        characters[aside] += sum(map(len, passages))

    assert rule.by_section
    assert "sections of them are held out" in rule.notes()[0]
    for document, found in zip(corpus.documents(), runs, strict=True):
        assert tuple(each for _, passages in found for each in passages) == document.passages
        assert [aside for aside, _ in found[1:]] == [not aside for aside, _ in found[:-1]]
    assert 0.1 < characters[True] / sum(characters.values()) < 0.3


def test_a_tiny_corpus_still_has_two_sides(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, 6, passages=2)
    aside = _aside(corpus, held_out_rule(corpus, 0.05, seed=0))

    assert sum(each == [True] for each in aside) == 2


def test_nothing_is_set_aside_of_nothing_or_of_a_single_section(tmp_path: Path) -> None:
    several, single = _corpus(tmp_path, 5), read_corpus([tmp_path / "a.jsonl"])

    assert not any(map(any, _aside(several, held_out_rule(several, 0.0, seed=0))))
    write_documents(tmp_path / "a.jsonl", stories(1))
    assert _aside(single, held_out_rule(single, 0.5, seed=0)) == [[False]]
