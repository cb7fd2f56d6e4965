"""Calls experts as on a Neuron device, where the runtime's package is a stand-in, and saves what they give.

python -m support.layer_on_neuron RESULTS
"""

import sys

import torch

import nkimoe

if __name__ == "__main__":
    nkimoe.TOOLCHAIN = "neuron"

from nkimoe.pytorch import ExpertWeights, moe_experts, options

FORMATS = ("plain", "fp8-row", "fp8-static", "int8")


def layer():
    """(hidden states, ids, weights, experts): values that bf16 holds."""
    generator = torch.Generator().manual_seed(0)

    def values(*shape):
        return (torch.randn(shape, generator=generator) / 4).bfloat16()

    ids = torch.stack([torch.randperm(3, generator=generator)[:2] for _ in range(10)])
    experts = ExpertWeights(values(3, 128, 2, 32), values(3, 32, 128), [values(3, 2, 32), values(3, 128)])
    return values(10, 128), ids, values(10, 2).abs(), experts


def results(compiled):
    """By name; `compiled` makes a function a graph."""
    x, ids, weights, experts = layer()
    found = {}
    for cores in (1, 2):
        for form in FORMATS:
            with torch.no_grad(), options(cores=cores, weights=form):
                packed = experts.prepare(torch.bfloat16, form, "trn2")
                found[f"{form} on {cores}"] = moe_experts(x, ids, weights, packed)
    with torch.no_grad():
        found["pairs"] = moe_experts(x, ids, weights, experts, is_complete=True)
        with options(variant="shard_on_i_hybrid"):
            found["loop"] = moe_experts(x, ids, weights, experts)
        found["compiled"] = compiled(lambda x: moe_experts(x, ids, weights, experts))(x)
    return found


def gradients():
    x, ids, weights, experts = layer()
    leaves = [x, weights, experts.gate_up, experts.down, *experts.biases]
    for leaf in leaves:
        leaf.requires_grad_()
    output = moe_experts(x, ids, weights, experts)
    return [output, *torch.autograd.grad(output.float().square().sum(), leaves)]


if __name__ == "__main__":
    import importlib.util

    is_operator = importlib.util.find_spec("torch_neuronx") is not None
    found = results(lambda function: torch.compile(function, backend="aot_eager", fullgraph=is_operator))
    torch.save((found, gradients() if is_operator else []), sys.argv[1])
