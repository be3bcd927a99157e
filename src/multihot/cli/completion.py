"""`multihot completion`: a script for the shell, made from the parsers and options as they are."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from multihot.cli.arguments import flags_of, new_parser, parse
from multihot.cli.console import StandardOutput
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  source <(multihot completion bash)
  multihot completion bash > ~/.local/share/bash-completion/completions/multihot
  multihot completion zsh > ~/.zsh/completions/_multihot    # a folder of fpath

Completes commands, flags, keys of options (key=value) and files.
"""
_TRAINING = ("train", "pretrain", "audit")
_READING = (
    "train",
    "evaluate",
    "report",
    "compare",
    "decide",
    "predict",
    "split",
    "inspect",
    "doctor",
    "bench",
    "explain",
    "suggest",
)

_BASH = """# Completion of multihot for bash; made by 'multihot completion bash'.
_multihot() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}" flags="" keys="" found
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=( $(compgen -W "{commands}" -- "$word") )
        return
    fi
    case "$command" in
{cases}
    esac
    # A key and its value are words of their own, with "=" between them.
    if [ "$word" = "=" ]; then return; fi
    if [ "${{COMP_WORDS[COMP_CWORD-1]}}" = "=" ]; then keys=""; fi
    case "$word" in
        -*) COMPREPLY=( $(compgen -W "$flags" -- "$word") ); return ;;
        "") return ;;
    esac
    COMPREPLY=( $(compgen -W "$keys" -- "$word") )
    if [ "${{#COMPREPLY[@]}}" -gt 0 ]; then
        compopt -o nospace 2>/dev/null
        while IFS= read -r found; do
            COMPREPLY+=( "$(printf '%q' "$found")" )
        done < <(compgen -f -- "$word")
    fi
}}
complete -o default -F _multihot multihot
"""
_BASH_CASE = """        {command}) flags="{flags}"; keys="{keys}" ;;"""

_ZSH = """#compdef multihot
# Completion of multihot for zsh; made by 'multihot completion zsh'.
_multihot() {{
    local -a flags keys
    if (( CURRENT == 2 )); then
        compadd -- {commands}
        return
    fi
    case "${{words[2]}}" in
{cases}
    esac
    case "${{words[CURRENT]}}" in
        -*) compadd -- $flags ;;
        *=*) compset -P '*='; _files ;;
        *) compadd -S '' -- $keys; _files ;;
    esac
}}
if [[ "${{funcstack[1]}}" == _multihot ]]; then
    _multihot "$@"
else
    compdef _multihot multihot
fi
"""
_ZSH_CASE = """        {command}) flags=({flags}); keys=({keys}) ;;"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("completion", "Print a completion script for a shell.", _EPILOG)
    parser.add_argument("shell", choices=("bash", "zsh"), metavar="bash|zsh", help="the shell")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    from multihot.cli.main import COMMANDS

    script, case = (_BASH, _BASH_CASE) if given.shell == "bash" else (_ZSH, _ZSH_CASE)
    cases = []
    for command in COMMANDS:
        if command not in ("help", "version"):
            module = importlib.import_module(f"multihot.cli.{command.replace('-', '_')}")
            flags = " ".join(flags_of(module.build_parser()))
            keys = " ".join(f"{key}=" for key in _keys(command))
            cases.append(case.format(command=command, flags=flags, keys=keys))
    commands = " ".join(COMMANDS)
    cases.append(case.format(command="help", flags="", keys=commands))
    StandardOutput().write(script.format(commands=commands, cases="\n".join(cases)))
    return 0


def _keys(command: str) -> Iterator[str]:
    """Yield what a command takes beside files and flags, mostly the keys of options."""
    if command in _TRAINING:
        yield from _names(PretrainOptions() if command == "pretrain" else TrainOptions(), "")
    elif command in _READING:
        yield from _names(DataOptions(), "data.")


def _names(options: Any, prefix: str) -> Iterator[str]:
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value) and field.name != "probe":
            yield from _names(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"
