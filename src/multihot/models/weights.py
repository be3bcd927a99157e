"""Weights that were read and checked become models of transformers.

Nothing here lets a library open a file: transformers gets a configuration made of known keys, and
tensors, which view the bytes that were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file
from multihot.models.encoder import quiet_transformers, said

__all__ = ["model_of"]


def model_of(
    classes: Mapping[Any, Any],
    config: Any,
    weights: Mapping[str, Tensor],
    path: Path,
    *,
    error: type[MultihotError],
) -> tuple[Any, list[str]]:
    """Return transformers' model with the weights, in float32, and the names of those that are new.

    A weight is new, a random number, when there is none of its name or it has another shape.
    Weights tied to another one are not named.

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
    error
        The class of what is raised.
    """
    try:
        if (exact := _exact_model(classes, config, weights)) is not None:
            return exact, []
        with quiet_transformers():
            model, loading = _class_for(config, classes).from_pretrained(
                None,
                config=config,
                state_dict=dict(weights),
                dtype=torch.float32,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the caller refuses or explains them
            )
    except MultihotError:
        raise
    except Exception as reason:  # noqa: BLE001 - what a library raises of a damaged model is open
        raise error(
            f"{shown_file(path)}: transformers cannot load this network: {said(reason)}"
        ) from None
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
    with quiet_transformers(), no_init_weights():
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
