"""Calls operations as on a Neuron device, whose tensors nobody reads on the host, and saves what they give.

python -m support.operations_on_neuron RESULTS
"""

import sys

import torch

import nkimoe

if __name__ == "__main__":
    nkimoe.TOOLCHAIN = "neuron"

import nkimoe.pytorch as layers
from nkimoe.ops import expert_arguments, gemm_rows, gemm_weights, routing_tensors
from support.operation_calls import NAMES, codes, given, scales


def calls():
    """(function, arguments, options) by name."""
    found = {name: (name, *given(name)) for name in NAMES}
    (x, w1, w2, weights, ids), _ = given("fused_moe")
    here = torch.tensor([1, 0, 1, 1, 1, 0])
    some = torch.tensor([[0, 5], [2, 2], [-1, 3]]).repeat(3, 1)
    found["masked"] = ("fused_moe", (x, w1, w2, weights, some), {"expert_mask": here})
    found["no expert"] = ("fused_moe", (x, w1, w2, weights, ids - 1), {"doweight_stage1": True})
    found["summed"] = ("fused_moe_gemm", (x, w1, ids, weights), {"reduce": True})
    (_, coded1, coded2, *_), of_codes = given("fused_experts")
    for kind in ("int8_w8a16", "int8_w8a8"):
        found[kind] = ("fused_moe", (x, coded1, coded2, weights, ids), {**of_codes, "quantization": kind})
    fp8 = [w.to(torch.float8_e5m2) for w in (w1, w2)]
    found["fp8"] = ("fused_moe", (x, *fp8, weights, ids), {"quantization": "fp8_w8a16", **of_codes})
    blocks = {"w1_scale": scales(4, 1, 1), "w2_scale": scales(4, 1, 1)}
    found["fp8 blocks"] = ("fused_moe", (x, *fp8, weights, ids), {"quantization": "fp8_block_w8a16", **blocks})
    packed = codes(4, 48, 20).view(torch.uint8)
    zeros = codes(4, 24, 5).view(torch.uint8)
    of_groups = {"quantization": "int4_w4a16", "group_size": 8, "b_scale": scales(4, 48, 5), "zero_point": zeros}
    found["int4"] = ("fused_moe_gemm", (x, packed, ids), of_groups)
    return found


def results(is_operator):
    """By name; of tensors without values first, which is what a graph has."""
    found = {}
    for name, (operation, arguments, named) in calls().items():
        function = getattr(layers, operation)
        with torch.no_grad():
            found[name] = function(*arguments, **named)
    arguments, named = given("fused_moe")
    compiled = torch.compile(layers.fused_moe, backend="aot_eager", fullgraph=is_operator)
    with torch.no_grad(), layers.options(cores=1):
        found["compiled"] = compiled(*arguments, **named)
    return found


def of_numpy_alone(name, value):
    """Values of tensors stay on their device."""
    return None if isinstance(value, torch.Tensor) else routing_tensors.host_array(name, value)


if __name__ == "__main__":
    import importlib.util

    for module in (routing_tensors, expert_arguments, gemm_rows, gemm_weights):
        module.values_of = of_numpy_alone
    torch.save(results(importlib.util.find_spec("torch_neuronx") is not None), sys.argv[1])
