# SPDX-License-Identifier: Apache-2.0
"""From a request for gradients to a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.backward.tiling import BackwardTiling, choose_backward_tiling
from nkimoe.planning.backward.validate import check_forms, validate_backward
from nkimoe.planning.option_types import check_option_types
from nkimoe.planning.problem import Problem
from nkimoe.planning.targets import Target
from nkimoe.planning.tiling import ceil_div

Limits = tuple[float | None, float | None]


@dataclass(frozen=True)
class OwnBlocks:
    """Consecutive blocks of one core, and the direction it takes them in.

    With two cores both end in the middle: an expert whose blocks they share is then the last of both, and its
    gradients are added up at the end.

    Attributes:
        first, count: which blocks.
        step: 1, or -1 for the last block first.
    """

    first: int
    count: int
    step: int

    @property
    def positions(self) -> list[int]:
        """Which of the own blocks, in the order of processing."""
        return list(range(self.count))[:: self.step]


def own_blocks(n_blocks: int, cores: int, core: int) -> OwnBlocks:
    """Half of the blocks.

    >>> own_blocks(5, 2, 0), own_blocks(5, 2, 1)
    (OwnBlocks(first=0, count=3, step=1), OwnBlocks(first=3, count=2, step=-1))
    """
    half = ceil_div(n_blocks, cores)
    return OwnBlocks(core * half, min(half, n_blocks - core * half), 1 if core == 0 else -1)


@dataclass(frozen=True)
class BackwardPlan:
    """How gradients will be computed.

    Attributes:
        gate_limits, up_limits: (upper, lower) limits, as the type of the kept activations stores them.
    """

    problem: Problem
    target: Target
    tiling: BackwardTiling
    gate_limits: Limits
    up_limits: Limits

    def blocks_of(self, core: int) -> OwnBlocks:
        """The blocks that `core` processes."""
        return own_blocks(self.problem.N, self.problem.cores, core)

    def explain(self) -> str:
        """The chain request -> problem -> tiling -> plan, for people."""
        p, t = self.problem, self.tiling
        shares = ", ".join(f"core {c}: {self.blocks_of(c).count}" for c in range(p.cores))
        return "\n".join(
            (
                f"request  gradients on {self.target.name}, {p.cores} core(s)",
                f"problem  T={p.T} H={p.H} I={p.I} E={p.E} B={p.B} N={p.N} (rows {p.rows})",
                f"tiling   {t.token_tiles * 128} tokens at a time, {t.columns} of {p.I} columns of I",
                f"         {t.accumulators} set(s) of weight gradients on chip",
                f"         SBUF about {t.sbuf_bytes} of {self.target.sbuf_bytes} bytes a partition",
                f"plan     {len(t.slices(p.I))} pass(es) over all blocks ({shares})",
            )
        )


def make_backward_plan(request: BackwardRequest, cores: int, target: Target) -> BackwardPlan:
    """Validate `request` and decide how to run it.

    Raises:
        RequestError: the request cannot be honoured.
    """
    check_option_types(request)
    check_forms(request)
    problem = Problem.from_tensors(
        request.hidden_states, request.gate_up_proj_weight, request.down_proj_weight, request.token_position_to_id,
        request.block_size, request.skip_dma.skip_token, cores,
    )  # fmt: skip
    validate_backward(request, problem, target)
    tiling = choose_backward_tiling(request, problem, target.sbuf_bytes)
    stored = _NUMBERS[str(request.gate_up_activations_T.dtype)]
    limits = [_stored(limits, stored) for limits in (request.gate_clamp, request.up_clamp)]
    return BackwardPlan(problem, target, tiling, *limits)


_NUMBERS: dict[str, Any] = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}


def _stored(limits: Limits, number: Any) -> Limits:
    upper, lower = (None if limit is None else float(np.asarray(limit).astype(number)) for limit in limits)
    return upper, lower
