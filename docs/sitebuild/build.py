"""Build the site: python -m sitebuild.build (with docs/ and src/ on PYTHONPATH). Needs no network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import tomli_w

from sitebuild.html_links import broken_links
from sitebuild.stage import HERE, LANGUAGES, ROOT, lay_out, navigation

__all__ = ["build"]

WORK = ROOT / ".site"
HTML = WORK / "html"

_NAMES = {"en": "English", "zh": "中文"}
_TITLES = {
    "en": ("multihot", "Multi-label text classification on BERT-like encoders"),
    "zh": ("multihot", "基于 BERT 类编码器的多标签文本分类"),
}
_PALETTE = {
    "en": ("Follow the system", "Switch to light mode", "Switch to dark mode"),
    "zh": ("跟随系统", "切换到浅色模式", "切换到深色模式"),
}
_EXTENSIONS: dict[str, Any] = {
    "admonition": {},
    "attr_list": {},
    "footnotes": {},
    "md_in_html": {},
    "tables": {},
    "toc": {
        "permalink": True,
        "slugify": {"object": "pymdownx.slugs.slugify", "kwds": {"case": "lower"}},
    },
    "pymdownx": {
        "details": {},
        "superfences": {},
        "highlight": {"pygments_lang_class": True, "anchor_linenums": False},
        "inlinehilite": {},
    },
}


def build() -> list[str]:
    """Build both languages into `.site/html`; return what is wrong with pages and links."""
    site = lay_out(WORK)
    problems = list(site.problems)
    for language in LANGUAGES:
        folder = WORK / language
        (folder / "zensical.toml").write_text(
            tomli_w.dumps({"project": _configuration(language, folder / "docs")}), "utf-8"
        )
        done = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        said = f"{done.stdout}\n{done.stderr}"
        if done.returncode or "warning" in said.lower():
            plain = re.sub(r"\x1b\[[0-9;]*m", "", said).strip()
            problems.append(f"{language}: {plain}")
        shutil.copytree(folder / "html", HTML / language, dirs_exist_ok=True)
    shutil.copyfile(HERE / "index.html", HTML / "index.html")
    return problems + broken_links(HTML)


def _configuration(language: str, docs: Path) -> dict[str, Any]:
    title, description = _TITLES[language]
    follow, light, dark = _PALETTE[language]
    return {
        "site_name": title,
        "site_description": description,
        "docs_dir": "docs",
        "site_dir": "html",
        "use_directory_urls": True,
        "nav": navigation(language, docs),
        "extra_css": ["assets/site.css"],
        "extra_javascript": ["assets/tables.js"],
        "theme": {
            "language": language,
            "custom_dir": "theme",
            "font": False,
            "features": [
                "content.code.copy",
                "navigation.footer",
                "navigation.indexes",
                "navigation.tabs",
                "navigation.top",
                "search.highlight",
                "toc.follow",
            ],
            "palette": [
                {
                    "media": "(prefers-color-scheme)",
                    "toggle": {"icon": "lucide/sun-moon", "name": light},
                },
                {
                    "media": "(prefers-color-scheme: light)",
                    "scheme": "default",
                    "toggle": {"icon": "lucide/sun", "name": dark},
                },
                {
                    "media": "(prefers-color-scheme: dark)",
                    "scheme": "slate",
                    "toggle": {"icon": "lucide/moon", "name": follow},
                },
            ],
        },
        "markdown_extensions": _EXTENSIONS,
        "extra": {
            "generator": False,
            "alternate": [
                {"name": name, "link": f"../{each}/", "lang": each} for each, name in _NAMES.items()
            ],
        },
    }


def main() -> int:
    """Build, and say what is wrong; return the exit code."""
    problems = build()
    for each in problems:
        print(each)
    if not problems:
        print(f"Built {HTML.relative_to(ROOT)}: python -m http.server --directory .site/html")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
