"""`python spread_layer.py LAYOUT RANKS TRAVEL`: the layer spread over forked processes against itself in one process.

LAYOUT is ep, tp or tp-ep (TP 2). Every rank has other tokens than the next, and one of them none; or, where TRAVEL is
`all` instead of `selected`, the same number. Prints the largest
relative errors of outputs and gradients; fails if one is above the bound.
"""

import multiprocessing
import os
import sys
import tempfile

import torch
import torch.distributed as dist

from nkimoe.pytorch import ExpertWeights, Gate, LayerSizes, MoE, Ranks, Travel
from nkimoe.routing import RoutingRule

SIZES, RULE = LayerSizes(H=40, I=22, E=6), RoutingRule(2)
GATE = Gate("SiLU", up_upper=2.0, up_lower=-2.0)
BOUND = 2e-2
TRAVEL = Travel(sys.argv[3])


def whole_layer():
    torch.manual_seed(0)
    E, H, I = SIZES.E, SIZES.H, SIZES.I
    shapes = ((E, H, 2, I), (E, I, H), (E, 2, I), (E, H))
    gate_up, down, *biases = ((torch.randn(shape) / 4).bfloat16().float() for shape in shapes)
    return torch.randn(E, H) / 4, ExpertWeights(gate_up, down, biases)


def tokens_of(ep_rank):
    torch.manual_seed(10 + ep_rank)
    uneven = 0 if ep_rank == 1 else 5 + 3 * ep_rank
    return torch.randn(uneven if TRAVEL is Travel.SELECTED else 7, SIZES.H).bfloat16().float()


def layer(ranks):
    module = MoE(SIZES, RULE, GATE, has_bias=True, ranks=ranks)
    module.load_whole(*whole_layer())
    return module


def direction_of(ep_rank):
    torch.manual_seed(20 + ep_rank)
    return torch.randn(tokens_of(ep_rank).shape).bfloat16().float()


def output_and_gradients(module, ep_ranks):
    tokens = torch.cat([tokens_of(r) for r in ep_ranks]).requires_grad_()
    output = module(tokens)
    output.backward(torch.cat([direction_of(r) for r in ep_ranks]))
    return output.detach(), tokens.grad, {name: p.grad for name, p in module.named_parameters()}


def groups(layout, rank, world):
    if layout == "ep":
        return Ranks(ep=dist.group.WORLD, travel=TRAVEL), rank
    if layout == "tp":
        return Ranks(tp=dist.group.WORLD), 0
    tp = [dist.new_group([first, first + 1]) for first in range(0, world, 2)]
    ep = [dist.new_group(list(range(first, world, 2))) for first in range(2)]
    return Ranks(ep=ep[rank % 2], tp=tp[rank // 2], travel=TRAVEL), rank // 2


def error(actual, expected):
    return float((actual - expected).abs().max() / expected.abs().max()) if expected.numel() else 0.0


def check_rank(layout, rank, world, file):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    ranks, ep_rank = groups(layout, rank, world)
    module = layer(ranks)
    output, grad, grads = output_and_gradients(module, [ep_rank])

    output_1, grad_1, grads_1 = output_and_gradients(layer(Ranks()), range(ranks.ep_size))
    start = sum(len(tokens_of(r)) for r in range(ep_rank))
    own = slice(start, start + len(output))
    errors = {"output": error(output, output_1[own]), "tokens": error(grad, grad_1[own])}
    if grads["router"] is None:
        grads["router"] = torch.zeros_like(module.router)
    if ranks.ep is not None:
        dist.all_reduce(grads["router"], group=ranks.ep)  # replicated over data
    errors["router"] = error(grads["router"], grads_1["router"])
    experts = ranks.own_experts(SIZES.E)
    for name in ("gate_up", "down", "gate_up_bias"):
        axis = {"gate_up": 3, "down": 1, "gate_up_bias": 2}[name]
        if len(experts) and grads[name] is not None:
            expected = module._columns(grads_1[name][experts], axis)
            errors[name] = error(grads[name], expected)
    print(f"{layout} {world} rank {rank} { ({n: f'{e:.1e}' for n, e in errors.items()}) }\n", end="", flush=True)
    dist.barrier()
    dist.destroy_process_group()
    sys.exit(max(errors.values()) > BOUND)


def main():
    layout, world = sys.argv[1], int(sys.argv[2])
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "ranks")
        processes = [fork.Process(target=check_rank, args=(layout, r, world, file)) for r in range(world)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=120)
        codes = [process.exitcode for process in processes]
        for process in processes:
            process.kill()
    sys.exit(any(code != 0 for code in codes))


if __name__ == "__main__":
    main()
