"""What runs the blocks of the pages: it compares, refuses what no rule covers, and says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from sitebuild.comparing import Tolerance, difference
from sitebuild.given import Given
from sitebuild.pages import PageError, read_steps
from sitebuild.run import run_page
from sitebuild.shell import Shell, commands


def _run(tmp_path: Path, text: str) -> int:
    page, folder = tmp_path / "page.md", tmp_path / "scratch"
    page.write_text(text, "utf-8")
    folder.mkdir()
    return run_page(page, folder, Given(tmp_path / "given"), tmp_path / "tools")


@pytest.mark.parametrize(
    ("shown", "printed", "tolerance", "is_same"),
    [
        ("joy  0.51", "joy 0.51\n", "0", True),
        ("joy 0.51", "joy 0.54", "0", False),
        ("joy 0.51", "joy 0.54", "0.05", True),
        ("joy 0.51", "joy -0.51", "0.05", False),
        ("joy 100", "joy 119", "20%", True),
        ("joy 100", "joy 121", "20%", False),
        ("took 3.2 s", "took 18.25 s", "any", True),
        ("a\n...\nd", "a\nb\nc\nd", "0", True),
        ("a\n...\nd", "a\nb\nc", "0", False),
        ("a ... d", "a b c d", "0", True),
        ("a", "a\nb", "0", False),
        ("a\n...", "a", "0", True),
        ("BERT-2 of 4", "BERT-3 of 4", "0", False),
    ],
)
def test_outputs_are_compared_with_ellipses_and_numbers_within_a_tolerance(
    shown: str, printed: str, tolerance: str, is_same: bool
) -> None:
    assert (difference(shown, printed, Tolerance.parse(tolerance)) is None) is is_same


def test_a_command_goes_on_after_a_backslash_and_in_a_text_of_several_lines() -> None:
    source = "$ one \\\n    two\nshown\n$ cat <<'X'\n> three\n> X\nthree\n"

    assert commands(source) == [
        ("one \\\n    two", "shown\n"),
        ("cat <<'X'\nthree\nX", "three\n"),
    ]


def test_a_page_runs_in_a_folder_of_its_own_with_one_shell_and_one_namespace(
    tmp_path: Path,
) -> None:
    page = """# A page
<!-- given: dev.csv -->
```console
$ export NAME=joy
$ head -1 dev.csv | cut -c1-8
id,text,
```

<!-- file: more.toml -->
```toml
count = 2
```

```python
import tomllib
from pathlib import Path

count = tomllib.loads(Path("more.toml").read_text())["count"]
```

<!-- instead: 1000 => 1 -->
```python
print(count + 1000)
```

```output
3
```

<!-- exit: 3 -->
```console
$ echo $NAME; exit_with() { return 3; }; exit_with
joy
```
"""

    assert _run(tmp_path, page) == 6


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ("```python\n1 / 0\n```", "line 3"),
        ("```python\nprint(1)\n```\n\n```output\n2\n```", "the page shows: 2"),
        ("```console\n$ false\n```", "ended with 1, not 0"),
        ("```console\n$ multihot frobnicate\n```", "frobnicate"),
        ("```console\n$ pip install 'multihot[nothing]'\n```", "no extra nothing"),
        ('```json\n{"a": }\n```', "json"),
        ("```toml\na = \n```", "toml"),
    ],
)
def test_a_block_that_fails_fails_its_page(tmp_path: Path, block: str, found: str) -> None:
    with pytest.raises(Exception) as failing:  # noqa: PT011 - what the block raises is raised
        _run(tmp_path, f"# A page\n\n{block}\n")

    trace = "".join(f"line {each.lineno + 1}\n" for each in failing.traceback)
    assert found in f"{failing.value}{trace}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```\nmultihot\n```", "names no language"),
        ("```rust\nfn\n```", "'rust' is none of"),
        ("```text\nnothing\n```", "needs its reason"),
        ("<!-- plain: no network -->\n```console\n$ true\n```", "marked as text"),
        ("<!-- exit: 1 -->\nwords\n\n```console\n$ false\n```", "not above a block"),
        ("<!-- instead: a => b -->\n```python\nc\n```", "'a' is not in the block"),
    ],
)
def test_what_no_rule_covers_is_refused(tmp_path: Path, text: str, found: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}\n", "utf-8")

    with pytest.raises(PageError, match=found):
        _ = [step.block.code for step in read_steps(page) if step.block]


def test_a_command_that_is_forked_has_its_files_folder_and_status(tmp_path: Path) -> None:
    shell = Shell(tmp_path, tmp_path / "tools", 1)
    try:
        version = shell.run("multihot version")
        unknown = shell.run("multihot nonsense")
        read = shell.run(
            'echo \'{"text": "a", "labels": ["x"]}\' > here.jsonl; multihot inspect here.jsonl'
        )
    finally:
        shell.close()

    assert (version.status, version.err) == (0, "")
    assert version.out.startswith("multihot ")
    assert unknown.status == 2
    assert "unknown command 'nonsense'" in unknown.err
    assert read.status == 0
    assert read.out.startswith("here.jsonl")
