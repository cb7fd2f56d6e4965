"""Everything the stages share while one call is traced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nki.language as nl

from nkimoe.kernels.stages.dense.weights import ExpertWeights, make_weights
from nkimoe.kernels.stages.gated_activation import GatedActivation
from nkimoe.kernels.stages.gather_tokens import TileRing
from nkimoe.kernels.stages.load_routing import Routing
from nkimoe.kernels.stages.scale_by_affinity import Scaling, make_scaling
from nkimoe.kernels.stages.update_output import Output, make_output
from nkimoe.plan import BlockRange, Plan
from nkimoe.problem import Problem
from nkimoe.request import Request
from nkimoe.tiling import Tiling, spans


@dataclass(frozen=True)
class Layer:
    """One traced call on one core.

    Attributes:
        request: the caller's tensors and options.
        blocks: the blocks of this core.
        routing: token ids, experts and affinity rows of those blocks, on chip.
        weights: the source of expert weights.
        scaling: where affinities multiply.
        activation: act(gate) * up with its clamps.
        output: where results go.
        token_rows, affinity_columns: rings of tiles that gathers write to.
    """

    request: Request
    plan: Plan
    blocks: BlockRange
    routing: Routing
    weights: ExpertWeights
    scaling: Scaling
    activation: GatedActivation
    output: Output
    token_rows: TileRing
    affinity_columns: TileRing

    @property
    def problem(self) -> Problem:
        return self.plan.problem

    @property
    def tiling(self) -> Tiling:
        return self.plan.tiling

    @classmethod
    def prepare(cls, request: Request, plan: Plan) -> Layer:
        """Load what all blocks need and build the options into functions."""
        core = nl.program_id(0)
        blocks = plan.blocks_of(core)
        p, t = plan.problem, plan.tiling
        output = make_output(request, plan)
        routing = Routing(request, p, blocks)
        clear = request.skip_dma.skip_token
        return cls(
            request=request,
            plan=plan,
            blocks=blocks,
            routing=routing,
            weights=make_weights(request, plan, routing),
            scaling=make_scaling(request),
            activation=GatedActivation.from_request(request),
            output=output,
            token_rows=TileRing(2 * t.token_tiles, (128, p.H), request.compute_dtype, clear),
            affinity_columns=TileRing(2 * t.token_tiles, (128, 1), nl.float32, clear),
        )

    def parts(self) -> list[Part]:
        """The core's work in order: each block in groups of token tiles that go through the MLP together."""
        groups = spans(self.problem.tiles_per_block, self.tiling.token_tiles)
        return [Part(j, g.start, g.size, g.start == 0) for j in range(self.blocks.count) for g in groups]


@dataclass(frozen=True)
class Part:
    """Some token tiles of one block.

    Attributes:
        block: position among this core's blocks.
        first_tile, tiles: tiles of 128 slots.
        opens_block: the first part of its block.
    """

    block: int
    first_tile: int
    tiles: int
    opens_block: bool


@dataclass(frozen=True)
class Fetched:
    """What was loaded for a part before its turn: ids, token rows and affinities, a tile each for 128 slots."""

    ids: list[Any]
    rows: list[Any]
    affinities: list[Any]
