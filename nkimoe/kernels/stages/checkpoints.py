# SPDX-License-Identifier: Apache-2.0
"""Activations kept for the backward pass: gate and up before the activation, results before their affinity."""

from __future__ import annotations

from dataclasses import replace

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.shared_tensors import shared_tensor
from nkimoe.kernels.stages.dequantise import completed
from nkimoe.kernels.stages.element_steps import apply_steps
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import DownProducts, GateUpProduct, GateUpProducts
from nkimoe.kernels.tensor import IndexTile, OutOfBounds, Pattern, Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans


class NoCheckpoints:
    """Nothing is kept."""

    tensors: tuple[Tensor, ...] = ()

    def clear(self, blocks: range) -> None:
        """Zero the checkpoints of blocks that may never be computed; not of all: the other core does others."""

    def gate_up(self, products: GateUpProducts, part: Part) -> GateUpProducts:
        """The products, saved after their steps."""
        return products

    def down(self, products: DownProducts, part: Part) -> DownProducts:
        """The products, saved."""
        return products


class Checkpoints(NoCheckpoints):
    """Gate and up as [N, 2, I, B], a gate that is skipped as zeros; results, if kept, as [N, B, H].

    Attributes:
        tensors: what the kernel returns after its output.
    """

    def __init__(self, share: Share, inner_rows: int, gate_up: Tensor, down: Tensor | None) -> None:
        self._share, self._inner_rows, self._gate_up, self._down = share, inner_rows, gate_up, down
        self.tensors = (gate_up,) if down is None else (gate_up, down)

    def clear(self, blocks: range) -> None:
        for block in blocks:
            for which in range(2):
                for rows in spans(self._share.inner.size, PARTITIONS):
                    for slots in spans(self._gate_up.shape[3], PSUM_COLUMNS):
                        _zero(self._gate_up_at(block, which, rows, slots))
            if self._down is not None:
                for slots in spans(self._down.shape[1], PARTITIONS):
                    for columns in spans(self._share.written.size, PSUM_COLUMNS, self._share.written.start):
                        _zero(self._down_at(self._down, block, slots, columns))
        if blocks.step > 1:  # either core may save what the other one zeroes
            for tensor in self.tensors:
                nisa.core_barrier(data=tensor, cores=(0, 1))

    def gate_up(self, products: GateUpProducts, part: Part) -> GateUpProducts:
        for group in products:
            yield tuple(self._saved(p, part) for p in group)
            if len(group) == 1:
                rows, slots = self._place(group[0], part)
                _zero(self._gate_up_at(part.block.number, 0, rows, slots), _out_of_bounds(part))

    def _saved(self, p: GateUpProduct, part: Part) -> GateUpProduct:
        data = apply_steps(p.data, p.steps)
        rows, slots = self._place(p, part)
        there = self._gate_up_at(part.block.number, p.which, rows, slots)
        _store(there, data[:, 0 : slots.size], _out_of_bounds(part))
        return replace(p, data=data, steps=())

    def _place(self, p: GateUpProduct, part: Part) -> tuple[Span, Span]:
        """Rows of this core's part of I, and slots of the block."""
        first = part.tiles.start * PARTITIONS + p.tokens.start
        size = min(p.tokens.size, part.slots - p.tokens.start)
        return Span(p.tile * self._inner_rows, p.data.shape[0]), Span(first, size)

    def down(self, products: DownProducts, part: Part) -> DownProducts:
        for product in products:
            if self._down is not None:
                first = product.tile * PARTITIONS
                slots = Span(part.tiles.start * PARTITIONS + first, min(PARTITIONS, part.slots - first))
                there = self._down_at(self._down, part.block.number, slots, product.columns)
                product = completed(product)
                _store(there, product.data[0 : slots.size, :], _out_of_bounds(part))
            yield product

    def _gate_up_at(self, block: int | IndexTile, which: int, rows: Span, slots: Span) -> Tensor:
        """[rows, slots] of one projection of a block."""
        _, _, I, B = self._gate_up.shape
        offset = (which * I + self._share.inner.start + rows.start) * B + slots.start
        return _of_block(self._gate_up, block, [[B, rows.size], [1, slots.size]], offset)

    def _down_at(self, down: Tensor, block: int | IndexTile, slots: Span, columns: Span) -> Tensor:
        """[slots, columns] of a block."""
        H = down.shape[2]
        return _of_block(down, block, [[H, slots.size], [1, columns.size]], slots.start * H + columns.start)


def _of_block(tensor: Tensor, block: int | IndexTile, pattern: Pattern, offset: int) -> Tensor:
    """A view of one block's part of a tensor; `block` is an int, or an index tile in a device loop."""
    if isinstance(block, int):
        size = 1
        for n in tensor.shape[1:]:
            size *= n
        return tensor.ap(pattern=pattern, offset=block * size + offset)
    return tensor.ap(pattern=pattern, offset=offset, scalar_offset=block, indirect_dim=0)


def _out_of_bounds(part: Part) -> OutOfBounds:
    """A block behind the last one, which a loop may come to, saves nothing."""
    return nisa.oob_mode.error if isinstance(part.block.number, int) else nisa.oob_mode.skip


def _store(dst: Tensor, data: Tensor, out_of_bounds: OutOfBounds) -> None:
    """Round to the type of the checkpoint, on the engine that has least to do, and write."""
    tile = nl.ndarray(tuple(data.shape), dtype=dst.dtype, buffer=nl.sbuf)
    engine = nisa.engine.gpsimd if data.buffer == nl.sbuf else nisa.engine.scalar
    nisa.tensor_copy(dst=tile, src=data, engine=engine)
    nisa.dma_copy(dst=dst, src=tile, oob_mode=out_of_bounds)


def _zero(dst: Tensor, out_of_bounds: OutOfBounds = nisa.oob_mode.error) -> None:
    tile = nl.ndarray(tuple(dst.shape), dtype=dst.dtype, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=0)
    nisa.dma_copy(dst=dst, src=tile, oob_mode=out_of_bounds)


def make_checkpoints(request: Request, plan: Plan, share: Share) -> NoCheckpoints:
    """What the request wants kept, in the caller's buffers where there are any."""
    if not plan.keeps_gate_up:
        return NoCheckpoints()
    p, dtype = plan.problem, request.hidden_states.dtype
    gate_up, down = request.gate_up_activations_T, request.down_activations
    if gate_up is None:
        shape: tuple[int, ...] = (p.N, 2, p.I, p.B)
        gate_up = shared_tensor(shape, dtype, "gate_up_activations_T")
    if down is None and plan.keeps_down:
        down = shared_tensor((p.N, p.B, p.H), dtype, "down_activations")
    return Checkpoints(share, plan.tiling.inner_rows, gate_up, down)
