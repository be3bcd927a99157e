"""No Chinese page is older than its English one: python -m sitebuild.ages shows what changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from contracts.sources import ROOT
from sitebuild.ages import identifier, pairs, stale


def test_a_chinese_page_is_older_when_the_english_one_changes(tmp_path: Path) -> None:
    for language in ("en", "zh"):
        (tmp_path / "docs" / language / "how-to").mkdir(parents=True)
    english = tmp_path / "docs" / "en" / "how-to" / "split.md"
    chinese = tmp_path / "docs" / "zh" / "how-to" / "split.md"
    alone = tmp_path / "docs" / "zh" / "alone.md"
    alone.write_text("# 只有中文\n", "utf-8")
    english.write_text("# Split\n", "utf-8")
    chinese.write_text("# 划分\n", "utf-8")
    assert [each.chinese for each in stale(tmp_path)] == [chinese]  # it names nothing

    chinese.write_text(f"<!-- translated from {identifier(english)[:12]} -->\n# 划分\n", "utf-8")
    assert stale(tmp_path) == []

    english.write_text("# Split a file\n", "utf-8")
    assert [each.chinese for each in stale(tmp_path)] == [chinese]


def test_the_identifier_is_the_one_of_git() -> None:
    page = ROOT / "README.md"
    command = ["git", "hash-object", "--no-filters", str(page)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert identifier(page) == said.stdout.strip()


def test_no_chinese_page_is_older_than_its_english_one() -> None:
    older = [str(each.chinese.relative_to(ROOT)) for each in stale()]

    assert older == [], "run: PYTHONPATH=docs python -m sitebuild.ages"
    assert all(each.stated for each in pairs())
