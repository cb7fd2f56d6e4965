# SPDX-License-Identifier: Apache-2.0
"""The one table of what differs by numerics. Another numerics is another row, and a folder of `stages/` for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import nki.language as nl

from nkimoe.kernels.stages import dense, int8, mx
from nkimoe.kernels.stages.dequantise import DownFinish
from nkimoe.kernels.stages.down_products import down_products
from nkimoe.kernels.stages.gate_up_products import gate_up_products
from nkimoe.kernels.stages.gated_activation import IntermediateRoom, MatmulOperand_co
from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.make_output import MakeSlabs, slabs_in_rows, slabs_one_after_another
from nkimoe.kernels.stages.products import DownProducts, GateUpProducts
from nkimoe.kernels.tensor import Buffer, OutOfBounds, Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import Span, Tiling
from nkimoe.planning.variants import DENSE, INT8, MX


class WeightsOnChip(Protocol[MatmulOperand_co]):
    """The weights of the expert at hand."""

    @property
    def down_finish(self) -> DownFinish:
        """Scale and bias of the down projection."""
        ...

    def fill(self, part: Part) -> None:
        """Load what the first part needs; from then on it is replaced behind its last use."""

    def room(self, part: Part) -> IntermediateRoom[MatmulOperand_co]:
        """Room for act(gate) * up of a part."""
        ...


class TokensOnChip(Protocol[MatmulOperand_co]):
    """The tokens of the part at hand, with H on partitions."""

    def turn(self, rows: Iterable[Tensor]) -> None:
        """Become these tokens: transpose tiles [128 tokens, columns of H], and quantise them if need be."""

    def of(self, part: Part) -> MatmulOperand_co:
        """The tokens turned last, which are those of this part."""
        ...


MatmulOperand = TypeVar("MatmulOperand")
AnyWeights = TypeVar("AnyWeights", bound=WeightsOnChip[object])


@dataclass(frozen=True)
class StageSet(Generic[MatmulOperand, AnyWeights]):
    """The stages of one numerics, which know each other's operands and weights; nobody else does.

    Attributes:
        rows: hidden rows on their way in, for (request, own columns of H, tiling, what to do with pad ids).
        tokens: for (H, tiling, own columns of H, weights, rows).
        weights: what comes of an expert, and its room.
        gate_up_products: for (tokens, weights, this part, the next, what multiplies them before the bias).
        down_products: for (intermediate, weights, this part, the next, what multiplies the bias of each token tile).
        up_waits_in: where up products wait for their gate between element-wise steps.
        make_slabs: the layout of an output that has a slab a core.
    """

    rows: Callable[[Request, Span, Tiling, OutOfBounds], TokenRows]
    tokens: Callable[[int, Tiling, Span, AnyWeights, TokenRows], TokensOnChip[MatmulOperand]]
    weights: Callable[[Request, Plan, Share], AnyWeights]
    gate_up_products: Callable[[MatmulOperand, AnyWeights, Part, Part | None, Tensor | None], GateUpProducts]
    down_products: Callable[[MatmulOperand, AnyWeights, Part, Part | None, list[Tensor]], DownProducts]
    up_waits_in: Buffer
    make_slabs: MakeSlabs


AnyStages = StageSet[Any, Any]
"""Which operands and weights its stages hand each other is known to a row of the table only."""

STAGES: dict[str, AnyStages] = {
    DENSE: StageSet(
        rows=TokenRows,
        tokens=dense.token_columns,
        weights=dense.DenseWeights,
        gate_up_products=gate_up_products,
        down_products=down_products,
        up_waits_in=nl.sbuf,
        make_slabs=slabs_in_rows,
    ),
    INT8: StageSet(
        rows=int8.token_rows,
        tokens=int8.CodeColumns,
        weights=int8.Int8Weights,
        gate_up_products=int8.gate_up_products,
        down_products=int8.down_products,
        up_waits_in=nl.sbuf,
        make_slabs=slabs_in_rows,
    ),
    MX: StageSet(
        rows=mx.token_rows,
        tokens=mx.token_columns,
        weights=mx.MxWeights,
        gate_up_products=mx.gate_up_products,
        down_products=mx.down_products,
        up_waits_in=nl.psum,  # the Vector Engine has most to do, and is slower with both inputs in SBUF
        make_slabs=slabs_one_after_another,
    ),
}
