# SPDX-License-Identifier: Apache-2.0
"""From torch tensors to a launch of `moe_cte`: simulated on the host, or AWS's toolchain on a Neuron device."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nkimoe import TOOLCHAIN
from nkimoe.errors import RequestError
from nkimoe.moe_cte import moe_cte
from nkimoe.moe_cte_backward import moe_cte_backward
from nkimoe.planning.variants import HYBRID, VARIANTS
from nkimoe.pytorch import neuron
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.choice import called_as, decided
from nkimoe.pytorch.flat_arguments import names_of
from nkimoe.pytorch.flat_kernels import Number, flat_moe_cte, flat_moe_cte_backward, spec_of
from nkimoe.pytorch.options import Options
from nkimoe.spec import ActFnType, Pairs, SkipMode
from nkimoe.toolchain import NEURON
from nkimoe.weights import FP8_OF_TARGET, MX_FORMATS
from nkimoe.weights.host_array import host_array

WEIGHTS = ("gate_up_proj_weight", "down_proj_weight")
AFFINITIES, POSITIONS, WEIGHTS_OF_SLOTS = "expert_affinities_masked", "positions", "weights_of_slots"


class _Flat(NamedTuple):
    """A kernel of flat arguments, and their names."""

    kernel: Any
    names: tuple[str, ...]

    @classmethod
    def of(cls, kernel: Any) -> _Flat:
        return cls(kernel, names_of(kernel))


_FORWARD, _BACKWARD = _Flat.of(flat_moe_cte), _Flat.of(flat_moe_cte_backward)


def launch_moe_cte(call: Call, tensors: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The output [T, H] of one launch, and gate and up activations [N, 2, I, B], if the call keeps them, else [0].

    Pads have id -1. Quantised weights come as integers of the same size, int8 as itself, since torch has no types for
    Trn2's fp8 and for four MX values. With activations the affinity multiplies on I, so that none of the down
    projection are kept.

    Raises:
        RequestError, InputError: what `moe_cte` refuses; or tensors of a device that nothing here can launch on.
    """
    call = decided(call, tensors)
    implementation, strategy = called_as(call.options)
    if VARIANTS[implementation].schedule != HYBRID:
        tensors = {name: tensor for name, tensor in tensors.items() if name != "conditions"}  # refused by them
    if TOOLCHAIN == NEURON:
        results = _on_neuron(_FORWARD, call, tensors, implementation=implementation, strategy=strategy)
    else:
        arguments = {**call.arguments(), "skip_dma": SkipMode(skip_token=True)}
        spec = spec_of(implementation, strategy, call.keeps)
        shared = spec.shared_by(call.ep_degree, len(tensors["hidden_states"]), call.top_k, arguments["block_size"])
        results = _simulated(moe_cte, call, tensors, spec=shared, **arguments)
    if call.keeps:
        output, activations = results
        return output, activations
    output = results[0] if isinstance(results, tuple) else results
    return output, output.new_empty(0)


def launch_moe_cte_backward(call: Call, tensors: dict[str, Any]) -> list[Tensor]:
    """The gradients of one launch of `moe_cte_backward`; pads have id -1.

    Raises:
        RequestError, InputError: what `moe_cte_backward` refuses; or tensors of a device that nothing here can launch
            on.
    """
    if TOOLCHAIN == NEURON:
        return list(_on_neuron(_BACKWARD, call, tensors))
    arguments = call.arguments()
    del arguments["is_tensor_update_accumulating"]  # gradients of a token's experts always add up
    return list(_simulated(moe_cte_backward, call, tensors, skip_dma=SkipMode(skip_token=True), **arguments))


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


def _simulated(kernel: Any, call: Call, tensors: dict[str, Any], **arguments: Any) -> Any:
    from nkisim import Simulator

    device = tensors["hidden_states"].device
    if device.type != "cpu":
        raise RequestError("hidden_states", "is on the CPU when simulating", device, "Call .cpu().")
    arrays = {name: host_array(name, tensor) for name, tensor in tensors.items()}
    if call.options.carries_weights:
        for name in WEIGHTS:
            arrays[name] = arrays[name].view(_number_type(call.options))
    arrays["hidden_states"] = tensors["hidden_states"].detach()  # results are of its kind
    simulator = Simulator(call.options.target, call.options.cores)
    return simulator.run(kernel, **_with_pairs(arrays, call.choices), **arguments).outputs


def _on_neuron(flat: _Flat, call: Call, tensors: dict[str, Any], **more: Any) -> Any:
    """Never run by its authors: AWS's toolchain is not publicly installable."""
    options, gate = call.options, call.gate
    number = Number(_number_type(options).name) if options.carries_weights else None
    if number in (Number.FLOAT8_E4M3, Number.FLOAT8_E4M3FN):
        tensors = {name: each.view(torch.int8) if name in WEIGHTS else each for name, each in tensors.items()}
    values = {
        **tensors,
        **more,
        "number": number,
        "block_size": options.block_size,
        "accumulates": call.accumulate,
        "keeps": call.keeps,
        "exact_rows": call.exact_rows,
        "choices": call.choices,
        "top_k": call.top_k,
        "ep_degree": call.ep_degree,
        "activation": ActFnType[gate.activation],
        "has_gate": gate.has_gate,
        "up_offset": gate.up_offset,
        "gate_upper": gate.gate_upper,
        "gate_lower": gate.gate_lower,
        "up_upper": gate.up_upper,
        "up_lower": gate.up_lower,
    }
    return neuron.launch(flat.kernel, options.cores, {name: values.get(name) for name in flat.names})
