"""Importing a module has no effect but its names, and pulls in nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

from contracts.sources import PACKAGE, modules, torch_may_be_imported

HEAVY = (
    "accelerate datasets huggingface_hub openpyxl pandas pyarrow rich scipy sklearn tensorboard "
    "torch transformers"
).split()

SCRIPT = """
import importlib, json, logging, os, sys
before = (list(logging.getLogger().handlers), logging.getLogger().level, dict(os.environ))
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    loaded = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))
    assert not loaded, f"importing {name} pulled in {loaded}"
after = (list(logging.getLogger().handlers), logging.getLogger().level, dict(os.environ))
assert before == after, (before, after)
"""


def test_importing_every_torch_free_module_is_silent_and_light() -> None:
    names = [name for name in modules() if not torch_may_be_imported(name)]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(names), json.dumps(HEAVY)],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.stdout + run.stderr == ""
    assert run.returncode == 0
