"""From torch tensors to a launch of `moe_cte`: simulated on the host, or AWS's toolchain on a Neuron device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nkimoe import TOOLCHAIN
from nkimoe.errors import RequestError
from nkimoe.moe_cte import moe_cte
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.options import PLAIN, Options
from nkimoe.spec import MoECTEImplementation, MoECTESpec, SkipMode
from nkimoe.toolchain import NEURON
from nkimoe.variants import HYBRID, VARIANTS
from nkimoe.weights import FP8_OF_TARGET, MX_FORMATS
from nkimoe.weights.host_array import host_array

WEIGHTS = ("gate_up_proj_weight", "down_proj_weight")
Formats = dict[str, np.dtype[Any]]


def launch_moe_cte(call: Call, tensors: dict[str, Any]) -> Tensor:
    """The output [T, H] of one launch; pads have id -1.

    Quantised weights come as integers of the same size, since torch has no types for Trn2's fp8 and for four MX values.

    Raises:
        RequestError, InputError: what `moe_cte` refuses; or tensors of a device that nothing here can launch on.
    """
    options = call.options
    formats = {name: _number_type(options) for name in WEIGHTS} if options.weights != PLAIN else {}
    implementation = MoECTEImplementation[options.variant]
    if VARIANTS[implementation].schedule != HYBRID:
        tensors = {name: tensor for name, tensor in tensors.items() if name != "conditions"}  # refused by them
    launch = _on_neuron if TOOLCHAIN == NEURON else _simulated
    result: Tensor = launch(
        options.target, options.cores, tensors, formats, spec=MoECTESpec(implementation),
        skip_dma=SkipMode(skip_token=True), **call.arguments(),
    )  # fmt: skip
    return result


def _number_type(options: Options) -> np.dtype[Any]:
    """Of quantised weights."""
    mx = MX_FORMATS.get(options.weights)
    return FP8_OF_TARGET[options.target] if mx is None else mx.packed


def _simulated(target: str, cores: int, tensors: dict[str, Any], formats: Formats, **options: Any) -> Any:
    from nkisim import Simulator

    device = tensors["hidden_states"].device
    if device.type != "cpu":
        raise RequestError("hidden_states", "is on the CPU when simulating", device, "Call .cpu().")
    arrays = {name: host_array(name, tensor) for name, tensor in tensors.items()}
    for name, number in formats.items():
        arrays[name] = arrays[name].view(number)
    arrays["hidden_states"] = tensors["hidden_states"].detach()  # results are of its kind
    return Simulator(target, cores).run(moe_cte, **arrays, **options).outputs


def _on_neuron(target: str, cores: int, tensors: dict[str, Any], formats: Formats, **options: Any) -> Any:
    """Never run by its authors: AWS's toolchain is not publicly installable."""
    for name, number in formats.items():
        if number.itemsize == 1:
            tensors[name] = tensors[name].view(torch.float8_e4m3fn)  # the carrier that torch-neuronx reads as e4m3
    return moe_cte[cores](**tensors, **options)
