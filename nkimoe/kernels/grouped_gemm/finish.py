# SPDX-License-Identifier: Apache-2.0
"""From products to results: scales, bias, epilogue, weight; in fp32, rounded when they reach their row."""

from __future__ import annotations

from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.coding import Coding
from nkimoe.kernels.grouped_gemm.epilogue import Epilogue
from nkimoe.kernels.grouped_gemm.tokens import Operand
from nkimoe.kernels.grouped_gemm.weights import Products
from nkimoe.kernels.stages.combine import both
from nkimoe.kernels.stages.expert_vectors import Vectors, everywhere
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.tensor import DType, ElementOperand, Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.grouped_gemm.request import GemmRequest, Weighting
from nkimoe.planning.tiling import PARTITIONS, Span, spans


class OfTokens(NamedTuple):
    """What multiplies the rows of a tile: fp32 [slots, 1], or 1.0.

    Attributes:
        before, after: bias and epilogue.
    """

    before: ElementOperand
    after: ElementOperand


class PassFinish:
    """What follows the products of a pass.

    Attributes:
        together: pieces whose results leave together.
    """

    def __init__(
        self, request: GemmRequest, plan: GemmPlan, pieces: Span, vectors: Vectors, epilogue: Epilogue,
        coding: Coding | None,
    ) -> None:  # fmt: skip
        per_piece, self._width = plan.pieces.columns, plan.pieces.width
        self._weighting, self._epilogue, self._coding = request.options.weighting, epilogue, coding
        self._plan, self._pieces, self.together = plan, pieces, min(plan.at_once, pieces.size)
        own = Span(pieces.start * per_piece, pieces.size * per_piece)
        self._scale, self._bias = (
            None if tensor is None else vectors.add(everywhere(tensor, own, (PARTITIONS, own.size)))
            for tensor in (request.scale, request.bias)
        )
        rounded: DType = getattr(nl, request.options.compute_dtype)
        self._dtype = rounded if self._weighting is Weighting.ROUNDED else nl.float32

    def of_tokens(self, tokens: Operand, now: Part) -> list[OfTokens]:
        """What multiplies the rows of each tile of a part."""
        return [self._of_tile(*each) for each in zip(tokens.scales, now.affinities, strict=True)]

    def _of_tile(self, scale: Tensor | None, weight: Tensor) -> OfTokens:
        one, after = 1.0, None if self._coding is None else self._coding.factor[0 : weight.shape[0]]
        if self._weighting in (Weighting.NONE, Weighting.AFTER):
            return OfTokens(both(scale, one), both(after, one if self._weighting is Weighting.NONE else weight))
        return OfTokens(both(scale, weight), both(after, one))

    def columns_of(self, group: int) -> Span:
        """Columns of the result in one group of pieces."""
        own = spans(self._pieces.size, self.together, self._pieces.start)[group]
        return self._plan.columns_of(own)

    def into(self, rows: Tensor, piece: int, products: Products, of_tokens: OfTokens) -> None:
        """Results of one piece of the pass go to their columns of rows [slots, columns of its group]."""
        place = piece % self.together * self._width
        size = min(self._width, rows.shape[1] - place)
        values = []
        for half, product in enumerate(products):
            first = (piece * len(products) + half) * self._width
            values.append(self._scaled(product[:, 0:size], Span(first, size), of_tokens.before))
        dst = rows[:, place : place + size]
        if self._coding is None:
            self._epilogue(dst, values, of_tokens.after)
        else:
            self._coding.store(dst, lambda room: self._epilogue(room, values, of_tokens.after))

    def _scaled(self, product: Tensor, columns: Span, before: ElementOperand) -> Tensor:
        """product * before * scale + bias; the product itself if that is all."""
        steps = [
            (op, vector.tile[0 : product.shape[0], columns.slice])
            for op, vector in ((nl.multiply, self._scale), (nl.add, self._bias))
            if vector is not None
        ]
        if not steps and (not isinstance(before, float) or self._weighting is Weighting.ROUNDED):
            only: Tensor = nl.ndarray(tuple(product.shape), dtype=self._dtype, buffer=nl.sbuf)
            nisa.activation(dst=only, op=nl.copy, data=product, scale=before)
            return only
        for n, (op, vector) in enumerate(steps):
            dst: Tensor = nl.ndarray(
                tuple(product.shape), dtype=self._dtype if n + 1 == len(steps) else nl.float32, buffer=nl.sbuf
            )
            if n == 0:
                nisa.scalar_tensor_tensor(
                    dst=dst, data=product, op0=nl.multiply, operand0=before, op1=op, operand1=vector
                )
            else:
                nisa.tensor_tensor(dst=dst, data1=product, data2=vector, op=op)
            product = dst
        return product
