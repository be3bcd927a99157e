"""The Open Inference Protocol, version 2, as KServe, Triton and their clients speak it: `/v2`.

One input, `text` (BYTES), and two outputs for N texts and L labels: `scores` (FP32) and `labels` (BOOL, whether
a label is chosen). Tensors are lists in JSON, or bytes behind it, as the binary tensor data extension has them.
The version of a model is that of its decision.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from multihot.core.text_tables import cut
from multihot.serving.bodies import STRICT, body_schema, model_in_path, parse_body
from multihot.serving.huggingface import answer_headers
from multihot.serving.native import Name
from multihot.serving.problems import Problem, json_response
from multihot.serving.running import Answer, Running
from multihot.serving.served_model import ServedModel

__all__ = ["inference_protocol_routes"]

_EXAMPLE = {
    "inputs": [
        {
            "name": "text",
            "shape": [1],
            "datatype": "BYTES",
            "data": ["I'm happy, the bert model is so good"],
        }
    ]
}
_ANSWER = {
    "model_name": "ec",
    "model_version": "3f2a90c1d2e4",
    "outputs": [
        {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [0.04, 0.93]},
        {"name": "labels", "datatype": "BOOL", "shape": [1, 2], "data": [False, True]},
    ],
}
_HEADER_LENGTH = "inference-header-content-length"
_OUTPUTS = ("scores", "labels")
_LENGTH_BYTES = 4  # of the length before each element of a BYTES tensor
_MOST_DIGITS = 9
_MOST_TEXTS = 10_000
_UNSUPPORTED = re.compile(r"shared_memory_.*|classification")

_Parameters = Annotated[dict[Name, bool | int | float | str], Field(max_length=64)]
_Elements = Annotated[list[str], Field(max_length=_MOST_TEXTS)]
_Column = Annotated[
    list[Annotated[list[str], Field(min_length=1, max_length=1)]], Field(max_length=_MOST_TEXTS)
]


class InputTensor(BaseModel):
    """The texts."""

    model_config = STRICT

    name: Literal["text"]
    shape: list[Annotated[int, Field(ge=0, le=_MOST_TEXTS)]] = Field(min_length=1, max_length=2)
    """`[N]`, or `[N, 1]` as clients of batching models write it."""
    datatype: Literal["BYTES"]
    parameters: _Parameters | None = None
    """`binary_data_size`, where the elements are bytes behind the JSON."""
    data: _Elements | _Column | None = None


class RequestedOutput(BaseModel):
    """An output that a client wants."""

    model_config = STRICT

    name: Literal["scores", "labels"]
    parameters: _Parameters | None = None
    """`binary_data`: return it as bytes behind the JSON."""


class InferRequest(BaseModel):
    """Texts to label, as a tensor."""

    model_config = STRICT

    id: Annotated[str, Field(max_length=1000)] | None = None
    """Returned with the answer."""
    model_name: Name | None = None
    """Sent by clients of KServe; the path says which model answers."""
    model_version: Name | None = None
    parameters: _Parameters | None = None
    """`binary_data_output`: return every output as bytes behind the JSON; others change nothing."""
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = Field(None, max_length=2)
    """Default: both."""


def inference_protocol_routes(running: Running) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["Open Inference Protocol"])
    _add_server_routes(router, running)
    _add_model_routes(router, running)
    schema, known = body_schema(InferRequest, _EXAMPLE, _ANSWER), model_in_path(running)

    @router.post("/v2/models/{name}/infer", openapi_extra=schema)
    async def infer(request: Request, name: str = known) -> Response:
        """Label the texts of a tensor."""
        return await _inferred(running, request, running.model(name))

    @router.post("/v2/models/{name}/versions/{number}/infer", openapi_extra=schema)
    async def infer_version(request: Request, number: str, name: str = known) -> Response:
        """Label the texts of a tensor, if the decision of the model has this version."""
        return await _inferred(running, request, _version(running, name, number))

    return router


def _add_server_routes(router: APIRouter, running: Running) -> None:
    @router.get("/v2")
    async def server() -> Response:
        """Describe the server."""
        return json_response(
            {
                "name": "multihot",
                "version": version("multihot"),
                "extensions": ["binary_tensor_data"],
            }
        )

    @router.get("/v2/health/live")
    async def live() -> Response:
        """Answer as long as the process does."""
        return json_response({"live": True})

    @router.get("/v2/health/ready")
    async def ready() -> Response:
        """Answer 200 while requests are accepted, else 503."""
        _require_ready(running)
        return json_response({"live": True, "ready": True})


def _add_model_routes(router: APIRouter, running: Running) -> None:
    known = model_in_path(running)

    @router.get("/v2/models/{name}")
    async def metadata(name: str = known) -> Response:
        """Describe the tensors of a model, and its labels in class order."""
        return json_response(_metadata(running.model(name)))

    @router.get("/v2/models/{name}/versions/{number}")
    async def metadata_of_version(number: str, name: str = known) -> Response:
        """Describe the tensors of a model, if its decision has this version."""
        return json_response(_metadata(_version(running, name, number)))

    @router.get("/v2/models/{name}/ready")
    async def model_ready(name: str = known) -> Response:
        """Answer 200 while requests are accepted, else 503."""
        _require_ready(running)
        return json_response({"name": running.model(name).name, "ready": True})

    @router.get("/v2/models/{name}/versions/{number}/ready")
    async def version_ready(number: str, name: str = known) -> Response:
        """Answer 200 while requests are accepted, else 503."""
        _require_ready(running)
        return json_response({"name": _version(running, name, number).name, "ready": True})


def _require_ready(running: Running) -> None:
    if running.is_draining:
        raise Problem(503, "The server is stopping.", retry_seconds=1)


def _version(running: Running, name: str, number: str) -> ServedModel:
    """Return a model; raise `Problem` (404) unless its decision has the version that is asked for."""
    served = running.model(name)
    if number != served.now.version:
        raise Problem(
            404,
            f"Model {cut(name)} has no version {cut(number)}; its decision has the version {served.now.version}.",
        )
    return served


def _metadata(served: ServedModel) -> dict[str, Any]:
    names = list(served.now.decision.space.names)
    types = zip(_OUTPUTS, ("FP32", "BOOL"), strict=True)
    return {
        "name": served.name,
        "versions": [served.now.version],
        "platform": f"multihot_{served.now.predictor.artifact.form}",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {
                "name": name,
                "datatype": datatype,
                "shape": [-1, len(names)],
                "parameters": {"labels": names},
            }
            for name, datatype in types
        ],
    }


async def _inferred(running: Running, request: Request, served: ServedModel) -> Response:
    body, behind = _parts(request, await request.body())
    texts = _texts(body.inputs[0], behind)
    wanted = _wanted(body)
    answer = await running.answer(request, texts, model=served.name)
    head: dict[str, Any] = {"model_name": served.name, "model_version": answer.serving.version}
    if body.id is not None:
        head["id"] = body.id
    return _respond(head, answer, wanted)


def _parts(request: Request, content: bytes) -> tuple[InferRequest, bytes | None]:
    """Return the JSON of a body, and the bytes behind it, if a header says that there are any."""
    given = request.headers.get(_HEADER_LENGTH)
    if given is None:
        return parse_body(content, InferRequest), None
    is_number = given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS
    if not is_number or int(given) > len(content):
        raise Problem(
            422,
            f"Inference-Header-Content-Length is {cut(given)}; the body has {len(content)} bytes.",
        )
    source = f"The request body up to byte {given} (Inference-Header-Content-Length)"
    return parse_body(content[: int(given)], InferRequest, source), content[int(given) :]


def _texts(tensor: InputTensor, behind: bytes | None) -> list[str]:
    """Return the elements of the input; raise `Problem` where they are not what its shape says."""
    parameters = tensor.parameters or {}
    _refuse_unsupported("text", parameters)
    size = parameters.get("binary_data_size")
    if size is not None:
        if tensor.data is not None:
            raise Problem(422, "Input text has data and binary_data_size; expected one of them.")
        if behind is None or type(size) is not int or size != len(behind):
            raise Problem(
                422,
                f"Input text has binary_data_size {cut(size)}; behind the JSON of the body there are "
                f"{0 if behind is None else len(behind)} bytes.",
            )
        texts = _unpacked(behind)
    elif tensor.data is None or behind:
        raise Problem(
            422, "Input text has neither data nor the binary_data_size of what is behind the JSON."
        )
    else:
        texts = [each if isinstance(each, str) else each[0] for each in tensor.data]
    if tensor.shape not in ([len(texts)], [len(texts), 1]):
        raise Problem(
            422,
            f"Input text has the shape {tensor.shape} and {len(texts)} elements; expected [{len(texts)}].",
        )
    return texts


def _unpacked(content: bytes) -> list[str]:
    """Return the elements of a BYTES tensor: before each is its length, in four bytes."""
    texts: list[str] = []
    start = 0
    while start < len(content):
        begin = start + _LENGTH_BYTES
        end = begin + int.from_bytes(content[start:begin], "little")
        if begin > len(content) or end > len(content) or len(texts) == _MOST_TEXTS:
            raise Problem(
                422, f"Element {len(texts)} of input text does not end in its binary data."
            )
        try:
            texts.append(content[begin:end].decode("utf-8"))
        except UnicodeDecodeError:
            raise Problem(422, f"Element {len(texts)} of input text is not UTF-8.") from None
        start = end
    return texts


def _wanted(body: InferRequest) -> dict[str, bool]:
    """Return the outputs that are wanted, and whether each is wanted as bytes."""
    as_bytes = (body.parameters or {}).get("binary_data_output") is True
    if not body.outputs:
        return dict.fromkeys(_OUTPUTS, as_bytes)
    wanted: dict[str, bool] = {}
    for output in body.outputs:
        parameters = output.parameters or {}
        _refuse_unsupported(output.name, parameters)
        wanted[output.name] = parameters.get("binary_data", as_bytes) is True
    return wanted


def _refuse_unsupported(name: str, parameters: dict[str, Any]) -> None:
    for key in parameters:
        if _UNSUPPORTED.fullmatch(key):
            raise Problem(
                422, f"Tensor {name} has the parameter {key}, which is not supported here."
            )


def _respond(head: dict[str, Any], answer: Answer, wanted: dict[str, bool]) -> Response:
    """Return the outputs in JSON, and those that are wanted so as bytes behind it."""
    tensors = {"scores": ("FP32", answer.scores), "labels": ("BOOL", _chosen(answer))}
    shape, outputs, behind = [len(answer.scores), len(answer.names)], [], b""
    for name, as_bytes in wanted.items():
        datatype, rows = tensors[name]
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if as_bytes:
            raw = np.asarray(rows, dtype="<f4" if datatype == "FP32" else "?").tobytes()
            output["parameters"] = {"binary_data_size": len(raw)}
            behind += raw
        else:
            output["data"] = [value for row in rows for value in row]
        outputs.append(output)
    content, headers = {**head, "outputs": outputs}, answer_headers(answer)
    if not any(wanted.values()):
        return json_response(content, headers=headers)
    leading = json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    headers[_HEADER_LENGTH] = str(len(leading))
    return Response(leading + behind, 200, headers, media_type="application/octet-stream")


def _chosen(answer: Answer) -> Sequence[Sequence[bool]]:
    rows = [set(labels) for labels in answer.labels]
    return [[name in chosen for name in answer.names] for chosen in rows]
