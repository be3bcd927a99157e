"""What a container's health check asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from served import serving

TOKEN = "a-token-of-many-characters"


def _probe(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "multihot.serving.probe", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_probe_tells_a_server_that_answers_from_one_that_refuses_or_is_gone(
    exported_model: Path, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    with serving(exported_model, options=("--token-file", str(token_file))) as served:
        url = f"{served.url}/readyz"
        assert _probe(url, str(token_file)).returncode == 0
        for refused, reason in ((_probe(url), "401"), (_probe(url, "no-such-file"), "401")):
            assert refused.returncode == 1
            assert reason in refused.stderr
        assert _probe(f"{served.url}/nothing", str(token_file)).returncode == 1

    gone = _probe(url, str(token_file), "0.5")
    assert gone.returncode == 1
    assert gone.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("file:///etc/hostname",), ("http://127.0.0.1:1/", "", "soon")])
def test_words_that_are_no_address_or_no_time_are_said_in_a_line(words: tuple[str, ...]) -> None:
    done = _probe(*words)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_the_probe_imports_neither_numpy_nor_a_server() -> None:
    code = (
        "import sys, multihot.serving.probe;"
        "print(sorted({'numpy', 'fastapi', 'tokenizers', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
