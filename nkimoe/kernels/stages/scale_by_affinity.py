# SPDX-License-Identifier: Apache-2.0
"""Where the affinity multiplies: one class a mode, each acting at its own point of the block program.

The block program calls every point; a mode does nothing at the points it does not use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.across_columns import AcrossColumns
from nkimoe.kernels.stages.gather_tokens import gather_affinities
from nkimoe.kernels.stages.load_routing import BlockRouting, affinity_column
from nkimoe.kernels.tensor import ElementOperand, OutOfBounds, Tensor
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS, Span, spans
from nkimoe.spec import ExpertAffinityScaleMode


class Scaling:
    """No scaling, and the base of the modes. Affinities are fp32 tiles [128, 1], one for each token tile."""

    def __init__(self, request: Request) -> None:
        self._source = affinity_column(request)
        self._ones = nl.ndarray((1, PARTITIONS), dtype=request.compute_dtype, buffer=nl.sbuf)
        nisa.memset(dst=self._ones, value=1.0)

    def room(self, tiles: int) -> Tensor | None:
        """A tile for the affinities of a block, or None."""
        return None

    def gather(self, dst: Tensor | None, block: BlockRouting, out_of_bounds: OutOfBounds) -> None:
        """Load the affinities of a block's slots into `dst`, made by `room`."""

    def rows(self, rows: list[Tensor], affinities: list[Tensor]) -> Iterable[Tensor]:
        """Token rows [128, H], scaled, one tile at a time."""
        return rows

    def columns(self, affinities: list[Tensor]) -> Tensor | None:
        """What multiplies the gate and up projections before their bias: fp32 [128, tokens], or None."""
        return None

    def intermediate(self, affinities: list[Tensor]) -> Tensor | None:
        """What multiplies act(gate) * up: fp32 [128, tokens], or None."""
        return None

    def bias(self, factors: Tensor | None, tiles: int) -> list[Tensor]:
        """What multiplies the down bias, [1, 128] for each token tile; `factors` is what `intermediate` gave."""
        return [self._ones] * tiles

    def output(self, affinities: list[Tensor], tiles: int) -> Sequence[ElementOperand]:
        """What the results of each token tile are multiplied by: a number or a [128, 1] tile."""
        return [1.0] * tiles


class _WithAffinity(Scaling):
    def room(self, tiles: int) -> Tensor:
        return nl.ndarray((PARTITIONS, tiles), dtype=nl.float32, buffer=nl.sbuf)

    def gather(self, dst: Tensor | None, block: BlockRouting, out_of_bounds: OutOfBounds) -> None:
        assert dst is not None, "made by `room`"
        gather_affinities(dst, self._source, block, out_of_bounds)


class PostScale(_WithAffinity):
    """y * affinity, after the down bias."""

    def output(self, affinities: list[Tensor], tiles: int) -> Sequence[ElementOperand]:
        return affinities


class PreScale(_WithAffinity):
    """x * affinity, before the gate and up projections."""

    def rows(self, rows: list[Tensor], affinities: list[Tensor]) -> Iterable[Tensor]:
        for row, affinity in zip(rows, affinities, strict=True):
            tile = nl.ndarray(tuple(row.shape), dtype=row.dtype, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=tile, data=row, op0=nl.multiply, operand0=affinity)
            yield tile


class _AcrossColumns(_WithAffinity):
    """Affinities along the columns of tokens."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._across = AcrossColumns()


class PreScaleDelayed(_AcrossColumns):
    """(x W) * affinity, before the gate and up biases: fp32 where PRE_SCALE rounds x * affinity."""

    def columns(self, affinities: list[Tensor]) -> Tensor:
        return self._across.of(affinities)


class OnIntermediate(_AcrossColumns):
    """(act(gate) * up) * affinity, and bias * affinity: equals scaling the output, on I columns instead of H."""

    def intermediate(self, affinities: list[Tensor]) -> Tensor:
        return self._across.of(affinities)

    def bias(self, factors: Tensor | None, tiles: int) -> list[Tensor]:
        assert factors is not None, "what `intermediate` gave"
        row = nl.ndarray((1, factors.shape[1]), dtype=self._ones.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=row, src=factors[0:1, :], engine=nisa.engine.gpsimd)
        return [row[:, own.slice] for own in spans(factors.shape[1], PARTITIONS)]


MODES: dict[ExpertAffinityScaleMode, type[Scaling]] = {
    ExpertAffinityScaleMode.NO_SCALE: Scaling,
    ExpertAffinityScaleMode.POST_SCALE: PostScale,
    ExpertAffinityScaleMode.PRE_SCALE: PreScale,
    ExpertAffinityScaleMode.PRE_SCALE_DELAYED: PreScaleDelayed,
}


def make_scaling(request: Request) -> Scaling:
    """The scaling of a request."""
    if request.affinity_multiplies_on_i:
        return OnIntermediate(request)
    mode = request.expert_affinities_scaling_mode
    if mode is ExpertAffinityScaleMode.PRE_SCALE and request.quantises_activations:
        mode = ExpertAffinityScaleMode.PRE_SCALE_DELAYED  # input scales are for unscaled rows; one rounding less
    return MODES[mode](request)


def scale_columns(data: Tensor, columns: Tensor | None, tokens: Span) -> Tensor:
    """data [partitions, tokens] times a row of affinities; `data` itself when there is none."""
    if columns is None:
        return data
    scaled: Tensor = nl.ndarray(tuple(data.shape), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=scaled, data1=data, data2=columns[0 : data.shape[0], tokens.slice], op=nl.multiply)
    return scaled
