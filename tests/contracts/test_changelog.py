"""The changelog speaks of the version that the package has."""

from __future__ import annotations

import re
import tomllib

from contracts.sources import ROOT


def test_the_newest_entry_of_the_changelog_is_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    entries = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert entries[0] == project["version"]
