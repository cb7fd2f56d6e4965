"""Where the affinity multiplies: one class a mode, each acting at its own point of the block program.

The block program calls every point; a mode does nothing at the points it does not use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.gather_tokens import gather_affinities
from nkimoe.request import Request
from nkimoe.spec import ExpertAffinityScaleMode
from nkimoe.tiling import PARTITIONS


class Scaling:
    """No scaling, and the base of the modes. Affinities are fp32 tiles [128, 1], one for each token tile."""

    def gather(self, rows: list[Any], layer: Any) -> list[Any]:
        """Load the affinities of the given index tiles; nothing when the mode reads none."""
        return []

    def rows(self, rows: list[Any], affinities: list[Any]) -> Iterable[Any]:
        """Token rows [128, H], scaled, one tile at a time."""
        return rows

    def columns(self, affinities: list[Any]) -> Any:
        """The affinities as one row repeated on all partitions, [128, tokens] fp32, or None."""
        return None

    def output(self, affinities: list[Any], tiles: int) -> list[Any]:
        """What the results of each token tile are multiplied by: a number or a [128, 1] tile."""
        return [1.0] * tiles


class _WithAffinity(Scaling):
    def gather(self, rows: list[Any], layer: Any) -> list[Any]:
        source = layer.request.expert_affinities_masked
        return gather_affinities(source, rows, layer.affinity_columns, layer.routing.out_of_bounds)


class PostScale(_WithAffinity):
    """y * affinity, after the down bias."""

    def output(self, affinities: list[Any], tiles: int) -> list[Any]:
        return affinities


class PreScale(_WithAffinity):
    """x * affinity, before the gate and up projections."""

    def rows(self, rows: list[Any], affinities: list[Any]) -> Iterable[Any]:
        for row, affinity in zip(rows, affinities, strict=True):
            tile = nl.ndarray(tuple(row.shape), dtype=row.dtype, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=tile, data=row, op0=nl.multiply, operand0=affinity)
            yield tile


class PreScaleDelayed(_WithAffinity):
    """(x W) * affinity, before the gate and up biases: fp32 where PRE_SCALE rounds x * affinity."""

    def __init__(self) -> None:
        self._identity = nl.shared_identity_matrix(PARTITIONS, dtype=nl.float32)

    def columns(self, affinities: list[Any]) -> Any:
        """A matmul with the identity moves affinities from partitions to columns, and repeats them on the way."""
        across = nl.ndarray((PARTITIONS, len(affinities) * PARTITIONS), dtype=nl.float32, buffer=nl.psum)
        for t, affinity in enumerate(affinities):
            nisa.nc_matmul(
                dst=across[:, t * PARTITIONS : (t + 1) * PARTITIONS],
                stationary=affinity.ap(pattern=[[1, PARTITIONS], [0, PARTITIONS]]),
                moving=self._identity,
                is_moving_onezero=True,
            )
        columns = nl.ndarray(tuple(across.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=columns, src=across)
        return columns


MODES: dict[ExpertAffinityScaleMode, type[Scaling]] = {
    ExpertAffinityScaleMode.NO_SCALE: Scaling,
    ExpertAffinityScaleMode.POST_SCALE: PostScale,
    ExpertAffinityScaleMode.PRE_SCALE: PreScale,
    ExpertAffinityScaleMode.PRE_SCALE_DELAYED: PreScaleDelayed,
}


def make_scaling(request: Request) -> Scaling:
    """The scaling of a request."""
    return MODES[request.expert_affinities_scaling_mode]()


def scale_columns(data: Any, columns: Any) -> Any:
    """data [partitions, tokens] times a row of affinities; `data` itself when there is none."""
    if columns is None:
        return data
    scaled = nl.ndarray(tuple(data.shape), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=scaled, data1=data, data2=columns[0 : data.shape[0], :], op=nl.multiply)
    return scaled
