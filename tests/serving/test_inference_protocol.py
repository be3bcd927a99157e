"""The HTTP client of Triton, unmodified, and raw requests of the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from shapes import LABELS, TEXTS, TOKEN, Told, answering

pytestmark = pytest.mark.slow


def authorized() -> dict[str, str]:
    """Return headers; new ones each time, since `infer` writes lengths into those that it gets."""
    return {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    with answering(exported) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address.removeprefix("http://")) as found:
        yield found


def tensor(texts: tuple[str, ...], *, binary: bool) -> Any:
    array = np.array(texts, dtype=np.object_)
    return triton.InferInput("text", list(array.shape), "BYTES").set_data_from_numpy(
        array, binary_data=binary
    )


def expected(told: Told) -> tuple[list[list[float]], list[list[bool]]]:
    scores = [[row[name] for name in LABELS] for row in told.scores]
    return scores, [[name in row for name in LABELS] for row in told.labels]


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False, None])
def test_tensors_hold_what_predict_says(
    client: triton.InferenceServerClient,
    told: Told,
    binary_input: bool,
    binary_output: bool | None,
) -> None:
    wanted = None
    if binary_output is not None:
        names = ("labels", "scores")
        wanted = [triton.InferRequestedOutput(name, binary_output) for name in names]

    found = client.infer(
        "ec",
        [tensor(TEXTS, binary=binary_input)],
        outputs=wanted,
        request_id="42",
        headers=authorized(),
    )

    scores, labels = expected(told)
    assert found.as_numpy("scores").dtype == np.float32
    np.testing.assert_array_equal(np.round(found.as_numpy("scores").astype(float), 6), scores)
    np.testing.assert_array_equal(found.as_numpy("labels"), labels)
    assert found.get_response()["id"] == "42"
    assert found.get_response()["model_name"] == "ec"


def test_only_the_outputs_that_are_asked_for_are_returned(
    client: triton.InferenceServerClient,
) -> None:
    wanted = [triton.InferRequestedOutput("labels", binary_data=False)]

    found = client.infer(
        "ec", [tensor(("happy",), binary=True)], outputs=wanted, headers=authorized()
    )

    assert [each["name"] for each in found.get_response()["outputs"]] == ["labels"]


def test_metadata_tells_of_tensors_labels_and_the_decision(
    client: triton.InferenceServerClient,
) -> None:
    assert client.is_server_live(headers=authorized())
    assert client.is_server_ready(headers=authorized())
    assert client.is_model_ready("ec", headers=authorized())
    assert not client.is_model_ready("no", headers=authorized())
    assert client.get_server_metadata(headers=authorized())["name"] == "multihot"
    metadata = client.get_model_metadata("ec", headers=authorized())
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    tensors = [(each["name"], each["datatype"], each["shape"]) for each in metadata["outputs"]]
    assert tensors == [("scores", "FP32", [-1, 3]), ("labels", "BOOL", [-1, 3])]
    assert metadata["outputs"][0]["parameters"] == {"labels": list(LABELS)}


def test_the_version_of_a_model_is_that_of_its_decision(
    client: triton.InferenceServerClient,
) -> None:
    (number,) = client.get_model_metadata("ec", headers=authorized())["versions"]
    inputs = [tensor(("happy",), binary=True)]

    found = client.infer("ec", inputs, model_version=number, headers=authorized())

    assert found.get_response()["model_version"] == number
    assert client.is_model_ready("ec", number, headers=authorized())
    with pytest.raises(InferenceServerException, match=f"has the version {number}"):
        client.infer("ec", inputs, model_version="1", headers=authorized())


def test_refusals_are_sentences_of_the_client_s_own_error(
    client: triton.InferenceServerClient,
) -> None:
    shared = triton.InferInput("text", [1], "BYTES")
    shared.set_shared_memory("region", 8)
    other = triton.InferInput("text", [1], "INT32")
    other.set_data_from_numpy(np.array([1], dtype=np.int32))
    classes = [triton.InferRequestedOutput("scores", class_count=2)]
    good = tensor(("happy",), binary=True)
    for status, words, arguments in (
        ("404", "no model 'no'", {"model_name": "no", "inputs": [good], "headers": authorized()}),
        ("401", "token", {"model_name": "ec", "inputs": [good]}),
        ("422", "shared_memory", {"model_name": "ec", "inputs": [shared], "headers": authorized()}),
        ("422", "datatype", {"model_name": "ec", "inputs": [other], "headers": authorized()}),
        (
            "422",
            "classification",
            {"model_name": "ec", "inputs": [good], "outputs": classes, "headers": authorized()},
        ),
        (
            "413",
            "at most 32",
            {
                "model_name": "ec",
                "inputs": [tensor(("a",) * 33, binary=True)],
                "headers": authorized(),
            },
        ),
        (
            "415",
            "Compressed",
            {
                "model_name": "ec",
                "inputs": [good],
                "request_compression_algorithm": "gzip",
                "headers": authorized(),
            },
        ),
    ):
        with pytest.raises(InferenceServerException, match=words) as caught:
            client.infer(**arguments)

        assert caught.value.status() == status


def body(shape: list[int], size: object, behind: bytes) -> tuple[bytes, int]:
    head = {
        "inputs": [
            {
                "name": "text",
                "shape": shape,
                "datatype": "BYTES",
                "parameters": {"binary_data_size": size},
            }
        ]
    }
    raw = json.dumps(head).encode()
    return raw + behind, len(raw)


GOOD = b"\x02\x00\x00\x00hi"


@pytest.mark.parametrize(
    ("shape", "size", "behind", "moved"),
    [
        ([1], 6, b"\x03\x00\x00\x00hi", 0),  # longer than what is there
        ([1], 3, b"\x02\x00\x00", 0),  # ends in a length
        ([1], 6, b"\xff\xff\xff\xffhi", 0),
        ([1], 6, b"\x02\x00\x00\x00\xff\xfe", 0),  # no UTF-8
        ([2], 6, GOOD, 0),
        ([1], 5, GOOD, 0),
        ([1], -6, GOOD, 0),
        ([1], True, b"\x00", 0),
        ([1], "6", GOOD, 0),
        ([1], 6, GOOD, 1),  # the header counts a byte of the tensor
        ([1], 6, GOOD, -1),
        ([1], 6, GOOD, 10**6),
        ([0], 0, b"", 0),  # no text
    ],
)
def test_binary_data_that_is_not_what_it_says_is_refused(
    address: str, shape: list[int], size: object, behind: bytes, moved: int
) -> None:
    content, length = body(shape, size, behind)
    headers = {**authorized(), "inference-header-content-length": str(length + moved)}

    found = httpx2.post(f"{address}/v2/models/ec/infer", content=content, headers=headers)

    assert found.status_code == 422
    assert set(found.json()) == {"error"}


def test_the_same_bytes_said_rightly_are_answered(address: str) -> None:
    content, length = body([1], 6, GOOD)
    headers = {
        **authorized(),
        "inference-header-content-length": str(length),
        "content-type": "application/octet-stream",
    }

    found = httpx2.post(f"{address}/v2/models/ec/infer", content=content, headers=headers)

    assert found.status_code == 200
    assert found.json()["outputs"][0]["shape"] == [1, 3]


def test_a_column_of_texts_is_a_batch(address: str) -> None:
    inputs = [{"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [["happy"], ["sad"]]}]

    found = httpx2.post(
        f"{address}/v2/models/ec/infer", json={"inputs": inputs}, headers=authorized()
    )

    assert found.json()["outputs"][0]["shape"] == [2, 3]


def test_a_body_as_kserve_s_client_writes_it_is_answered(address: str) -> None:
    body = {
        "id": "8c9b5f3e",
        "model_name": "whatever the client calls it",
        "inputs": [
            {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {}, "data": ["happy"]}
        ],
        "parameters": {"binary_data_output": False},
    }

    found = httpx2.post(f"{address}/v2/models/ec/infer", json=body, headers=authorized())

    assert found.status_code == 200
    assert found.json()["id"] == body["id"]


def test_pages_of_other_origins_may_not_send_tensors(address: str) -> None:
    # A page can send bytes without a content type, and the browser asks nobody before.
    content, length = body([1], 6, GOOD)
    headers = {
        **authorized(),
        "inference-header-content-length": str(length),
        "origin": "https://example.org",
    }

    found = httpx2.post(f"{address}/v2/models/ec/infer", content=content, headers=headers)

    assert found.status_code == 403


def test_other_routes_still_want_json(address: str) -> None:
    for path in ("/v1/predict", "/predict", "/v2/models/ec", "/v2"):
        found = httpx2.post(f"{address}{path}", content=b"{}", headers=authorized())

        assert found.status_code in (404, 405, 415)


def test_openapi_names_the_served_models_and_no_stray_parameters(address: str) -> None:
    paths = httpx2.get(f"{address}/openapi.json", headers=authorized()).json()["paths"]

    for path, methods in paths.items():
        for operation in methods.values():
            parameters = {each["name"]: each for each in operation.get("parameters", [])}
            assert all(f"{{{name}}}" in path for name in parameters)
            if "name" in parameters:
                assert parameters["name"]["schema"]["enum"] == ["ec"]
