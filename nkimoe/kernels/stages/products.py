# SPDX-License-Identifier: Apache-2.0
"""What the projections hand over: streams of products, each in PSUM banks that are free again once it was used.

PSUM has eight banks of 512 fp32 columns, and a projection may fill more. So nobody waits for all of its products: a
stage that makes them is a generator, named by a noun, and **issues no instruction when it is called**. Whoever asks for
the next product has its matmuls issued then; whatever a stage does to products on their way is issued with it. The two
verbs that ask for all of them are both called `drain`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from nkimoe.kernels.stages.element_steps import Steps
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import Span

Product = TypeVar("Product")
Stream = Iterator[Product]
"""Products that are computed when they are asked for, in an order that its stage states."""

GATE, UP = 0, 1


def projections_of(request: Request) -> tuple[int, ...]:
    """GATE and UP, or UP alone."""
    return (UP,) if request.skip_gate_proj else (GATE, UP)


@dataclass(frozen=True)
class GateUpProduct:
    """One projection of one tile of I, fp32 [rows, tokens], and the element-wise steps that are still to come.

    Attributes:
        which: GATE or UP.
        tile: which tile of 128 columns of I on this core; with MX, which quarter of a tile of 512.
        tokens: columns of tokens.
        steps: dequantisation, bias and limits, in this order.
    """

    which: int
    tile: int
    tokens: Span
    data: Tensor
    steps: Steps


class DownProduct(NamedTuple):
    """One token tile of the down projection, for some columns of H.

    Attributes:
        data: fp32 [128, columns].
        scale: fp32 [128, 1] of the activations of each token, which is still to multiply; None without one.
        factor: fp32 [128, columns] of the weights, likewise.
        bias: fp32 [128, columns], which is to be added behind the factor.
    """

    tile: int
    columns: Span
    data: Tensor
    scale: Tensor | None = None
    factor: Tensor | None = None
    bias: Tensor | None = None

    def within(self, columns: Span) -> DownProduct:
        """Some of its columns."""
        if columns == self.columns:
            return self
        own = slice(columns.start - self.columns.start, columns.stop - self.columns.start)
        factor, bias = (None if tile is None else tile[:, own] for tile in (self.factor, self.bias))
        return self._replace(columns=columns, data=self.data[:, own], factor=factor, bias=bias)


GateUpProducts = Stream[tuple[GateUpProduct, ...]]
"""Those that arrive together, of one tile of I; a gate never after the up it belongs to."""
DownProducts = Stream[DownProduct]
"""For each token tile the columns that this core writes come in order."""
