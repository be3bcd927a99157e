from __future__ import annotations

import io
import json

from multihot.cli.prediction_lines import text_writer
from multihot.data.text_stream import TextRow
from multihot.inference.prediction import Prediction


def test_a_line_for_people_names_the_first_of_very_many_labels_and_json_all() -> None:
    names = [f"label-{number}" for number in range(1000)]
    prediction = Prediction(names, dict.fromkeys(names, 0.5), truncated=False)
    row = TextRow(1, "1", "a text", {"text": "a text"})
    lines, document = io.StringIO(), io.StringIO()

    text_writer(lines, as_json=False, is_printed=True, top=None, abstains=False)(row, prediction)
    text_writer(document, as_json=True, is_printed=False, top=None, abstains=False)(row, prediction)

    assert lines.getvalue().endswith("label-49 (0.50) and 950 more (--json has all)\n")
    assert json.loads(document.getvalue())["labels"] == names
