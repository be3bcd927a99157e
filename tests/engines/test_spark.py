"""Spark on this machine; run by `make test-spark`, which installs PySpark (it needs Java)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions import LABELS, NAMES, TEXTS
from multihot.errors import ArtifactError, DataError
from multihot.inference.predictor import Predictor
from multihot.spark import label

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("pyspark") is None or shutil.which("java") is None,
        reason="PySpark or Java is not installed",
    ),
    pytest.mark.filterwarnings("ignore"),  # of Spark
]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def test_rows_of_a_data_frame_keep_their_columns(spark: Any, model: Path) -> None:
    rows = [(number, text, "by hand") for number, text in enumerate(TEXTS)]
    rows.append((len(TEXTS), None, ""))
    frame = spark.createDataFrame(rows, "id int, text string, truncated string").repartition(3)

    answers = sorted(label(frame, model).collect(), key=lambda row: row["id"])

    assert [answer["id"] for answer in answers] == list(range(len(rows)))
    assert list(answers[0].asDict()) == [
        *("id", "text", "truncated", "predicted_labels_", "truncated_"),
        *(f"score_{name}_" for name in LABELS),
    ]
    assert [answer["predicted_labels_"] for answer in answers[:-1]] == NAMES
    assert {answer["truncated"] for answer in answers[:-1]} == {"by hand"}
    scores = [[answer[f"score_{name}_"] for name in LABELS] for answer in answers[:-1]]
    np.testing.assert_allclose(scores, Predictor.load(model).scores(TEXTS), atol=1e-5)


def test_labels_bring_what_they_imply(spark: Any, hierarchical_model: Path) -> None:
    frame = spark.createDataFrame(
        [(number, text) for number, text in enumerate(TEXTS)], "id int, text string"
    )

    answers = sorted(label(frame, hierarchical_model).collect(), key=lambda row: row["id"])

    for answer, names in zip(answers, NAMES, strict=True):
        assert answer["predicted_labels"] == (["fear", "love"] if "fear" in names else names)
        assert answer["score_love"] >= answer["score_fear"]


def test_what_is_wrong_is_said_before_anything_is_computed(
    spark: Any, model: Path, tmp_path: Path
) -> None:
    frame = spark.createDataFrame([("i am happy",)], "text string")

    with pytest.raises(DataError, match="Tweet"):
        label(frame, model, text_column="Tweet")
    with pytest.raises(ArtifactError, match="no such folder"):
        label(frame, tmp_path / "nowhere")
