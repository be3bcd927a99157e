"""What an exported model needs to know of the network that it was made from: key `export` of `thresholds.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["CERTIFICATE_FILE", "ENCODER_KEYS", "EXPORTED_FILES", "Exported"]

ENCODER_KEYS = ("model_type", "num_hidden_layers", "hidden_size", "vocab_size")
"""What a summary says of an encoder, by its names in `config.json`."""

CERTIFICATE_FILE = "parity.json"
"""What an export says of its equality with the model that it was made from."""

EXPORTED_FILES: Mapping[str, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "openvino": ("openvino_model.bin", "openvino_model.xml"),
}
"""Files of the network by form."""


@dataclass(frozen=True)
class Exported:
    """How a model was exported, and from what."""

    precision: str
    """`fp32` or `int8`."""
    weights_sha256: str
    """Of the weights that were exported; in hex digits."""
    folded: bool
    """Whether thresholds and calibration are inside the last layer, so that a logit above 0 is a label."""
    pad_token_id: int
    num_positions: int | None = None
    """Tokens that the encoder has positions for; `None`: any number."""
    prompt_length: int | None = None
    """Tokens before every text where the network reads its labels there."""
    vocab_size: int | None = None
    model_type: str | None = None
    """Family of the encoder, as transformers names it."""
    num_hidden_layers: int | None = None
    hidden_size: int | None = None
    instruction_set: str | None = None
    """Of the processor that int8 was made for."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return asdict(self)

    def encoder(self) -> dict[str, Any]:
        """Return family and size of the encoder, as far as they are known."""
        return {key: value for key in ENCODER_KEYS if (value := getattr(self, key)) is not None}
