"""The command line: verbs to functions. Each verb imports what it needs when it runs."""

from __future__ import annotations

from multihot.cli.main import main

__all__ = ["main"]
