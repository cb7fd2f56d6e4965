"""`moe_align_block_size` and `moe_routing_sigmoid_top1_fused`: routing of a layer's tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from nkimoe.cli.op.experiment import OpSetup, run_operation
from nkimoe.cli.op.inputs import SEED
from nkimoe.cli.op.request import OpRequest
from nkimoe.cli.op.sigmoid_top1 import RoutingSigmoidTop1
from nkimoe.cli.op.sorting import MoeAlignBlockSize
from nkimoe.planning.tiling import ceil_div
from nkisim.machine import UsefulWork
from ops.layers import BenchLayer
from ops.outcome import INPUTS, BenchRow, Device, Outcome


@dataclass(frozen=True)
class AlignBench:
    """Blocks of `block_size` rows."""

    device: Device
    block_size: int = 128

    def rows(self, layer: BenchLayer, M: int) -> Iterator[BenchRow]:
        """One: N and K change nothing."""
        E, k, B = layer.E, layer.top_k, self.block_size
        values = (layer.model, M, layer.N, layer.K, E, k)
        padded = M * k + E * (B - 1)
        peer = UsefulWork(0.0, M * k * 8 + (padded + ceil_div(padded, B) + 1) * 4)  # ids of int64 there
        find = partial(_outcome, MoeAlignBlockSize(M, E, k, B), peer, self.device)
        yield BenchRow(dict(zip(INPUTS, values, strict=True)), find)


@dataclass(frozen=True)
class SigmoidBench:
    """N experts and K columns of a token, which are E and K of a layer."""

    device: Device
    dtype: str = "bf16"

    def rows(self, layer: BenchLayer, M: int) -> Iterator[BenchRow]:
        """One."""
        N, K = layer.E, layer.K
        peer = UsefulWork(2.0 * M * N * K, 2 * (M * K + N * K + M * N))  # which writes no M x N
        find = partial(_outcome, RoutingSigmoidTop1(M, N, K, self.dtype), peer, self.device)
        yield BenchRow({"M": M, "N": N, "K": K}, find)


def _outcome(request: OpRequest, peer: UsefulWork, device: Device) -> Outcome:
    result = run_operation(request, OpSetup(device.target, device.lnc, SEED, numerics=False))
    return Outcome(result.run.profile, device, peer, UsefulWork(peer.flops, request.useful_bytes))
