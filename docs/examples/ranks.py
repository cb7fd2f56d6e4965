"""Expert and tensor parallelism on four ranks.

    torchrun --nproc-per-node 4 ranks.py

One layer, its experts shared out over two groups of ranks, the columns of each expert over the two ranks of a group.
Each pair of ranks that shares an expert's columns (tensor parallelism) has the same tokens; ranks that share out the
experts (expert parallelism) have tokens of their own, which travel to the ranks of their experts and back. Every rank
compares its output with that of a layer that one process has alone. On a computer the kernels are simulated, hence the
small sizes.
"""

import torch
import torch.distributed as dist

from nkimoe.pytorch import ExpertWeights, LayerSizes, MoE, Ranks
from nkimoe.routing import RoutingRule

SIZES, RULE = LayerSizes(H=64, I=48, E=4), RoutingRule(top_k=2)
TP, TOKENS = 2, 6


def groups_of(rank: int, world: int) -> Ranks:
    """Neighbouring ranks share columns; every second one shares experts. All ranks make all groups, in one order."""
    tp = [dist.new_group(list(range(first, first + TP))) for first in range(0, world, TP)]
    ep = [dist.new_group(list(range(first, world, TP))) for first in range(TP)]
    return Ranks(ep=ep[rank % TP], tp=tp[rank // TP])


def layer_with_weights(ranks: Ranks) -> MoE:
    """The same layer everywhere: each rank draws all weights and keeps its part."""
    draw, (E, H, I) = torch.Generator().manual_seed(0), (SIZES.E, SIZES.H, SIZES.I)
    shapes = ((E, H), (E, H, 2, I), (E, I, H))
    router, gate_up, down = (torch.randn(shape, generator=draw) / 8 for shape in shapes)
    layer = MoE(SIZES, RULE, ranks=ranks)
    layer.load_whole(router, ExpertWeights(gate_up, down, []))
    return layer


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(1 + rank // TP)  # ranks that share columns have the same tokens
    tokens = torch.randn(TOKENS, SIZES.H)
    with torch.no_grad():
        output = layer_with_weights(groups_of(rank, world))(tokens)
        alone = layer_with_weights(Ranks())(tokens)
    distance = float((output - alone).norm() / alone.norm())
    print(f"rank {rank} of {world}: {TOKENS} tokens, distance to one process {distance:.1e}", flush=True)
    assert distance < 1e-2
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
