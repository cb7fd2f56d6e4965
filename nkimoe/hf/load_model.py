# SPDX-License-Identifier: Apache-2.0
"""Models of a checkpoint's folder, dequantised by transformers or, from int8, here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nkimoe.errors import InputError, RequestError
from nkimoe.weights.checkpoint import Checkpoint

_LAYER = re.compile(r"layers\.(\d+)\.")
_OF_A_WEIGHT = re.compile(r"(.+\.weight)_\w+")


def load_model(folder: Path, n_layers: int | None = None) -> Any:
    """The model in float32, dequantised, eager experts; of its layers the first `n_layers`, or all.

    Raises:
        RequestError: transformers cannot load the folder, or tensors are missing. InputError: its int8 tensors, of
            experts or not, are others than those of int8 experts.
    """
    with loading():
        model, info = _loaded(folder, n_layers)
    if missing := sorted(info["missing_keys"]):  # would be random
        layers = model.config.get_text_config().num_hidden_layers
        rule = f"has all tensors of the layers up to {layers - 1}"
        raise RequestError("checkpoint", rule, f"no {', '.join(missing[:3])}", "Download all its files.")
    return model.float().eval()  # what was quantised comes as bf16, whatever dtype says


def _loaded(folder: Path, n_layers: int | None) -> Any:
    """The model, and what transformers says about its loading."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM

    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    text_config = config.get_text_config()
    if n_layers is not None:
        text_config.num_hidden_layers = min(n_layers, text_config.num_hidden_layers)
    options: Any = {
        "config": config, "dtype": torch.float32, "experts_implementation": "eager", "output_loading_info": True,
    }  # fmt: skip
    checkpoint = Checkpoint(folder)
    if _is_int8(checkpoint):  # of which transformers needs a library for one form, and does not know the others
        vars(config).pop("quantization_config", None)
        kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        state = _dequantised(checkpoint, text_config.num_hidden_layers)
        model, info = kind.from_pretrained(
            None, state_dict=state, local_files_only=True, trust_remote_code=False, use_safetensors=True, **options
        )
        if unused := sorted(info["unexpected_keys"]):  # such as factors that smooth activations
            rule = "has only tensors that the model uses, as it is in int8"
            raise RequestError("checkpoint", rule, ", ".join(unused[:3]), "Fold them into the weights.")
        return model, info
    if isinstance(quantization := getattr(config, "quantization_config", None), dict):
        quantization["dequantize"] = True  # otherwise a matter of which kernels are installed
    return AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, **options
    )


def _is_int8(checkpoint: Checkpoint) -> bool:
    return any(checkpoint.tensor(name).dtype == np.int8 for name in checkpoint.names if name.endswith(".weight"))


def _dequantised(checkpoint: Checkpoint, n_layers: int) -> dict[str, Tensor]:
    """All tensors of the first layers, floats as float32; int8 weights times their scales, which are left out."""
    names = [name for name in checkpoint.names if not (at := _LAYER.search(name)) or int(at[1]) < n_layers]
    coded = {n for n in names if n.endswith(".weight") and checkpoint.tensor(n).dtype == np.int8}
    beside = {n for n in names if (found := _OF_A_WEIGHT.fullmatch(n)) and found[1] in coded}
    for name in beside:
        is_zero = name.endswith(("_offset", "_zero_point")) and not np.any(checkpoint.tensor(name))
        if not (name.endswith("_scale") or is_zero):
            raise InputError(name, "is the scale of a weight: int8 codes are symmetric", "another", "Dequantise it.")
    return {name: _float(checkpoint, name, name in coded) for name in names if name not in beside}


def _float(checkpoint: Checkpoint, name: str, is_coded: bool) -> Tensor:
    values = checkpoint.tensor(name)
    if not is_coded:
        is_integer = values.dtype.kind in "iub"
        return torch.from_numpy(np.array(values) if is_integer else values.astype(np.float32))
    if f"{name}_scale" not in checkpoint.names:
        raise InputError(f"{name}_scale", "is in the checkpoint", "no such tensor", "Download all its files.")
    scale = checkpoint.tensor(f"{name}_scale").astype(np.float32)
    if scale.size not in (1, len(values)):
        raise InputError(f"{name}_scale", "is one an output channel", scale.shape, "Dequantise the checkpoint.")
    return torch.from_numpy(values.astype(np.float32) * scale.reshape(-1, 1))


@contextmanager
def loading() -> Iterator[None]:
    """Transformers at work: quietly, and what it raises becomes a RequestError."""
    try:
        with _quiet():
            yield
    except RequestError:
        raise
    except Exception as error:  # of a damaged folder transformers raises nearly every kind
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RequestError("checkpoint", "is one that transformers loads", reason, "Download all its files.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers reports every tensor that the layers above left unused, and draws its own progress bars."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    had_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def experts_module(model: Any, layer: int) -> Any:
    """The experts of a layer.

    Raises:
        RequestError: it has none of transformers' experts interface.
    """
    for name, module in model.named_modules():
        if re.search(rf"layers\.{layer}\.", name) and hasattr(module, "has_post_expert_norm"):
            return module
    fix = "Models without `use_experts_implementation` cannot be compared."
    raise RequestError("layer", "has experts of transformers' interface", layer, fix)
