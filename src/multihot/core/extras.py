"""Whether optional packages are installed, checked without importing them."""

from __future__ import annotations

import importlib.util

from multihot.errors import MissingExtraError

__all__ = [
    "require_export",
    "require_network",
    "require_onnxruntime",
    "require_openvino",
    "require_ray",
    "require_reporting",
    "require_scipy",
    "require_serving",
    "require_spark",
    "require_training",
    "require_transformers",
]


def require_network(purpose: str) -> None:
    """Raise `MissingExtraError` unless torch and transformers are installed; `purpose` needs them."""
    _require(("torch", "transformers"), "train", purpose)


def require_export(purpose: str) -> None:
    """Raise `MissingExtraError` unless what writes ONNX is installed; `purpose` needs it."""
    _require(("onnx", "onnxscript", "onnxruntime"), "export", purpose)


def require_onnxruntime(purpose: str) -> None:
    """Raise `MissingExtraError` unless ONNX Runtime is installed; `purpose` needs it."""
    _require(("onnxruntime",), "runtime", purpose)


def require_openvino(purpose: str) -> None:
    """Raise `MissingExtraError` unless OpenVINO is installed; `purpose` needs it."""
    _require(("openvino",), "openvino", purpose)


def require_ray() -> None:
    """Raise `MissingExtraError` unless Ray and what Ray Data needs are installed."""
    _require(("ray", "pyarrow"), "ray", "Prediction on many machines")


def require_reporting() -> None:
    """Raise `MissingExtraError` unless what fills the templates of a report is installed."""
    _require(("jinja2",), "report", "A report")


def require_scipy(purpose: str) -> None:
    """Raise `MissingExtraError` unless SciPy is installed; `purpose` needs it."""
    _require(("scipy",), "train", purpose)


def require_serving() -> None:
    """Raise `MissingExtraError` unless the packages of the `serve` extra are installed."""
    _require(("fastapi", "uvicorn", "httptools", "prometheus_client"), "serve", "A server")


def require_spark() -> None:
    """Raise `MissingExtraError` unless PySpark, and what it hands tables over with, are installed."""
    _require(("pyspark", "pandas", "pyarrow"), "spark", "Prediction in Spark")


def require_training() -> None:
    """Raise `MissingExtraError` unless the packages of the `train` extra are installed."""
    _require(("torch", "transformers", "accelerate", "tomli_w"), "train", "Training")


def require_transformers(purpose: str) -> None:
    """Raise `MissingExtraError` unless transformers is installed; `purpose` needs it."""
    _require(("transformers",), "train", purpose)


def _require(packages: tuple[str, ...], extra: str, purpose: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, extra, purpose)
