"""`moe_e2e`: both projections of a layer in one kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from nkimoe.cli.op.two_stage_moe import E2eMoe
from nkimoe.ops.pair_experts import pair_experts
from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.expert_options import ExpertOptions
from nkimoe.planning.tiling import PARTITIONS, ceil_div
from nkimoe.tuning.shaped_gemm import Routed, without_values
from nkisim import Predictor
from nkisim.machine import UsefulWork
from ops.gemm import DTYPES
from ops.layers import BenchLayer
from ops.outcome import INPUTS, BenchRow, Device, Outcome


@dataclass(frozen=True)
class LayerBench:
    """How layers are run; dtype is a key of DTYPES."""

    device: Device
    dtype: str = "fp16"

    def rows(self, layer: BenchLayer, M: int) -> Iterator[BenchRow]:
        """One."""
        values = (layer.model, M, layer.N, layer.K, layer.E, layer.top_k)
        request = E2eMoe(M, layer.K, layer.N // 2, layer.E, layer.top_k, self.dtype)
        yield BenchRow(dict(zip(INPUTS, values, strict=True)), partial(self.outcome, request))

    def outcome(self, request: E2eMoe) -> Outcome:
        """What is predicted for it."""
        T, E, I, dtype = request.tokens, request.experts, request.intermediate, DTYPES[self.dtype]
        H = ceil_div(request.hidden, PARTITIONS) * PARTITIONS
        routed = Routed.evenly(T, request.topk, E)
        blocks = routed.blocks(block_size_for(routed.ids.size, routed.used))
        size = blocks.tokens.size // blocks.block_to_expert.size
        matrices = (without_values(shape, dtype) for shape in ((T, H), (E, H, 2, I), (E, I, H)))
        tables = blocks.tokens, blocks.positions, blocks.weights, blocks.block_to_expert
        options = ExpertOptions(size, dtype, request.topk, has_gaps=blocks.has_gaps)
        simulator = Predictor(self.device.target, self.device.lnc)
        profile = simulator.run(pair_experts, *matrices, None, None, None, None, *tables, options).profile
        useful = UsefulWork(request.useful_flops, replace(request, experts=routed.used).useful_bytes)
        return Outcome(profile, self.device, peer_work(request), useful)


def peer_work(request: E2eMoe) -> UsefulWork:
    """aiter's formulas for `moe`, of both projections: what lies between them does not move."""
    pairs, item = request.tokens * request.topk, 2
    weights = 3 * request.intermediate * request.hidden
    moved = 2 * request.tokens * request.hidden + min(request.experts, pairs) * weights
    return UsefulWork(2.0 * pairs * weights, item * moved)
