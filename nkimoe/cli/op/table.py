# SPDX-License-Identifier: Apache-2.0
"""Every operation of the command, by name. A row is a class; there is no other list."""

from __future__ import annotations

from nkimoe.cli.op.fused_moe import FusedMoeSmoothquant
from nkimoe.cli.op.grouped_gemm import FusedMoeGemm
from nkimoe.cli.op.int8_quantisers import PerChannelInt8, PerTokenInt8
from nkimoe.cli.op.request import OpRequest
from nkimoe.cli.op.sglang_experts import RoutedExperts, SharedExpert
from nkimoe.cli.op.sigmoid_top1 import RoutingSigmoidTop1
from nkimoe.cli.op.smoothquants import MoeSmoothquant, Smoothquant
from nkimoe.cli.op.sorting import MoeAlignBlockSize, MoeSorting
from nkimoe.cli.op.static_fp8 import StaticFp8
from nkimoe.cli.op.topk_softmax import TopkSoftmax
from nkimoe.cli.op.two_stage_moe import E2eMoe, FusedMoe

OPERATIONS: dict[str, type[OpRequest]] = {
    row.name: row
    for row in (
        MoeSmoothquant,
        Smoothquant,
        PerTokenInt8,
        PerChannelInt8,
        StaticFp8,
        TopkSoftmax,
        MoeSorting,
        MoeAlignBlockSize,
        RoutedExperts,
        SharedExpert,
        FusedMoeSmoothquant,
        RoutingSigmoidTop1,
        FusedMoeGemm,
        E2eMoe,
        FusedMoe,
    )
}
