# SPDX-License-Identifier: Apache-2.0
"""Small tensors of the expert at hand, such as biases and scales: how they come, and what is computed from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.tensor import IndexTile, OutOfBounds, Pattern, Shape, Tensor
from nkimoe.planning.quantization import ROW, Scale
from nkimoe.planning.request import Request
from nkimoe.planning.row_scales import SPREAD_PARTS
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import PARTITIONS, QUADRANT, Span, spans


class Vector:
    """A small tensor of the current expert: one tile, replaced after the block's last use."""

    def __init__(self, tile: Tensor, load: Callable[[Tensor, IndexTile], None]) -> None:
        self.tile, self._load = tile, load

    def fill(self, part: Part) -> None:
        """Load the first block's."""
        self._load(self.tile, part.block.expert)

    def replace(self, following: Part) -> None:
        """Load the following block's, unless its expert is the same."""
        self._load(self.tile, following.block.expert_to_load)


class Derived(Protocol):
    """What is computed on chip from vectors."""

    def derive(self) -> None:
        """Compute it: the vectors are those of another expert."""


AnyDerived = TypeVar("AnyDerived", bound=Derived)


class Vectors:
    """The vectors that come with a matrix, and what is derived from them."""

    def __init__(self) -> None:
        self._vectors: list[Vector] = []
        self._derived: list[Derived] = []

    def add(self, vector: Vector) -> Vector:
        """It comes with the others from now on."""
        self._vectors.append(vector)
        return vector

    def add_derived(self, derived: AnyDerived) -> AnyDerived:
        """It is computed from vectors that were added before."""
        self._derived.append(derived)
        return derived

    def fill(self, part: Part) -> None:
        """Load those of the first block."""
        for vector in self._vectors:
            vector.fill(part)

    def derive(self) -> None:
        """Compute what follows from them."""
        for each in self._derived:
            each.derive()

    def replace(self, following: Part | None) -> None:
        """Load those of the following block, and compute what follows from them."""
        if following is not None and following.opens_block:
            for vector in self._vectors:
                vector.replace(following)
            self.derive()


class AlongInner(Protocol):
    """Where a numerics has what belongs to a column of I, fp32 [128, 2, ...] for gate and up."""

    def scales(self, tensor: Tensor) -> Vector:
        """Of rows [E or 1, 2 x I]."""
        ...

    def biases(self, tensor: Tensor) -> Vector:
        """Of a bias as the caller lays it out."""
        ...


LoadVector = Callable[[Tensor, Tensor, Tensor], None]
"""(tile, view by `of_expert`, tensor): start a transfer."""


def behind_weights(dst: Tensor, src: Tensor, tensor: Tensor) -> None:
    """In the queue of the weights."""
    nisa.dma_copy(dst=dst, src=src, oob_mode=without_expert(tensor))


def beside_weights(dst: Tensor, src: Tensor, tensor: Tensor) -> None:
    """In the Scalar Engine's queue, if hardware can describe it: it casts nothing. A queue starts a transfer in 0.6 us,
    and that of Sync is busy with weights. Not where the Scalar Engine converts weights: it would wait for room.
    """
    if dst.dtype != tensor.dtype:
        behind_weights(dst, src, tensor)
        return
    skip = without_expert(tensor)
    nisa.dma_copy(dst=dst, src=src, oob_mode=skip, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)


class ExpertVectors:
    """The vectors of a request, as one core needs them.

    Args:
        load: of those that lie on all partitions.
    """

    def __init__(
        self, request: Request, share: Share, along_inner: AlongInner, load: LoadVector = behind_weights
    ) -> None:
        self._request, self._share, self._along_inner, self._load = request, share, along_inner, load

    def gate_up_bias(self) -> Vector:
        """fp32 [128, 2, ...] along I."""
        return self._along_inner.biases(self._request.gate_and_up_proj_bias)

    def gate_up_scale(self, scale: Scale) -> Vector:
        """Likewise; [128, 2, 1] when one scale serves a matrix."""
        if scale.layout == ROW:
            return self._along_inner.scales(scale.tensor)
        return everywhere(scale.tensor, Span(0, 2), (PARTITIONS, 2, 1), self._load)

    def down_scale(self, scale: Scale) -> Vector:
        """fp32 [slots, columns of H that this core writes], or [128, 1]; the same on all partitions.

        A block has no more slots: each partition more is a row more that is read from HBM.
        """
        if scale.layout != ROW:
            return everywhere(scale.tensor, Span(0, 1), (PARTITIONS, 1), self._load)
        own, slots = self._share.written, min(PARTITIONS, self._request.block_size)
        return everywhere(scale.tensor, own, (slots, own.size), self._load)

    def down_scale_parts(self, scale: Scale) -> Vector:
        """Columns of H that this core writes, for `SpreadRow`: fp32 [128, columns / 8], part p % 8 on partition p."""
        own, parts = self._share.written, SPREAD_PARTS
        tile: Tensor = nl.ndarray((PARTITIONS, own.size // parts), dtype=nl.float32, buffer=nl.sbuf)

        def load(tile: Tensor, expert: IndexTile) -> None:
            pattern = [[0, PARTITIONS // parts], [own.size // parts, parts], [1, own.size // parts]]
            self._load(tile, of_expert(scale.tensor, pattern, own.start, expert), scale.tensor)

        return Vector(tile, load)

    def smooth_hidden(self, tensor: Tensor) -> Vector:
        """fp32 [128, H], the same on all partitions."""
        H = int(tensor.shape[1])
        return everywhere(tensor, Span(0, H), (PARTITIONS, H), self._load)

    def in_scale(self, tensor: Tensor) -> Vector:
        """fp32 [128, 1], the same on all partitions."""
        return everywhere(tensor, Span(0, 1), (PARTITIONS, 1), self._load)

    def down_bias(self) -> Vector:
        """[1, columns of H that this core writes], in the compute dtype; zeros where other ranks add theirs."""
        bias, own = self._request.down_proj_bias, self._share.written
        width = int(bias.shape[-1])
        biased = Span((self._request.down_bias_tp_rank or 0) * width, width)
        start, stop = max(own.start, biased.start), min(own.stop, biased.stop)
        tile: Tensor = nl.ndarray((1, own.size), dtype=self._request.compute_dtype, buffer=nl.sbuf)
        if stop - start < own.size:
            nisa.memset(dst=tile, value=0)

        def load(tile: Tensor, expert: IndexTile) -> None:
            if stop > start:
                source = of_expert(bias, [[width, 1], [1, stop - start]], start - biased.start, expert)
                dst = tile[:, start - own.start : stop - own.start]
                nisa.dma_copy(dst=dst, src=source, oob_mode=without_expert(bias))

        return Vector(tile, load)


class SpreadRow:
    """A row in parts, on all partitions: a pass of the Vector Engine, where HBM would be read 128 times.

    Attributes:
        tile: fp32 [128, columns].
    """

    def __init__(self, row: Vector) -> None:
        self._row, width = row.tile, SPREAD_PARTS * row.tile.shape[1]
        self.tile: Tensor = nl.ndarray((PARTITIONS, width), dtype=nl.float32, buffer=nl.sbuf)

    def derive(self) -> None:
        for part, columns in enumerate(spans(self.tile.shape[1], self._row.shape[1])):
            nisa.nc_stream_shuffle(dst=self.tile[:, columns.slice], src=self._row, shuffle_mask=[part] * QUADRANT)


def everywhere(tensor: Tensor, part: Span, shape: Shape, transfer: LoadVector = behind_weights) -> Vector:
    """A part of an expert's row, on all partitions of a tile."""

    def load(tile: Tensor, expert: IndexTile) -> None:
        transfer(tile, of_expert(tensor, [[0, shape[0]], [1, part.size]], part.start, expert), tensor)

    return Vector(nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf), load)


def of_expert(tensor: Tensor, pattern: Pattern, offset: int, expert: IndexTile) -> Tensor:
    """A view of an expert's part of `tensor`; the first part of one that all experts share.

    Sharing does not depend on E: with one expert, both are the same.
    """
    if int(tensor.shape[0]) == 1:
        return tensor.ap(pattern=pattern, offset=offset)
    return tensor.ap(pattern=pattern, offset=offset, scalar_offset=expert[0:1, :], indirect_dim=0)


def without_expert(tensor: Tensor) -> OutOfBounds:
    """What becomes of a transfer of `of_expert` if there is no expert to load: what all share is at a fixed place."""
    return nisa.oob_mode.error if int(tensor.shape[0]) == 1 else nisa.oob_mode.skip


def row_tiles(total: int, size: int = PARTITIONS) -> list[tuple[int, int, int]]:
    """(first tile, rows a tile, tiles): whole tiles of `size` rows, then what is left.

    >>> row_tiles(320), row_tiles(96), row_tiles(192, 96)
    ([(0, 128, 2), (2, 64, 1)], [(0, 96, 1)], [(0, 96, 2)])
    """
    whole, rest = divmod(total, size)
    return [part for part in ((0, size, whole), (whole, rest, 1)) if part[1] and part[2]]
