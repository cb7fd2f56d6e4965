"""From torch tensors to a launch of `moe_cte`: simulated on the host, or AWS's toolchain on a Neuron device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nkimoe import TOOLCHAIN
from nkimoe.errors import RequestError
from nkimoe.moe_cte import moe_cte
from nkimoe.pytorch.call import Call
from nkimoe.spec import MoECTEImplementation, MoECTESpec, SkipMode
from nkimoe.toolchain import NEURON
from nkimoe.variants import HYBRID, VARIANTS
from nkimoe.weights import FP8_OF_TARGET
from nkimoe.weights.host_array import host_array


def launch_moe_cte(call: Call, tensors: dict[str, Any]) -> Tensor:
    """The output [T, H] of one launch; pads have id -1.

    fp8 weights come as their bytes, uint8, since torch has no type for Trn2's.

    Raises:
        RequestError, InputError: what `moe_cte` refuses; or tensors of a device that nothing here can launch on.
    """
    options = call.options
    implementation = MoECTEImplementation[options.variant]
    if VARIANTS[implementation].schedule != HYBRID:
        tensors = {name: tensor for name, tensor in tensors.items() if name != "conditions"}  # refused by them
    launch = _on_neuron if TOOLCHAIN == NEURON else _simulated
    result: Tensor = launch(
        options.target, options.cores, tensors, spec=MoECTESpec(implementation), skip_dma=SkipMode(skip_token=True),
        **call.arguments(),
    )  # fmt: skip
    return result


def _simulated(target: str, cores: int, tensors: dict[str, Any], **options: Any) -> Any:
    from nkisim import Simulator

    device = tensors["hidden_states"].device
    if device.type != "cpu":
        raise RequestError("hidden_states", "is on the CPU when simulating", device, "Call .cpu().")
    arrays = {name: host_array(name, tensor) for name, tensor in tensors.items()}
    for name in ("gate_up_proj_weight", "down_proj_weight"):
        if arrays[name].dtype == "uint8":
            arrays[name] = arrays[name].view(FP8_OF_TARGET[target])
    arrays["hidden_states"] = tensors["hidden_states"].detach()  # results are of its kind
    return Simulator(target, cores).run(moe_cte, **arrays, **options).outputs


def _on_neuron(target: str, cores: int, tensors: dict[str, Any], **options: Any) -> Any:
    """Never run by its authors: AWS's toolchain is not publicly installable."""
    for name in ("gate_up_proj_weight", "down_proj_weight"):
        if tensors[name].dtype == torch.uint8:
            tensors[name] = tensors[name].view(torch.float8_e4m3fn)  # the carrier that torch-neuronx reads as e4m3
    return moe_cte[cores](**tensors, **options)
