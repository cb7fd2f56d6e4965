# SPDX-License-Identifier: Apache-2.0
"""Where the tokens of one core's blocks are, which expert they go to, and when an expert begins and ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.gather_tokens import clear, gather_affinities
from nkimoe.kernels.stages.load_routing import BlockRouting, Part, affinity_rows, columns_of, load_slots, unless_equal
from nkimoe.kernels.tensor import IndexTile, Tensor
from nkimoe.planning.backward.plan import BackwardPlan, OwnBlocks
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.mx.coded_rows import AffinityPlace
from nkimoe.planning.tiling import PARTITIONS, Span, spans


@dataclass(frozen=True, kw_only=True)
class BackwardBlock(BlockRouting):
    """One block of the backward pass; all are unrolled, and all have affinities.

    Attributes:
        at: which columns of a table with one for each tile of slots of the core.
        expert_to_store: int32 [1, 1], the expert, or E when the following block has the same one.
        keep: fp32 [128, 1], 1 when the block before has the same expert, else 0.
        is_last: the core's last block.
    """

    number: int
    affinities: Tensor
    at: Span
    expert_to_store: IndexTile
    keep: Tensor
    is_last: bool


@dataclass(frozen=True, eq=False)
class BackwardStep:
    """A part of a block, for some columns of I.

    Attributes:
        inner: columns of I.
        is_final: these are the last columns of I.
    """

    part: Part
    inner: Span
    is_final: bool

    @property
    def block(self) -> BackwardBlock:
        assert isinstance(self.part.block, BackwardBlock), "made by BackwardRouting"
        return self.part.block

    @property
    def tiles(self) -> int:
        """Tiles of 128 slots."""
        return self.part.tiles.size

    @property
    def ids(self) -> list[IndexTile]:
        """One [128, 1] index tile for each of them."""
        return columns_of(self.part.block.ids, self.part.tiles)

    @property
    def affinities(self) -> list[Tensor]:
        """One fp32 [128, 1] tile for each of them."""
        return columns_of(self.block.affinities, self.part.tiles)

    @property
    def closes_block(self) -> bool:
        return self.part.tiles.stop == self.block.at.size


class BackwardRouting:
    """The tables of one core, for all of its blocks."""

    def __init__(self, request: BackwardRequest, plan: BackwardPlan, own: OwnBlocks) -> None:
        self._request, self._plan, self._own, p = request, plan, own, plan.problem
        n, tiles, ids = own.count, p.tiles_per_block, request.token_position_to_id
        self._ids = _table(n * tiles)
        load_slots(
            self._ids.reshape((PARTITIONS, n, tiles)), p.B, p.pad,
            lambda pattern, offset: ids.ap(
                pattern=[pattern[0], [p.B, n], pattern[1]], offset=own.first * p.B + offset
            ),
        )  # fmt: skip
        self._experts, named = experts_everywhere(request, own.first, n), _table(n)
        nisa.tensor_scalar(dst=named, data=self._experts, op0=nl.minimum, operand0=float(p.E - 1))
        self._rows = affinity_rows(_table(n * tiles), self._ids, named, AffinityPlace(p.E))
        self._keep = nl.ndarray((PARTITIONS, n), dtype=nl.float32, buffer=nl.sbuf)
        clear(self._keep)
        self._to_load, self._to_store = (nl.ndarray((1, n), dtype=nl.int32, buffer=nl.sbuf) for _ in range(2))
        for table in (self._to_load, self._to_store):
            nisa.tensor_copy(dst=table, src=self._experts[0:1, :])
        if n > 1:
            self._compare(slice(0, n - 1), slice(1, n))
        first = own.positions[0]  # it has weights, even if it is nobody's
        nisa.tensor_copy(dst=self._to_load[:, first : first + 1], src=named[0:1, first : first + 1])

    def _compare(self, lower: slice, upper: slice) -> None:
        """Each block but one with the one before."""
        before, after = (lower, upper) if self._own.step > 0 else (upper, lower)
        experts, first = self._experts, self._experts[0:1, :]
        nisa.tensor_tensor(dst=self._keep[:, after], data1=experts[:, after], data2=experts[:, before], op=nl.equal)
        E = self._plan.problem.E
        unless_equal(self._to_load[:, after], first[:, after], first[:, before], E)
        unless_equal(self._to_store[:, before], first[:, before], first[:, after], E)

    def steps(self) -> Iterator[BackwardStep]:
        """All passes over all blocks; a block's affinities start loading when its first part is handed out."""
        slices = self._plan.tiling.slices(self._plan.problem.I)
        for inner in slices:
            for block in self._blocks():
                for part in self._parts(block):
                    yield BackwardStep(part, inner, inner == slices[-1])

    def _blocks(self) -> Iterator[BackwardBlock]:
        tiles, positions = self._plan.problem.tiles_per_block, self._own.positions
        for k in positions:
            at = Span(k * tiles, tiles)
            block = BackwardBlock(
                number=self._own.first + k,
                ids=self._ids[:, at.slice],
                rows=self._rows[:, at.slice],
                expert=self._experts[0:1, k : k + 1],
                expert_to_load=self._to_load[:, k : k + 1],
                expert_to_load_in_turn=self._to_load[:, k : k + 1],
                affinities=nl.ndarray((PARTITIONS, tiles), dtype=nl.float32, buffer=nl.sbuf),
                at=at,
                expert_to_store=self._to_store[:, k : k + 1],
                keep=self._keep[:, k : k + 1],
                is_last=k == positions[-1],
            )
            gather_affinities(block.affinities, self._request.expert_affinities_masked, block, nisa.oob_mode.skip)
            yield block

    def _parts(self, block: BackwardBlock) -> list[Part]:
        p = self._plan.problem
        return [
            Part(block, tiles, min(tiles.size * PARTITIONS, p.B - tiles.start * PARTITIONS), tiles.start == 0)
            for tiles in spans(p.tiles_per_block, self._plan.tiling.token_tiles)
        ]


def _table(columns: int) -> Tensor:
    return nl.ndarray((PARTITIONS, columns), dtype=nl.int32, buffer=nl.sbuf)


def experts_everywhere(request: BackwardRequest, first: int, count: int) -> Tensor:
    """The experts of some blocks on all partitions: int32 [128, count]; E where one without tokens names -1 or E."""
    experts, beyond = _table(count), _table(count)
    nisa.dma_copy(dst=experts, src=request.block_to_expert.ap(pattern=[[0, PARTITIONS], [1, count]], offset=first))
    E = int(request.down_proj_weight.shape[0])
    nisa.tensor_scalar(
        dst=beyond, data=experts, op0=nl.less, operand0=0.0, op1=nl.multiply, operand1=float(E + 1)
    )  # fmt: skip
    nisa.tensor_tensor(dst=experts, data1=experts, data2=beyond, op=nl.add)
    return experts
