# SPDX-License-Identifier: Apache-2.0
"""What `moe_cte` reads of each block: its expert, and whether it holds tokens."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, Span, spans
from nkimoe.routing.on_device.counts import experts_of


def describe_blocks(block_to_expert: Any, conditions: Any, last_block: Any) -> None:
    """Fill int32 [N] and [N + 1]. Surplus blocks are the last expert's, and hold no tokens.

    last_block: fp32 [128, E], equal rows: blocks of each expert and of all before it.
    """
    N, E = block_to_expert.shape[0], last_block.shape[1]
    for turn, blocks in enumerate(spans(N + 1, PARTITIONS)):
        if turn % nl.num_programs(0) != nl.program_id(0):
            continue
        expert = experts_of(blocks, last_block)
        answers = nl.ndarray((blocks.size, 2), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=answers[:, 0:1], data=expert.place, op0=nl.minimum, operand0=float(E - 1))
        nisa.tensor_scalar(dst=answers[:, 1:2], data=expert.is_surplus, op0=nl.equal, operand0=0.0)
        own = Span(blocks.start, min(blocks.stop, N) - blocks.start)
        if own.size:
            nisa.dma_copy(dst=block_to_expert.reshape((N, 1))[own.slice], src=answers[: own.size, 0:1])
        nisa.dma_copy(dst=conditions.reshape((N + 1, 1))[blocks.slice], src=answers[:, 1:2])
