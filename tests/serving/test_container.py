"""The files for containers agree with the package and with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from multihot.cli.serve import build_parser

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


def _installed(extras: list[str]) -> set[str]:
    """Return the names of all packages that extras ask for, those of extras within them too."""
    names: set[str] = set()
    for extra in extras:
        for requirement in EXTRAS[extra]:
            inner = re.fullmatch(r"multihot\[(.+)\]", requirement)
            name = re.match(r"[\w.-]+", requirement)
            assert name is not None
            names |= _installed(inner[1].split(",")) if inner else {name[0]}
    return names


def _words(instruction: str) -> list[str]:
    (found,) = re.findall(rf"^{instruction} (\[.+\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = yaml.safe_load(found)
    return words


def _pods() -> list[Any]:
    return list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8")))


def test_the_image_installs_what_serves_and_nothing_that_trains() -> None:
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", DOCKERFILE)
    names = _installed(extras.split(","))

    assert {"fastapi", "uvicorn", "onnxruntime"} <= names
    assert names & {"torch", "transformers", "scipy", "onnx"} == set()


def test_the_build_copies_only_files_that_are_there_and_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name.removeprefix("./") for line in copied for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()

    assert {name for name in names if not (ROOT / name).exists()} == set()
    assert {line[1:] for line in ignored if line.startswith("!")} == names


def test_the_images_words_are_those_of_the_command() -> None:
    program, command, *words = _words("ENTRYPOINT") + _words("CMD")

    assert (program, command) == ("multihot", "serve")
    given = build_parser().parse_args(words)
    assert given.token_file == "/run/secrets/multihot-token"
    assert not given.insecure


def test_orchestrators_wait_longer_than_the_server_drains() -> None:
    drain = build_parser().get_default("drain")
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    service = compose["services"]["multihot"]
    deployment = next(each for each in _pods() if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = build_parser().parse_args(container["args"])
    before = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])

    assert int(service["stop_grace_period"].removesuffix("s")) > drain
    assert pod["terminationGracePeriodSeconds"] > before + given.drain
    assert service["read_only"]
    assert service["ports"][0].startswith("127.0.0.1:")
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_every_health_check_asks_with_the_token_of_the_server() -> None:
    deployment = next(each for each in _pods() if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = [
        container[f"{kind}Probe"]["exec"]["command"]
        for kind in ("startup", "readiness", "liveness")
    ]
    (health,) = re.findall(r"HEALTHCHECK.*?CMD (\[.+?\])", DOCKERFILE, re.DOTALL)

    for words in [*probes, yaml.safe_load(health)]:
        assert words[:3] == ["python", "-m", "multihot.serving.probe"]
        assert words[4] == _words("ENTRYPOINT")[-1]
