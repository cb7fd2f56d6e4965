# SPDX-License-Identifier: Apache-2.0
"""Everything the stages share while one call is traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import nki.language as nl

from nkimoe.kernels.numerics import STAGES, AnyStages, TokensOnChip, WeightsOnChip
from nkimoe.kernels.stages.checkpoints import NoCheckpoints, make_checkpoints
from nkimoe.kernels.stages.exchange import add_across_cores
from nkimoe.kernels.stages.gated_activation import GatedActivation
from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.hidden_scales import HiddenScales
from nkimoe.kernels.stages.load_routing import BlockRouting, Part, Routing
from nkimoe.kernels.stages.make_output import make_output
from nkimoe.kernels.stages.output_rows import Output, Update
from nkimoe.kernels.stages.products import DownProducts
from nkimoe.kernels.stages.scale_by_affinity import Scaling, make_scaling
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.problem import Problem
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import PARTITIONS, Span, Tiling, spans


@dataclass(frozen=True)
class ForwardLayer:
    """One traced call on one core.

    Attributes:
        request: the caller's tensors and options.
        share: what this core does.
        routing: token ids, experts and affinity rows of its blocks, on chip.
        token_rows: hidden rows on their way in.
        tokens: the transposed tokens of the part at hand.
        weights: the weights of the expert at hand.
        scaling: where affinities multiply.
        hidden_scales: of activations that came quantised.
        stages: those that differ by numerics.
        activation: act(gate) * up.
        sums: what becomes of down products when the cores share every block: their sums over both.
        checkpoints: activations kept for the backward pass.
        output: where results go.
    """

    request: Request
    plan: Plan
    share: Share
    routing: Routing
    token_rows: TokenRows
    stages: AnyStages
    tokens: TokensOnChip[object]  # what `stages` take, as the weights are
    weights: WeightsOnChip[object]
    scaling: Scaling
    hidden_scales: HiddenScales
    activation: GatedActivation
    sums: Callable[[DownProducts], DownProducts]
    checkpoints: NoCheckpoints
    output: Output

    @property
    def problem(self) -> Problem:
        return self.plan.problem

    @property
    def tiling(self) -> Tiling:
        return self.plan.tiling

    @classmethod
    def prepare(cls, request: Request, plan: Plan) -> ForwardLayer:
        """Load what all blocks need and build the options into functions."""
        stages, share = STAGES[plan.numerics], plan.share_of(nl.program_id(0))
        output = make_output(request, plan, stages.make_slabs)
        routing = Routing(request, plan.problem, share.blocks, plan.tiling.weight_sets)
        weights = stages.weights(request, plan, share)
        rows = stages.rows(request, share.gathered, plan.tiling, routing.out_of_bounds)
        sums = partial(add_across_cores, written=share.written, dtype=request.sum_dtype)
        return cls(
            request=request,
            plan=plan,
            share=share,
            routing=routing,
            token_rows=rows,
            stages=stages,
            tokens=stages.tokens(plan.problem.H, plan.tiling, share.gathered, weights, rows),
            weights=weights,
            scaling=make_scaling(request),
            hidden_scales=HiddenScales(request, routing.out_of_bounds),
            activation=GatedActivation.from_request(request, stages.up_waits_in),
            sums=sums if plan.halves_intermediate else _of_one_core,
            checkpoints=make_checkpoints(request, plan, share),
            output=output,
        )

    def blocks(self, count: int) -> Iterator[BlockRouting]:
        """The first `count` blocks of this core; a block's affinities start loading when it is handed out, unless they
        came with its ids.
        """
        for block in self.routing.blocks(count):
            if block.affinities is not None:
                yield block
                continue
            room = self.scaling.room(self.problem.tiles_per_block)
            self.scaling.gather(room, block, self.routing.out_of_bounds)
            yield replace(block, affinities=room)

    def parts_of(self, block: BlockRouting) -> list[Part]:
        """A block in groups of token tiles that go through the MLP together."""
        return [Part(block, tiles, slots, tiles.start == 0) for tiles, slots in self._cuts()]

    def keep_pace(self) -> None:
        """Where the first core unrolls a block more than this one, and results are exchanged, this core takes part."""
        missing = self.plan.unrolled_of(0).count - self.plan.unrolled_of(nl.program_id(0)).count
        for _, slots in self._cuts() * missing:
            self.output.keep_pace([tile.size for tile in spans(slots, PARTITIONS)])

    def _cuts(self) -> list[tuple[Span, int]]:
        """Tiles of 128 slots of each part of a block, and how many slots those have."""
        B = self.problem.B
        tiles = spans(self.problem.tiles_per_block, self.tiling.token_tiles)
        return [(each, min(each.size * PARTITIONS, B - each.start * PARTITIONS)) for each in tiles]

    def start(self, part: Part | None) -> None:
        """Make the output ready for results, and load what the first part needs, if this core has one."""
        self.output.begin()
        if part is not None:
            self.token_rows.gather(part)
            self.weights.fill(part)
            self.turn(part)

    def turn(self, part: Part | None) -> None:
        """Turn the gathered rows of a part into columns; this ends the use of the columns before."""
        if part is not None:
            self.tokens.turn(self.scaling.rows(self.token_rows.of(part), part.affinities))

    def updates(self, part: Part) -> list[Update]:
        """An update of the output for each tile of slots; the rows it adds to start loading now."""
        return self.output.updates(part, self.scaling.output(part.affinities, part.tiles.size))

    def finish(self) -> Tensor | tuple[Tensor, ...]:
        """The output; with checkpoints, (output, gate/up activations[, down activations])."""
        output = self.output.finish()
        return (output, *self.checkpoints.tensors) if self.checkpoints.tensors else output


def _of_one_core(products: DownProducts) -> DownProducts:
    """Nobody else has a share of the contraction over I."""
    return products
