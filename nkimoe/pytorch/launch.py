"""From torch tensors to a launch of `moe_cte`: simulated on the host, or AWS's toolchain on a Neuron device."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nkimoe import TOOLCHAIN
from nkimoe.errors import RequestError
from nkimoe.moe_cte import moe_cte
from nkimoe.moe_cte_backward import moe_cte_backward
from nkimoe.planning.variants import HYBRID, VARIANTS
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.options import INT8, PLAIN, Options
from nkimoe.spec import MoECTEImplementation, MoECTESpec, Pairs, SkipMode
from nkimoe.toolchain import NEURON
from nkimoe.weights import FP8_OF_TARGET, MX_FORMATS
from nkimoe.weights.host_array import host_array

WEIGHTS = ("gate_up_proj_weight", "down_proj_weight")
AFFINITIES, POSITIONS, WEIGHTS_OF_SLOTS = "expert_affinities_masked", "positions", "weights_of_slots"
Formats = dict[str, np.dtype[Any]]


def launch_moe_cte(call: Call, tensors: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The output [T, H] of one launch, and gate and up activations [N, 2, I, B], if the call keeps them, else [0].

    Pads have id -1. Quantised weights come as integers of the same size, int8 as itself, since torch has no types for
    Trn2's fp8 and for four MX values. With activations the affinity multiplies on I, so that none of the down
    projection are kept.

    Raises:
        RequestError, InputError: what `moe_cte` refuses; or tensors of a device that nothing here can launch on.
    """
    options = call.options
    formats = {name: _number_type(options) for name in WEIGHTS} if options.weights not in (PLAIN, INT8) else {}
    spec = MoECTESpec.suited(MoECTEImplementation[options.variant])
    if VARIANTS[spec.implementation].schedule != HYBRID:
        tensors = {name: tensor for name, tensor in tensors.items() if name != "conditions"}  # refused by them
    launch = _launch(moe_cte, call, formats)
    arguments = {**call.arguments(), "skip_dma": SkipMode(skip_token=True)}
    if call.keeps:
        output, activations = launch(tensors, spec=_keeping(spec), **arguments)
        return output, activations
    results = launch(tensors, spec=spec, **arguments)
    output = results[0] if isinstance(results, tuple) else results
    return output, output.new_empty(0)


def _keeping(spec: MoECTESpec) -> MoECTESpec:
    """The spec, with gate and up activations returned."""
    changes: dict[str, Any] = {"checkpoint_activation": True, "expert_affinity_multiply_on_I": True}
    if spec.shard_on_block is not None:
        return replace(spec, shard_on_block=replace(spec.shard_on_block, **changes))
    assert spec.shard_on_I is not None, "MoECTESpec fills in the matching one"
    return replace(spec, shard_on_I=replace(spec.shard_on_I, **changes))


def launch_moe_cte_backward(call: Call, tensors: dict[str, Any]) -> list[Tensor]:
    """The gradients of one launch of `moe_cte_backward`; pads have id -1.

    Raises:
        RequestError, InputError: what `moe_cte_backward` refuses; or tensors of a device that nothing here can launch
            on.
    """
    launch = _launch(moe_cte_backward, call, {})
    arguments = call.arguments()
    del arguments["is_tensor_update_accumulating"]  # gradients of a token's experts always add up
    return list(launch(tensors, skip_dma=SkipMode(skip_token=True), **arguments))


def _launch(kernel: Any, call: Call, formats: Formats) -> Any:
    """How to launch a kernel on tensors by name."""
    return partial(_on_neuron if TOOLCHAIN == NEURON else _simulated, kernel, call, formats)


def _with_pairs(tensors: dict[str, Any], choices: int | None) -> dict[str, Any]:
    """Arguments of the kernel, from tensors by name."""
    if choices is None:
        return tensors
    others = {name: tensor for name, tensor in tensors.items() if name not in (POSITIONS, WEIGHTS_OF_SLOTS)}
    return {**others, AFFINITIES: None, "pairs": Pairs(tensors[POSITIONS], tensors[WEIGHTS_OF_SLOTS], choices)}


def _number_type(options: Options) -> np.dtype[Any]:
    """Of quantised weights that torch has no type for."""
    mx = MX_FORMATS.get(options.weights)
    return FP8_OF_TARGET[options.target] if mx is None else mx.packed


def _simulated(kernel: Any, call: Call, formats: Formats, tensors: dict[str, Any], **arguments: Any) -> Any:
    from nkisim import Simulator

    device = tensors["hidden_states"].device
    if device.type != "cpu":
        raise RequestError("hidden_states", "is on the CPU when simulating", device, "Call .cpu().")
    arrays = {name: host_array(name, tensor) for name, tensor in tensors.items()}
    for name, number in formats.items():
        arrays[name] = arrays[name].view(number)
    arrays["hidden_states"] = tensors["hidden_states"].detach()  # results are of its kind
    simulator = Simulator(call.options.target, call.options.cores)
    return simulator.run(kernel, **_with_pairs(arrays, call.choices), **arguments).outputs


def _on_neuron(kernel: Any, call: Call, formats: Formats, tensors: dict[str, Any], **arguments: Any) -> Any:
    """Never run by its authors: AWS's toolchain is not publicly installable."""
    for name, number in formats.items():
        if number.itemsize == 1:
            tensors[name] = tensors[name].view(torch.float8_e4m3fn)  # the carrier that torch-neuronx reads as e4m3
    return kernel[call.options.cores](**_with_pairs(tensors, call.choices), **arguments)
