"""Weights that were read and checked become models of transformers.

Nothing here lets a library open a file: transformers gets a configuration made of known keys, and
tensors, which view the bytes that were read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file
from multihot.models.encoder import length_limit, quiet_transformers, said

__all__ = ["model_of"]

_FEW_TOKENS = 4
# What can be made of a configuration of theirs computes every text.
_PLAIN = {"albert", "bert", "camembert", "data2vec-text", "distilbert", "electra", "ernie"} | {
    "mpnet",
    "roberta",
    "xlm-roberta",
}


def model_of(
    classes: Mapping[Any, Any],
    config: Any,
    weights: Mapping[str, Tensor],
    path: Path,
    *,
    spare: int,
    error: type[MultihotError],
) -> tuple[Any, list[str]]:
    """Return transformers' model with the weights, in float32, and the names of those that are new.

    A weight is new, a random number, when there is none of its name or it has another shape.
    Weights tied to another one are not named. Raises `error` before a network is allocated that is
    far larger than its weights, and for one that cannot compute a short text, where a family has
    such.

    Parameters
    ----------
    classes
        Classes of models by class of configuration.
    config
        Of `models.encoder.family_config`.
    weights
        By name.
    path
        Where they were, for messages.
    spare
        How many numbers the network may have that are not stored, such as those of a new head.
    error
        The class of what is raised.
    """
    try:
        with quiet_transformers():
            is_plain = config.model_type in _PLAIN
            # Their sizes are those of stored weights, and memory that is not written takes no room.
            if is_plain and (exact := _exact_model(classes, config, weights)) is not None:
                return exact, []
            needed = _num_values(_class_for(config, classes), config)
            found = sum(each.numel() for each in weights.values())
            if needed > 2 * found + spare:
                raise error(
                    f"{shown_file(path)}: config.json describes {needed:,} weights; {found:,} are "
                    "stored."
                )
            if is_plain:
                return _planned_model(classes, config, weights)
            model, new = _exact_model(classes, config, weights), list[str]()
            if model is None:
                model, new = _planned_model(classes, config, weights)
            _compute(model)
            return model, new
    except MultihotError:
        raise
    except Exception as reason:  # noqa: BLE001 - what a library raises of a damaged model is open
        raise error(
            f"{shown_file(path)}: transformers cannot make this network of config.json and its "
            f"weights: {said(reason)}"
        ) from None


def _planned_model(
    classes: Mapping[Any, Any], config: Any, weights: Mapping[str, Tensor]
) -> tuple[Any, list[str]]:
    """Return the model as `from_pretrained` makes it, and the names of weights that are new."""
    model, loading = _class_for(config, classes).from_pretrained(
        None,
        config=config,
        state_dict=dict(weights),
        dtype=torch.float32,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # the caller refuses or explains them
    )
    mismatched: Iterable[tuple[Any, ...]] = loading["mismatched_keys"]
    return model, sorted([*loading["missing_keys"], *(key for key, *_ in mismatched)])


def _exact_model(
    classes: Mapping[Any, Any], config: Any, weights: Mapping[str, Tensor]
) -> Any | None:
    """Return the model where the weights are exactly its own, in float32; `None` where they are not.

    It takes a third of the time of `from_pretrained`, which makes a plan for each weight.
    """
    from transformers.initialization import no_init_weights

    if any(tensor.dtype != torch.float32 for tensor in weights.values()):
        return None
    with no_init_weights():
        model = _class_for(config, classes)._from_config(config, dtype=torch.float32)
    own = model.state_dict()
    if {name: tensor.shape for name, tensor in own.items()} != {
        name: tensor.shape for name, tensor in weights.items()
    }:
        return None
    model.load_state_dict(dict(weights), assign=True)
    model.tie_weights()
    return model.eval()


def _class_for(config: Any, classes: Mapping[Any, Any]) -> Any:
    """Return the class of a configuration's model; of several, the one that it names, or the first."""
    found = classes[type(config)]
    if not isinstance(found, tuple | list):
        return found
    named = {each.__name__: each for each in found}
    return next((named[name] for name in config.architectures or () if name in named), found[0])


def _num_values(model_class: Any, config: Any) -> int:
    """Return how many numbers a network has; nothing of it is allocated."""
    from transformers.initialization import no_init_weights

    with torch.random.fork_rng(devices=[]), torch.device("meta"), no_init_weights():
        outline = model_class(copy.deepcopy(config))
    return sum(each.numel() for each in (*outline.parameters(), *outline.buffers()))


def _compute(model: Any) -> None:
    """Compute a short text, so that what does not fit is found now and not after training."""
    limit = length_limit(model.config, {}) or _FEW_TOKENS
    ids = torch.full((1, min(limit, _FEW_TOKENS)), getattr(model.config, "vocab_size", 1) - 1)
    # Not inference mode: a model may keep what it makes here.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
