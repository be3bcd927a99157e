#!/bin/sh
# openai 3.57.0, Python 3.11.
#
# A moderation result is typed: every category of OpenAI is a `bool`. The client never checks it. Where a
# compatible server sends other categories, each of OpenAI's own is None, so "if categories.harassment" is
# false for a server that knows nothing of harassment, and the same expression with "is False" is not true.
# What the server does send has an attribute too, though no type names it, and to_dict() holds that alone.
#
# Whoever points the client at another moderation server has to read to_dict(), not the attributes.
#
# Seen: "harassment: None, joy: True, to_dict: {'joy': True}".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0
"$scratch/venv/bin/python" - <<'PYTHON'
import http.server
import json
import threading

from openai import OpenAI

RESULT = {"flagged": True, "categories": {"joy": True}, "category_scores": {"joy": 0.9}}


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"id": "a", "model": "b", "results": [RESULT]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="any")
categories = client.moderations.create(input="what a day").results[0].categories
print(f"harassment: {categories.harassment}, joy: {categories.joy}, to_dict: {categories.to_dict()}")
assert type(categories).model_fields["harassment"].annotation is bool
assert categories.harassment is None
assert categories.joy is True
assert categories.to_dict() == {"joy": True}
server.shutdown()
PYTHON
