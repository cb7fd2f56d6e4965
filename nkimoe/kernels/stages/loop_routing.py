"""Routing of one block whose number is known only on the device."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import BlockRouting, affinity_rows, load_ids, unless_equal
from nkimoe.kernels.stages.scale_by_affinity import Scaling
from nkimoe.problem import Problem
from nkimoe.request import Request
from nkimoe.shares import BlockRange
from nkimoe.tiling import PARTITIONS


class LoopRouting:
    """The tables of one block in tiles that outlive an iteration.

    Attributes:
        block: what the stages read.
    """

    STEP = 1

    def __init__(self, request: Request, problem: Problem, scaling: Scaling, out_of_bounds: Any) -> None:
        self._request, self._problem, self._scaling, self._out_of_bounds = request, problem, scaling, out_of_bounds
        tiles = problem.tiles_per_block
        self.block = BlockRouting(
            number=_integers(1, 1),
            ids=_integers(PARTITIONS, tiles),
            rows=_integers(PARTITIONS, tiles),
            expert=_integers(PARTITIONS, 1),
            expert_to_load=_integers(PARTITIONS, 1),
            affinities=scaling.room(tiles),
        )

    def load(self, number: int, expert_before: Any) -> None:
        """Become block `number`, which follows a block of that expert (an index tile, or None)."""
        nisa.memset(dst=self.block.number, value=min(number, self._problem.N - 1))
        self._load_tables()
        nisa.tensor_copy(dst=self.block.expert_to_load, src=self.block.expert)
        if expert_before is not None:
            unless_equal(self.block.expert_to_load, self.block.expert, expert_before, self._problem.E)

    def load_after(self, other: LoopRouting) -> None:
        """Become the block after `other`; the last one again if there is none."""
        nisa.tensor_scalar(
            dst=self.block.number, data=other.block.number,
            op0=nl.add, operand0=self.STEP, op1=nl.minimum, operand1=self._problem.N - 1,
        )  # fmt: skip
        self._load_tables()
        nisa.tensor_copy(dst=self.block.expert_to_load, src=self.block.expert)
        unless_equal(self.block.expert_to_load, self.block.expert, other.block.expert, self._problem.E)

    def take(self, other: LoopRouting) -> None:
        """Become what `other` is, without any transfer from HBM."""
        for dst, src in zip(self._state(), other._state(), strict=True):
            nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.gpsimd)

    def _state(self) -> list[Any]:
        """The tiles that say where the loop is."""
        b = self.block
        state = [b.number, b.ids, b.rows, b.expert]
        return state if b.affinities is None else [*state, b.affinities]

    def _load_tables(self) -> None:
        p, block = self._problem, self.block
        ids = self._request.token_position_to_id.reshape((p.N, p.B))
        table = block.ids.reshape((PARTITIONS, 1, p.tiles_per_block))
        load_ids(table, p, lambda pattern, offset: _of_block(ids, pattern, offset, block.number))
        self._leave_out(block.ids)
        experts = self._request.block_to_expert.reshape((p.N, 1))
        nisa.dma_copy(dst=block.expert, src=_of_block(experts, [[0, PARTITIONS], [1, 1]], 0, block.number))
        affinity_rows(block.rows, block.ids, block.expert, p.E)
        self._scaling.gather(block.affinities, block, self._out_of_bounds)

    def _leave_out(self, ids: Any) -> None:
        """Make slots pads that are not to be computed."""


class AlternatingRouting(LoopRouting):
    """For cores that take turns. The second one may reach a block behind the last one: its slots become pads."""

    STEP = 2

    def __init__(self, request: Request, problem: Problem, scaling: Scaling, out_of_bounds: Any) -> None:
        super().__init__(request, problem, scaling, out_of_bounds)
        self._position, self._count = _integers(PARTITIONS, 1), _integers(PARTITIONS, 1)
        conditions = _integers(PARTITIONS, problem.N)
        nisa.dma_copy(dst=conditions, src=request.conditions.ap(pattern=[[0, PARTITIONS], [1, problem.N]], offset=0))
        nisa.tensor_reduce(dst=self._count, op=nl.add, data=conditions, axis=1)
        self._pads = _integers(PARTITIONS, problem.tiles_per_block)
        nisa.memset(dst=self._pads, value=problem.T)

    def load(self, number: int, expert_before: Any) -> None:
        nisa.memset(dst=self._position, value=number)
        super().load(number, expert_before)

    def load_after(self, other: Any) -> None:
        nisa.tensor_scalar(dst=self._position, data=other._position, op0=nl.add, operand0=self.STEP)
        super().load_after(other)

    def _state(self) -> list[Any]:
        return [*super()._state(), self._position]

    def _leave_out(self, ids: Any) -> None:
        behind = nl.ndarray((PARTITIONS, 1), dtype=nl.uint8, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=behind, data1=self._position, data2=self._count, op=nl.greater_equal)
        everywhere = behind.ap(pattern=[[1, PARTITIONS], [0, ids.shape[1]]])
        nisa.tensor_copy_predicated(dst=ids, src=self._pads, predicate=everywhere)


ROUTINGS: dict[int, type[LoopRouting]] = {1: LoopRouting, 2: AlternatingRouting}
"""By the distance of a core's blocks."""


def _of_block(tensor: Any, pattern: list[list[int]], offset: int, number: Any) -> Any:
    return tensor.ap(pattern=pattern, offset=offset, scalar_offset=number, indirect_dim=0)


def _integers(rows: int, columns: int) -> Any:
    return nl.ndarray((rows, columns), dtype=nl.int32, buffer=nl.sbuf)


def count_blocks(conditions: Any, blocks: BlockRange) -> Any:
    """A register with the number of these blocks whose condition is 1."""
    ones, total = _integers(1, blocks.count), _integers(1, 1)
    view = conditions.ap(pattern=[[1, 1], [blocks.step, blocks.count]], offset=blocks.first)
    nisa.dma_copy(dst=ones, src=view)
    nisa.tensor_reduce(dst=total, op=nl.add, data=ones, axis=1)
    count = nisa.register_alloc()
    nisa.register_load(dst=count, src=total)
    return count
