"""Predictions in Spark: a function for `DataFrame.mapInPandas`, with the model loaded once in each Python worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.core.extras import require_spark
from multihot.inference.model_place import AddedColumns, ModelPlace, model_place
from multihot.inference.predictor import WINDOW_ROWS, Predictor

if TYPE_CHECKING:
    from pandas import DataFrame as Pandas
    from pyspark.sql import DataFrame

__all__ = ["label"]


def label(
    dataframe: DataFrame,
    model: str | Path,
    *,
    text_column: str | None = None,
    threshold: float | None = None,
    scores: bool = True,
    device: str = "auto",
    precision: str = "fp32",
    backend: str = "auto",
) -> DataFrame:
    """Label the texts of a Spark data frame; return it with columns added.

    Nothing is computed before the result is used. `predicted_labels` is an array of names, `truncated`
    says whether a text was longer than the model reads, `score_NAME` is the probability of a label; a
    model that abstains adds `abstained`. Names that the data frame has already get a `_` added. Where
    Spark runs a task again, its rows are computed again.

    Parameters
    ----------
    dataframe
        Rows with a column of texts.
    model
        A model folder or an export, at the same path on every machine.
    text_column
        Default: as in the training file of the model.
    threshold
        Instead of the stored ones.
    scores
        Whether to add the scores.
    device, precision, backend
        As in `Predictor.load`.

    Raises
    ------
    MissingExtraError, ArtifactError, OptionError, DataError
        Spark is not installed, or the model or an option is wrong. In a worker the model is checked again.
    """
    require_spark()
    from pyspark.sql import types

    artifact, added = AddedColumns.for_model(
        model, dataframe.columns, text_column=text_column, threshold=threshold, scores=scores
    )
    kinds: dict[str, types.DataType] = {
        "labels": types.ArrayType(types.StringType()),
        "truncated": types.BooleanType(),
        "abstained": types.BooleanType(),
    }
    names = added.names(artifact.decision)
    fields = [
        types.StructField(name, types.FloatType() if name.startswith("score_") else kinds[content])
        for name, content in names.items()
    ]
    place = model_place(artifact, device=device, precision=precision, backend=backend)
    schema = types.StructType([*dataframe.schema.fields, *fields])
    return dataframe.mapInPandas(_labelling(place, added), schema)


def _labelling(
    place: ModelPlace, added: AddedColumns
) -> Callable[[Iterator[Pandas]], Iterator[Pandas]]:
    def added_to(frames: Iterator[Pandas]) -> Iterator[Pandas]:
        predictor = _predictor(place)
        for frame in frames:
            for begin in range(0, len(frame), WINDOW_ROWS):
                yield _labelled(predictor, added, frame.iloc[begin : begin + WINDOW_ROWS])

    return added_to


def _labelled(predictor: Predictor, added: AddedColumns, frame: Pandas) -> Pandas:
    texts: list[Any] = [
        text if isinstance(text, str) else None for text in frame[added.text].tolist()
    ]
    values = added.values(predictor, texts)
    return frame.assign(**{name: column for name, column in values.items()})


@cache
def _predictor(place: ModelPlace) -> Predictor:
    """Return the model, which a Python worker loads once for all of its tasks."""
    return place.predictor()
