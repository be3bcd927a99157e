#!/bin/sh
# tritonclient 2.73.0 (http), numpy 2.2.6, Python 3.11.
#
# infer(headers=...) writes Inference-Header-Content-Length into the caller's own dict when a tensor goes as
# bytes, which is its default. A dict of headers that a program keeps (a token, a trace id) then holds it for
# ever: the next infer whose tensors are JSON sends the length of the earlier request, and a server that
# follows the protocol cuts the JSON there, or refuses it. Nothing of the second call is wrong by itself.
#
# Whoever keeps headers for this client has to pass a copy each time.
#
# Seen: "before: [], after one request in bytes: ['Inference-Header-Content-Length']" and "the request in JSON
# of 132 bytes says 155".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check \
  'tritonclient[http]==2.73.0' numpy==2.2.6
"$scratch/venv/bin/python" - <<'PYTHON'
import http.server
import json
import threading

import numpy as np
import tritonclient.http as triton

seen = []


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers["content-length"])
        self.rfile.read(length)
        seen.append((length, self.headers.get("inference-header-content-length")))
        output = {"name": "y", "datatype": "FP32", "shape": [1], "data": [0.5]}
        body = json.dumps({"model_name": "m", "outputs": [output]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = triton.InferenceServerClient(f"127.0.0.1:{server.server_port}")
headers = {}
before = list(headers)
for as_bytes in (True, False):
    tensor = triton.InferInput("text", [1], "BYTES")
    tensor.set_data_from_numpy(np.array(["a"], dtype=object), binary_data=as_bytes)
    output = triton.InferRequestedOutput("y", binary_data=False)
    client.infer("m", [tensor], outputs=[output], headers=headers)
(_, first), (length, second) = seen
print(f"before: {before}, after one request in bytes: {list(headers)}")
print(f"the request in JSON of {length} bytes says {second}")
assert before == []
assert list(headers) == ["Inference-Header-Content-Length"]
assert second == first
server.shutdown()
PYTHON
