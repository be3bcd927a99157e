"""Predictions with Ray Data: the model is loaded once in each of several actors, on one machine or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multihot.core.extras import require_ray
from multihot.core.ray_cluster import ray_errors
from multihot.core.text_tables import cut
from multihot.errors import OptionError, TrainingError
from multihot.inference.artifact import Artifact
from multihot.inference.model_place import AddedColumns, ModelPlace, model_place

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["RayOptions", "WindowLogits", "predict", "window_logits"]

_BATCH_ROWS = 512


@dataclass(frozen=True)
class RayOptions:
    """Where a model runs.

    Attributes
    ----------
    actors
        How many processes load the model; `None`: one for each processor of the cluster, or for each of
        its GPUs where `num_gpus` is given.
    num_cpus, num_gpus
        What one of them has. Ray counts a processor less for all of them together where they have all,
        so that it can read meanwhile.
    device, precision, backend
        As in `Predictor.load`.
    """

    actors: int | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    device: str = "auto"
    precision: str = "fp32"
    backend: str = "auto"

    def __post_init__(self) -> None:
        if self.actors is not None and (type(self.actors) is not int or self.actors < 1):
            raise OptionError(f"actors is {cut(self.actors)}; expected at least 1.")


def predict(
    dataset: Dataset,
    model: str | Path,
    *,
    text_column: str | None = None,
    threshold: float | None = None,
    scores: bool = True,
    batch_rows: int = _BATCH_ROWS,
    **options: Any,
) -> Dataset:
    """Label the texts of a Ray data set; return it with columns added, its rows in their order.

    Nothing is computed before the result is used. `predicted_labels` is a list of names, `truncated` says
    whether a text was longer than the model reads, `score_NAME` is the probability of a label; a model that
    abstains adds `abstained`. Names that the data set has already get a `_` added. When a worker is
    killed, Ray computes its rows again, and no row is lost or doubled.

    Parameters
    ----------
    dataset
        Rows with a column of texts.
    model
        A model folder or an export, at the same path on every machine.
    text_column
        Default: as in the training file of the model.
    threshold
        Instead of the stored ones.
    scores
        Whether to add the scores.
    batch_rows
        How many texts are computed together, sorted by length.
    options
        Those of `RayOptions`: `actors`, `num_cpus`, `num_gpus`, `device`, `precision`, `backend`.

    Raises
    ------
    MissingExtraError, ArtifactError, OptionError, DataError
        Ray is not installed, or the model or an option is wrong. In a worker the model is checked again.
    """
    require_ray()
    running = _checked_options(options)
    artifact, added = AddedColumns.for_model(
        model,
        dataset.columns() or [],
        text_column=text_column,
        threshold=threshold,
        scores=scores,
    )
    dataset.context.execution_options.preserve_order = True
    return dataset.map_batches(
        _RowLabeller,
        batch_size=batch_rows,
        batch_format="pyarrow",
        zero_copy_batch=True,
        fn_constructor_args=(_place(artifact, running), added),
        **_resources(running, others=1.0),
    )


def _checked_options(options: Mapping[str, Any]) -> RayOptions:
    try:
        return RayOptions(**options)
    except TypeError:
        known = ", ".join(asdict(RayOptions()))
        unknown = next(name for name in options if name not in asdict(RayOptions()))
        raise OptionError(f"{cut(unknown)} is no option; known are {known}.") from None


def _place(artifact: Artifact, running: RayOptions) -> ModelPlace:
    return model_place(
        artifact, device=running.device, precision=running.precision, backend=running.backend
    )


def _resources(running: RayOptions, *, others: float = 0.0) -> dict[str, Any]:
    """Return what actors ask for; `others` processors stay for what else computes the data set.

    Where actors have all of them, the task that reads waits for one for ever, and they for it.
    """
    import ray
    from ray.data import ActorPoolStrategy

    has, actors = ray.cluster_resources(), running.actors
    processors = has.get("CPU", 1.0)
    if actors is None:
        kind, needed = ("GPU", running.num_gpus) if running.num_gpus else ("CPU", running.num_cpus)
        actors = max(1, int(has.get(kind, 1.0) // (needed or 1)))
    asked = min(running.num_cpus, max(0.0, processors - others) / actors)
    resources: dict[str, Any] = {
        # A second batch waits at each actor, so that none is idle between two.
        "compute": ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
        "num_cpus": int(asked * 1000) / 1000,  # Ray takes four decimals
    }
    return resources | ({"num_gpus": running.num_gpus} if running.num_gpus else {})


class _RowLabeller:
    """An actor that adds columns to batches of rows."""

    def __init__(self, place: ModelPlace, added: AddedColumns) -> None:
        self.predictor = place.predictor()
        self.added = added

    def __call__(self, batch: Any) -> Any:
        """Return an Arrow table with our columns added."""
        import pyarrow as pa

        values = self.added.values(self.predictor, batch.column(self.added.text).to_pylist())
        for number, (name, column) in enumerate(values.items()):
            kind = None if number else pa.list_(pa.string())  # also where no text has a label
            batch = batch.append_column(name, pa.array(column, kind))
        return batch


@dataclass(frozen=True)
class WindowLogits:
    """What a model says of a window of texts."""

    logits: npt.NDArray[np.float32]
    """*Shape:* (N, L)."""
    truncated: npt.NDArray[np.bool_]
    """Which texts were cut. *Shape:* (N,)."""


def window_logits(
    read: Callable[[], Iterator[Sequence[str]]], artifact: Artifact, options: RayOptions
) -> Iterator[WindowLogits]:
    """Compute windows of texts in actors, and yield the results in their order.

    `read` runs in a worker, again from the beginning where that is killed. What has been read and not
    yielded is bounded by the object store.

    Raises
    ------
    ArtifactError
        A machine has another model at the path of this one.
    TrainingError
        Ray failed.
    """
    import ray.data

    running = _resources(options)
    with ray_errors():
        windows = ray.data.from_items([0])
        context = windows.context
        context.execution_options.preserve_order = True
        context.target_max_block_size = (
            1  # bytes: every window is a block, which goes to the next free actor
        )
        # Without a processor of its own it is not merged into the actors, which take all of them.
        windows = windows.map_batches(partial(_read, read), batch_size=1, num_cpus=0)
        results = windows.map_batches(
            _WindowLabeller,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(_place(artifact, options),),
            **running,
        )
        num_labels = len(artifact.decision.space)
        rows = results.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=1)
        for expected, row in enumerate(rows):
            number = row.column("window")[0].as_py()
            if number != expected:
                raise TrainingError(
                    f"Ray returned window {number}; expected {expected}. Nothing of it was written."
                )
            logits, truncated = (row.column(name)[0].as_py() for name in ("logits", "truncated"))
            yield WindowLogits(
                np.frombuffer(logits, np.float32).reshape(-1, num_labels),
                np.frombuffer(truncated, np.bool_),
            )


def _read(read: Callable[[], Iterator[Sequence[str]]], batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the windows, each in one row; `batch` only starts it."""
    import pyarrow as pa

    for number, texts in enumerate(read()):
        yield {
            "window": np.array([number]),
            "texts": pa.array([list(texts)], pa.list_(pa.string())),
        }


class _WindowLabeller:
    """An actor that computes windows."""

    def __init__(self, place: ModelPlace) -> None:
        self.predictor = place.predictor()

    def __call__(self, batch: Any) -> dict[str, Any]:
        """Return the logits of the windows of an Arrow table."""
        answers = [self.predictor.logits(texts) for texts in batch.column("texts").to_pylist()]
        return {
            "window": batch.column("window"),
            "logits": [logits.tobytes() for logits, _ in answers],
            "truncated": [truncated.tobytes() for _, truncated in answers],
        }
