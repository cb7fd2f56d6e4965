# SPDX-License-Identifier: Apache-2.0
"""A model of an int8 checkpoint whose experts keep codes and scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from nkimoe.arrays import Array
from nkimoe.errors import RequestError
from nkimoe.hf.forward import NAME, register
from nkimoe.hf.layout import ACTIVATIONS, join
from nkimoe.hf.load_model import experts_module, load_model
from nkimoe.weights.checkpoint import Checkpoint
from nkimoe.weights.checkpoint_int8 import Int8Experts


def load_int8(folder: Path | str) -> Any:
    """The causal model of an int8 checkpoint, its experts run by `moe_cte` with codes and scales as they are.

    Activations of the experts become int8 if the checkpoint says so (W8A8), and else do not (W8A16). All other weights
    are dequantised to float32, and their activations stay as they are. The checkpoint's layouts and what is refused:
    `nkimoe.weights.Checkpoint`. Transformers needs no library for it.

    Raises:
        RequestError: no layer has int8 experts, or transformers does not load the model. InputError: the checkpoint
            stores them in a way that is not read.
    """
    checkpoint = Checkpoint(folder)
    int8 = {n: e for n in checkpoint.layers if isinstance(e := checkpoint.experts(n), Int8Experts)}
    if not int8:
        raise RequestError("folder", "has layers with int8 experts", "none", "Load the model with transformers.")
    model = load_model(Path(folder))
    for layer, experts in int8.items():
        _keep(experts_module(model, layer), experts)
    register()
    model.set_experts_implementation(NAME)
    return model


def _keep(module: Any, experts: Int8Experts) -> None:
    """Codes and scales instead of a module's weights."""
    read = [experts.read(e) for e in range(len(experts))]

    def stacked(arrays: list[Array]) -> Tensor:
        return torch.from_numpy(np.stack(arrays))

    down, gate_up = stacked([e.down for e in read]), stacked([e.gate_up for e in read])
    gate_up, down, scale = join(module, gate_up, down, stacked([e.gate_up_scale for e in read]))
    for name, codes in (("gate_up_proj", gate_up), ("down_proj", down)):
        setattr(module, name, Parameter(codes, requires_grad=False))
    module.register_buffer("gate_up_proj_scale", scale)
    module.register_buffer("down_proj_scale", stacked([e.down_scale for e in read]))
    setattr(module, ACTIVATIONS, experts.activation_quantization)
