#!/bin/sh
# label-studio-sdk 2.1.2 (its converter), exports JSON_MIN and CSV of a task with multiple choices.
#
# One would expect a column of multiple choices to have one shape: a list, whatever its length. A task
# with one choice has the bare name, one with two has an object {"choices": [...]} (as JSON text in
# the CSV cell). A task that was annotated with nothing chosen lacks the key in JSON_MIN and has an empty
# cell in CSV, exactly as a task that nobody annotated; only annotation_id tells "no label" from "not
# labelled".
#
# Whoever splits such a column at its commas gets labels with brackets, and trains on tasks that nobody
# looked at as if they had no label.
#
# Seen, in JSON_MIN: 'a', {'choices': ['a', 'b']}, missing (103), missing (None); in CSV: 'a',
# '{"choices":["a","b"]}', '' (103), '' ('').
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check label-studio-sdk==2.1.2
cd "$scratch"
"$scratch/venv/bin/python" - <<'PYTHON'
import csv
import json
from pathlib import Path

from label_studio_sdk.converter import Converter

view = """<View><Text name="text" value="$text"/><Choices name="topic" toName="text" choice="multiple">
<Choice value="a"/><Choice value="b"/></Choices></View>"""


def task(number, choices):
    value = {"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": choices}}
    annotation = {"id": 100 + number, "completed_by": 1, "result": [{"id": "r", **value}] if choices else []}
    return {
        "id": number,
        "data": {"text": f"text {number}"},
        "annotations": [] if choices is None else [annotation],
    }


tasks = [task(1, ["a"]), task(2, ["a", "b"]), task(3, []), task(4, None)]
Path("tasks.json").write_text(json.dumps(tasks))
converter = Converter(view, ".")
for kind in ("JSON_MIN", "CSV"):
    Path(kind).mkdir()
    converter.convert("tasks.json", kind, kind, is_dir=False)
records = json.loads(Path("JSON_MIN/result.json").read_text())
small = [(record.get("topic", "missing"), record["annotation_id"]) for record in records]
with open("CSV/result.csv", newline="") as handle:
    cells = [(row["topic"], row["annotation_id"]) for row in csv.DictReader(handle)]
print(small, cells, sep="\n")
assert small == [("a", 101), ({"choices": ["a", "b"]}, 102), ("missing", 103), ("missing", None)]
assert cells == [("a", "101"), ('{"choices":["a","b"]}', "102"), ("", "103"), ("", "")]
PYTHON
