"""Send the texts of a file to a server, one in each request, and compare what comes back.

    python load.py http://127.0.0.1:8000 test.jsonl --expected predictions.jsonl --clients 8

`test.jsonl` holds {"text", "labels"} a line, `predictions.jsonl` what `multihot predict --json` printed
for the same file. Only the standard library is used, so this runs where the server's clients run.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def ask(connection: http.client.HTTPConnection, text: str) -> dict[str, Any]:
    """Return the answer for one text: {"labels", "scores", ...}."""
    body = json.dumps({"texts": [text]})
    connection.request("POST", "/v1/predict", body, {"content-type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise SystemExit(
            f"The server answered {response.status}: {content.decode('utf-8', 'replace')}"
        )
    answer: dict[str, Any] = json.loads(content)["results"][0]
    return answer


def load(
    url: str, texts: Sequence[str], clients: int
) -> tuple[list[list[str]], list[float], float]:
    """Return labels and seconds of each text, and the seconds of all.

    Each client has a connection of its own and sends its next request when the last one is answered.
    """
    labels: list[list[str]] = [[] for _ in texts]
    seconds = [0.0] * len(texts)
    address = urlsplit(url)

    def work(client: int) -> None:
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        for number in range(client, len(texts), clients):
            start = time.perf_counter()
            labels[number] = ask(connection, texts[number])["labels"]
            seconds[number] = time.perf_counter() - start
        connection.close()

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return labels, seconds, time.perf_counter() - start


def micro_f1(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> float:
    """Return the F1 of all decisions together."""
    common = sum(len(set(ours) & set(theirs)) for ours, theirs in zip(predicted, true, strict=True))
    total = sum(map(len, predicted)) + sum(map(len, true))
    return 2 * common / total


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what was measured as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("url")
    parser.add_argument("file", type=Path, help="texts and labels, JSON lines")
    parser.add_argument("--expected", type=Path, help="output of 'multihot predict --json'")
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args(arguments)
    rows = _rows(given.file)
    labels, seconds, total = load(given.url, [row["text"] for row in rows], given.clients)
    result = {
        "requests": len(rows),
        "clients": given.clients,
        "requests_per_second": round(len(rows) / total, 1),
        "p50_ms": round(statistics.median(seconds) * 1000, 1),
        "p95_ms": round(statistics.quantiles(seconds, n=20)[-1] * 1000, 1),
        "micro_f1": round(micro_f1(labels, [row["labels"] for row in rows]), 4),
    }
    if given.expected:
        pairs = zip(labels, _rows(given.expected), strict=True)
        result["different"] = sum(sorted(ours) != sorted(other["labels"]) for ours, other in pairs)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
