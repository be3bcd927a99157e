"""Requests that no honest client sends: each must be refused as it should, and leave no trace in the server.

What a request is refused with is stated beside it; anything else, no answer in time, and a server that does
not answer a plain question afterwards are counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from serving_clients import Server, encode, resident_bytes, running_server
from serving_warm_up import warm_up_requests

__all__ = ["Case", "Hostile", "all_cases", "generated", "hostile", "send", "status_of"]

_PATIENCE = 20.0  # seconds
_PREDICT = "/v1/predict"
_SETTLE = 3.0  # seconds in which a server gives back what it no longer needs
_MUCH = 30_000  # bytes; an answer to so many can be lost when the connection is closed before they are read


@dataclass(frozen=True)
class Case:
    """Bytes that are sent on a connection of their own, and what the first answer may be; 0: none."""

    name: str
    parts: tuple[bytes, ...]
    statuses: frozenset[int]

    def accepts(self, status: int) -> bool:
        """Return whether this is what a server should say."""
        is_long = sum(map(len, self.parts)) > _MUCH
        return status in self.statuses or (status == 0 and is_long)


@dataclass
class Hostile:
    """What became of the requests."""

    kinds: int = 0
    requests: int = 0
    failures: int = 0
    """Answers 500 and worse, but for 503 and 504."""
    unexpected: list[str] = field(default_factory=list)
    hangs: int = 0
    crashes: int = 0
    megabytes: list[float] = field(default_factory=list)
    """Of memory when the server started, when it was warm, and after each of the two passes."""
    slowest_probe: float = 0.0
    """Seconds until a plain question was answered afterwards."""

    @property
    def grown(self) -> float:
        """Fraction by which the memory of a warm server grew in both passes."""
        return self.megabytes[-1] / self.megabytes[1] - 1

    @property
    def grown_again(self) -> float:
        """Fraction by which memory grew in the second pass, which sends what the first one sent."""
        return self.megabytes[-1] / self.megabytes[-2] - 1


def _post(body: bytes, path: str = _PREDICT, /, **headers: str | None) -> bytes:
    given: dict[str, str | None] = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


def _chunked(body: bytes) -> bytes:
    return _post(body, Content_Length=None, Transfer_Encoding="chunked")


def all_cases() -> Iterator[Case]:
    """Yield one request of each kind."""
    yield from _bodies()
    yield from _headers()
    yield from _framing()
    yield from _addresses()
    yield from _shapes()


def _bodies() -> Iterator[Case]:
    texts = b'{"texts": %s}'
    refused = {
        "not JSON": b"hello",
        "empty body": b"",
        "half a body of JSON": b'{"texts": ["a"',
        "two documents": b'{"texts": ["a"]}{"texts": ["a"]}',
        "NaN": texts % b"NaN",
        "Infinity in thresholds": b'{"texts": ["a"], "thresholds": {"x": Infinity}}',
        "1e999 in thresholds": b'{"texts": ["a"], "thresholds": {"x": 1e999}}',
        "lone surrogate": texts % b'["\\ud800"]',
        "surrogates in the wrong order": texts % b'["\\udc00\\ud800"]',
        "repeated key": b'{"texts": ["a"], "texts": ["b"]}',
        "deep lists": texts % (b"[" * 100_000 + b"]" * 100_000),
        "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "digits without an end": b'{"texts": ["a"], "top_k": 1' + b"0" * 100_000 + b"}",
        "huge top_k": b'{"texts": ["a"], "top_k": 100001}',
        "negative top_k": b'{"texts": ["a"], "top_k": -1}',
        "top_k true": b'{"texts": ["a"], "top_k": true}',
        "float top_k": b'{"texts": ["a"], "top_k": 1.5}',
        "no texts": texts % b"[]",
        "texts null": texts % b"null",
        "texts a string": texts % b'"a"',
        "texts an object": texts % b'{"0": "a"}',
        "text null": texts % b"[null]",
        "text a number": texts % b"[5]",
        "text a list": texts % b'[["a"]]',
        "unknown key": b'{"texts": ["a"], "pickle": "gASVAAAA"}',
        "key __class__": b'{"texts": ["a"], "__class__": {"__init__": 1}}',
        "threshold above one": b'{"texts": ["a"], "thresholds": {"joy": 2}}',
        "threshold of no label": b'{"texts": ["a"], "thresholds": {"no such label": 0.5}}',
        "many unknown keys": b'{"texts": ["a"], %s}'
        % b",".join(b'"%x": 1' % number for number in range(150_000)),
        "many thresholds above one": texts[:-1] % b'["a"]'
        + b', "thresholds": {%s}}' % b",".join(b'"%x": 9' % number for number in range(150_000)),
        "many thresholds": b'{"texts": ["a"], "thresholds": {%s}}'
        % b",".join(b'"%d": 0.5' % number for number in range(100_001)),
        "unknown part": b'{"texts": ["a"], "return": ["weights"]}',
        "not UTF-8": texts % b'["\xff\xfe"]',
        "UTF-16": '{"texts": ["a"]}'.encode("utf-16"),
        "overlong UTF-8": texts % b'["\xc0\xaf"]',
        "control character": texts % b'["a\x00b"]',
        "comment": b'{"texts": ["a"] /* b */}',
        "comma at the end": b'{"texts": ["a"],}',
        "single quotes": b"{'texts': ['a']}",
        "a list": b'["a"]',
        "a number": b"5",
        "null": b"null",
    }
    for name, body in refused.items():
        yield Case(name, (_post(body),), frozenset({413, 422}))
    accepted = {
        "byte order mark": b'\xef\xbb\xbf{"texts": ["a"]}',
        "empty text": texts % b'[""]',
        "text of blanks": texts % b'["   \\n\\t "]',
        "NUL in a text": texts % b'["a\\u0000b"]',
        "emoji with joiners": texts
        % json.dumps(["\U0001f468\u200d\U0001f469\u200d\U0001f467"]).encode(),
        "marks on one letter": texts % json.dumps(["a" + "\u0301" * 20_000]).encode(),
        "right to left": texts % json.dumps(["\u202e\u0645\u0631\u062d\u0628\u0627"]).encode(),
        "unassigned characters": texts % json.dumps(["\U000e0fff\uffff\ufdd0"]).encode(),
        "text of special tokens": texts % b'["[CLS] [SEP] [MASK] [PAD] </s>"]',
        "one word without an end": texts % b'["%s"]' % (b"a" * 99_999),
    }
    for name, body in accepted.items():
        yield Case(name, (_post(body),), frozenset({200, 422}))
    yield Case("text too long", (_post(texts % b'["%s"]' % (b"a" * 100_001)),), frozenset({413}))
    many = json.dumps(["a"] * 33).encode()
    yield Case("too many texts", (_post(texts % many),), frozenset({413}))
    yield Case(
        "model of a path", (_post(b'{"texts":["a"],"model":"../../etc"}'),), frozenset({404})
    )
    yield Case(
        "model of a URL", (_post(b'{"texts":["a"],"model":"http://x/y"}'),), frozenset({404})
    )


def _headers() -> Iterator[Case]:
    body = b'{"texts": ["a"]}'

    def case(name: str, *statuses: int, **headers: str | None) -> Case:
        return Case(name, (_post(body, **headers),), frozenset(statuses))

    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-pickle", "", None):
        yield case(f"content type {kind}", 415, Content_Type=kind)
    yield case("other charset", 415, Content_Type="application/json; charset=utf-7")
    for encoding in ("gzip", "br", "deflate, gzip"):
        yield case(f"encoding {encoding}", 415, Content_Encoding=encoding)
    for host in ("evil.example", "", "127.0.0.1, evil", "127.0.0.1:99999999", "[::1", "a" * 5000):
        yield case(f"host {host[:20]}", 400, 403, Host=host)
    yield case("no host", 400, 403, Host=None)
    for origin in ("http://evil.example", "null", "file://", "http://127.0.0.1.evil.example"):
        yield case(f"origin {origin}", 403, Origin=origin)
    yield case("huge length", 413, 400, Content_Length="9" * 18)
    yield case("length beyond 64 bits", 400, Content_Length="9" * 30)
    yield case("negative length", 400, Content_Length="-1")
    yield case("length in words", 400, Content_Length="ten")
    yield case("length with a sign", 400, Content_Length="+16")
    yield case("huge header", 431, 400, X_A="a" * 60_000)
    many = {f"X_{number}": "a" for number in range(150)}
    yield case("many headers", 431, **many)
    yield case("line break in a header", 400, 200, X_Request_Id="a\r\nX-B: c")
    yield case("control character in a header", 400, X_A="a\x00b")
    yield case("range", 200, Range="bytes=" + "0-1," * 3000)
    yield case("forwarded", 200, X_Forwarded_For="1.2.3.4", X_Forwarded_Host="evil.example")
    yield case("method override", 200, X_HTTP_Method_Override="DELETE")


def _framing() -> Iterator[Case]:
    body = b'{"texts": ["a"]}'
    get = encode("GET", "/livez")

    def case(name: str, *statuses: int, parts: tuple[bytes, ...]) -> Case:
        return Case(name, parts, frozenset(statuses))

    yield case("two lengths", 400, parts=(_post(body, **{"content-length": "3"}),))
    yield case("length and chunks", 400, parts=(_post(body, Transfer_Encoding="chunked"),))
    yield case(
        "unknown transfer encoding",
        400,
        501,
        415,
        422,
        parts=(_post(body, Content_Length=None, Transfer_Encoding="gzip"),),
    )
    yield case("chunk of no size", 400, parts=(_chunked(b"zz\r\n" + body),))
    yield case("chunk beyond 64 bits", 400, parts=(_chunked(b"f" * 20 + b"\r\n" + body),))
    yield case("negative chunk", 400, parts=(_chunked(b"-5\r\n" + body),))
    yield case(
        "chunk with an extension", 200, parts=(_chunked(b"10;a=b\r\n" + body + b"\r\n0\r\n\r\n"),)
    )
    yield case(
        "extension without an end",
        400,
        408,
        parts=(_chunked(b"10;"), *((b"a" * 30_000,) * 8)),
    )
    yield case(
        "chunks beyond the bound",
        413,
        0,
        parts=(_chunked(b""), *((b"10000\r\n" + b" " * 65_536 + b"\r\n",) * 40)),
    )
    yield case(
        "trailer of a host",
        200,
        400,
        parts=(_chunked(b"10\r\n" + body + b"\r\n0\r\nHost: evil\r\n\r\n"),),
    )
    yield case("no version", 400, 403, parts=(b"GET /livez\r\n\r\n",))
    yield case("version 0.9", 200, 400, parts=(b"GET /livez HTTP/0.9\r\nHost: 127.0.0.1\r\n\r\n",))
    yield case("version 3.0", 400, parts=(b"GET /livez HTTP/3.0\r\nHost: 127.0.0.1\r\n\r\n",))
    yield case("version 1.0", 200, parts=(b"GET /livez HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n",))
    yield case("preface of HTTP/2", 400, parts=(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",))
    yield case(
        "hello of TLS",
        400,
        parts=(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300,),
    )
    yield case("noise", 400, parts=(bytes(range(256)) * 8,))
    yield case("bare line feeds", 200, 400, parts=(b"GET /livez HTTP/1.1\nHost: 127.0.0.1\n\n",))
    yield case(
        "folded header",
        400,
        200,
        parts=(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n",),
    )
    yield case(
        "blank before a colon", 400, parts=(b"GET /livez HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",)
    )
    yield case("requests in a row", 200, parts=(get * 500,))
    yield case("nonsense behind a request", 200, parts=(get + b"NONSENSE\r\n\r\n",))
    yield case("half a request", 0, 408, parts=(b"GET /live",))
    yield case(
        "websocket",
        200,
        400,
        426,
        parts=(
            encode(
                "GET",
                "/livez",
                headers={
                    "Connection": "Upgrade",
                    "Upgrade": "websocket",
                    "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": "eA==",
                },
            ),
        ),
    )
    yield case(
        "upgrade to HTTP/2",
        200,
        400,
        parts=(
            encode(
                "GET",
                "/livez",
                headers={
                    "Connection": "Upgrade, HTTP2-Settings",
                    "Upgrade": "h2c",
                    "HTTP2-Settings": "AAMAAABkAAQ",
                },
            ),
        ),
    )
    yield case("expect", 200, 100, 417, parts=(_post(body, Expect="100-continue"),))
    yield case("unknown expectation", 200, 417, parts=(_post(body, Expect="the worst"),))


def _addresses() -> Iterator[Case]:
    paths = {
        "path upwards": "/../../etc/passwd",
        "encoded path upwards": "/%2e%2e/%2e%2e/etc/passwd",
        "doubly encoded": "/%252e%252e/etc/passwd",
        "NUL in a path": "/livez%00",
        "bad percent": "/%zz",
        "not UTF-8 in a path": "/%ff%fe",
        "model with slashes": "/v2/models/..%2f..%2fetc/ready",
        "backslashes": "/..\\..\\etc",
        "two slashes": "//livez",
        "slash at the end": "/livez/",
        "management": "/models?url=http://evil.example/m.mar",
        "repository of Triton": "/v2/repository/models/x/load",
        "docs": "/docs",
        "environment": "/.env",
        "long path": "/" + "a" * 8000,
    }
    for name, path in paths.items():
        yield Case(name, (encode("GET", path),), frozenset({400, 404, 405, 414}))
    yield Case(
        "whole address", (encode("GET", "http://evil.example/livez"),), frozenset({200, 400, 403})
    )
    yield Case("longer address", (encode("GET", "/" + "a" * 60_000),), frozenset({414, 431, 400}))
    yield Case("long query", (encode("GET", "/livez?" + "a" * 5000),), frozenset({414}))
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "HEAD", "PROPFIND"):
        yield Case(f"method {method}", (encode(method, _PREDICT),), frozenset({404, 405}))
    yield Case(
        "method CONNECT",
        (b"CONNECT evil:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",),
        frozenset({400, 404, 405}),
    )
    yield Case(
        "unknown method", (b"HACK / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",), frozenset({400, 405})
    )
    yield Case(
        "star", (b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",), frozenset({400, 404, 405})
    )


def _shapes() -> Iterator[Case]:
    def case(name: str, path: str, body: object, *statuses: int) -> Case:
        return Case(name, (encode("POST", path, body),), frozenset(statuses or {422}))

    yield case("pairs", "/predict", {"inputs": [["a", "b"]]})
    yield case("softmax", "/", {"inputs": "a", "parameters": {"function_to_apply": "softmax"}})
    yield case(
        "image",
        "/v1/moderations",
        {"input": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
    )
    yield case(
        "questions of no label",
        "/v1/systemone",
        {"state": "a", "questions": {"x": {"type": "noul"}}},
    )
    yield case(
        "many questions",
        "/v1/systemone",
        {"state": "a", "questions": {str(n): {"type": "noul"} for n in range(10_001)}},
    )
    tensor = {"name": "text", "shape": [9], "datatype": "BYTES", "data": ["a"]}
    path = "/v2/models/small/infer"
    yield case("wrong shape", path, {"inputs": [tensor]}, 422, 404)
    yield case("huge shape", path, {"inputs": [{**tensor, "shape": [1 << 62]}]}, 422, 404)
    yield case(
        "shared memory",
        path,
        {"inputs": [{**tensor, "shape": [1], "parameters": {"shared_memory_region": "x"}}]},
        422,
        404,
    )
    yield case("unknown model", "/models/other", {"inputs": "a"}, 404)


def status_of(answer: bytes) -> int:
    """Return the status of the first answer in what came back; 0 where there is none."""
    match = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(match[1]) if match else 0


def send(port: int, case: Case) -> tuple[bytes, bool]:
    """Send a request and read the first answer; return it, and whether it came, or the end, in time."""
    received = b""
    has_body = not case.parts[0].startswith(b"HEAD ")
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for part in case.parts:
                    connection.sendall(part)
            while not _is_whole(received, has_body=has_body) and (more := connection.recv(65_536)):
                received += more
        except TimeoutError:
            return received, False
        except ConnectionError:
            pass
    return received, True


def _is_whole(answer: bytes, *, has_body: bool) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head) if has_body else None
    return bool(blank) and (length is None or len(body) >= int(length[1]))


def hostile(model: Path, *, generate: int, rounds: int) -> Hostile:
    """Send every kind so many times, then what schemathesis makes of `/openapi.json`; and all of it again.

    `generate` is how many requests of schemathesis both passes have together.
    """
    result = Hostile()
    cases = [_named(case, model.name) for case in all_cases()]
    result.kinds = len({case.name for case in cases})
    with running_server(model, options=("--body-deadline", "2", "--port", "0")) as server:
        _weigh(server, result)
        _warm_up(server, model.name)
        _weigh(server, result)
        for _ in range(2):
            for case in cases * rounds:
                _try(server, case, result)
            if generate:
                result.requests += generated(server, generate // 2, result)
            _weigh(server, result)
        result.failures += _counted(server, r'status="(500|501|502|505)"')
        result.crashes += server.stop() != 0 or "failed:" in server.said()
    return result


def _weigh(server: Server, result: Hostile) -> None:
    time.sleep(_SETTLE)
    result.megabytes.append(resident_bytes(server.workers()) / 1e6)


def _named(case: Case, name: str) -> Case:
    return Case(
        case.name,
        tuple(part.replace(b"/models/small/", f"/models/{name}/".encode()) for part in case.parts),
        case.statuses,
    )


def _warm_up(server: Server, name: str) -> None:
    """Send requests of all sizes that are accepted; raise `SystemExit` for one that is not."""
    answer, _ = send(server.port, Case("info", (encode("GET", "/info"),), frozenset({200})))
    labels = json.loads(answer.partition(b"\r\n\r\n")[2])["models"][0]["labels"]
    for request in warm_up_requests(name, labels):
        answer, _ = send(server.port, Case("warm-up", (request,), frozenset({200})))
        if status_of(answer) not in (200, 429, 504):
            raise SystemExit(f"A plain request was refused: {request[:100]!r}: {answer[-500:]!r}")


def _try(server: Server, case: Case, result: Hostile) -> None:
    result.requests += 1
    answer, has_ended = send(server.port, case)
    result.hangs += not has_ended
    status = status_of(answer)
    if has_ended and not case.accepts(status):
        result.unexpected.append(f"{case.name}: {status}, expected {sorted(case.statuses)}")
    began = time.monotonic()
    probe, _ = send(server.port, Case("probe", (encode("GET", "/livez"),), frozenset({200})))
    result.slowest_probe = max(result.slowest_probe, time.monotonic() - began)
    result.crashes += status_of(probe) != 200


def _counted(server: Server, pattern: str) -> int:
    answer, _ = send(server.port, Case("metrics", (encode("GET", "/metrics"),), frozenset({200})))
    lines = answer.decode("utf-8", "replace").splitlines()
    found = [line for line in lines if re.search(r"requests_total\{.*" + pattern, line)]
    return int(sum(float(line.split()[-1]) for line in found))


def generated(server: Server, count: int, result: Hostile) -> int:
    """Let schemathesis send about so many requests; return how many the server counted."""
    program = shutil.which("schemathesis") or str(Path(sys.executable).with_name("schemathesis"))
    before = _counted(server, "")
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "schemathesis.toml").write_text(_SETTINGS, "utf-8")
        seed = 0
        while _counted(server, "") - before < count:
            seed += 1
            done = subprocess.run(
                [
                    program,
                    "run",
                    f"http://127.0.0.1:{server.port}/openapi.json",
                    *_WORDS,
                    f"--seed={seed}",
                ],
                cwd=scratch,
                env={**os.environ, "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode not in (0, 1):
                raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
            if done.returncode == 1:
                result.unexpected += _failures(done.stdout)
    return _counted(server, "") - before


def _failures(output: str) -> list[str]:
    lines = output.splitlines()
    found = [n for n, line in enumerate(lines) if line.startswith("- ")]
    return [" ".join(lines[n : n + 4])[:300] for n in found] or [output[-500:]]


_WORDS = (
    *("--max-examples=100", "--continue-on-failure", "--no-shrink", "--phases=coverage,fuzzing"),
    "--suppress-health-check=all",
    "--checks=not_a_server_error,status_code_conformance,content_type_conformance,"
    "negative_data_rejection,positive_data_acceptance",
)
_SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = [200, 404, 413, 422, 429, 503, 504]
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 429, 431, 503]
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
"""
