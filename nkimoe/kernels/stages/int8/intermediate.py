# SPDX-License-Identifier: Apache-2.0
"""act(gate) * up, rounded to the type of the model and quantised again, a scale a token."""

from __future__ import annotations

from collections.abc import Callable

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.across_columns import AcrossColumns
from nkimoe.kernels.stages.converted_pieces import convert
from nkimoe.kernels.stages.exact_factor import exact_factor, short_factor
from nkimoe.kernels.stages.exact_scale import largest_magnitude
from nkimoe.kernels.stages.int8.codes import CodedRows, TokenScale, int8_like, of_tiles, room_for_each
from nkimoe.kernels.stages.products import GateUpProduct
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.tiling import FEW_SLOTS, PARTITIONS, PSUM_COLUMNS, ceil_div, spans

ENDS = (nl.maximum, nl.minimum)


class CodedIntermediate:
    """Columns of I on partitions, in tiles: [rows, tiles, tokens], column i on partition i % rows.

    Args:
        dtype: of the operand, and of what is quantised.
        inner: rows of a tile, and columns of I of this core.
        across: moves what tokens are quantised with beside them.
        over_cores: the largest of all columns of I, from that of this core's, fp32 [tokens, tiles].
    """

    _divide = staticmethod(short_factor)

    def __init__(
        self,
        dtype: DType,
        inner: tuple[int, int],
        tokens: int,
        across: AcrossColumns,
        over_cores: Callable[[Tensor], Tensor],
    ) -> None:
        self._across, self._dtype, self._over_cores = across, dtype, over_cores
        rows, columns = inner
        shape = (rows, ceil_div(columns, rows), tokens)
        self._values: Tensor = nl.ndarray(shape, dtype=self._kept(), buffer=nl.sbuf)
        if columns % rows:
            nisa.memset(dst=self._values[:, columns // rows :, :], value=0)  # partitions start at multiples of 32

    def _kept(self) -> DType:
        """The type that values are rounded to before they are quantised."""
        return self._dtype

    def room_for(self, product: GateUpProduct) -> Tensor:
        """Where the values that come of a product go, and are rounded."""
        return self._values[0 : product.data.shape[0], product.tile, product.tokens.slice]

    def keep(self, product: GateUpProduct, values: Tensor) -> None:
        """They are in their place already."""

    def settle(self) -> None:
        """What each token is quantised with."""
        self._of_tokens = TokenScale(self._over_cores(self._largest()), self._divide)

    def operand(self) -> CodedRows:
        """The codes."""
        data: Tensor = nl.ndarray(tuple(self._values.shape), dtype=self._dtype, buffer=nl.sbuf)
        tokens, at_once = self._values.shape[2], PSUM_COLUMNS // PARTITIONS
        numbers_of = convert if tokens <= FEW_SLOTS else _beside_tokens
        for n, own in enumerate(spans(tokens, PSUM_COLUMNS)):
            values = self._values[:, :, own.slice]
            factors = self._across.bank_of(of_tiles(self._of_tokens.factor, tokens)[n * at_once : (n + 1) * at_once])
            codes = int8_like(values)
            everywhere = factors[0 : values.shape[0], :].expand_dim(1).broadcast(1, values.shape[1])
            nisa.tensor_tensor(dst=codes, data1=values, data2=everywhere, op=nl.multiply)
            numbers_of(data[:, :, own.slice], codes)
        return CodedRows(data, of_tiles(self._of_tokens.scale(), tokens))

    def _largest(self) -> Tensor:
        """The largest magnitude of each token, over many tiles first, then over partitions: fp32 [128, tiles]."""
        values = self._values if self._values.shape[1] <= len(ENDS) else self._ends()
        tokens = values.shape[2]
        amax = room_for_each(tokens)
        for own, column in zip(spans(tokens, PARTITIONS), of_tiles(amax, tokens), strict=True):
            _of_partitions(column, values[:, :, own.slice])
        return amax

    def _ends(self) -> Tensor:
        """[rows, 2, tokens]: the largest and the smallest over tiles."""
        rows, _, tokens = self._values.shape
        ends: Tensor = nl.ndarray((rows, len(ENDS), tokens), dtype=self._values.dtype, buffer=nl.sbuf)
        by_token = self._values.permute((0, 2, 1))
        for n, op in enumerate(ENDS):
            nisa.tensor_reduce(dst=ends[:, n, :], op=op, data=by_token, axis=2)
        return ends


def _beside_tokens(dst: Tensor, src: Tensor) -> None:
    """dst = src, exact, on the Vector Engine: the Scalar Engine has codes of the next tokens to copy just then."""
    nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.vector)


def of_one_core(amax: Tensor) -> Tensor:
    """Nobody else has columns of I."""
    return amax


class SmoothedIntermediate(CodedIntermediate):
    """The same in fp32, times a factor of each column of I.

    Args:
        smooth: fp32 [128, 1, I/128].
    """

    _divide = staticmethod(exact_factor)

    def __init__(
        self, dtype: DType, inner: tuple[int, int], tokens: int, across: AcrossColumns, smooth: Tensor
    ) -> None:
        super().__init__(dtype, inner, tokens, across, of_one_core)
        self._smooth = smooth

    def _kept(self) -> DType:
        kept: DType = nl.float32
        return kept

    def keep(self, product: GateUpProduct, values: Tensor) -> None:
        factor = self._smooth[0 : values.shape[0], 0, product.tile : product.tile + 1]
        nisa.tensor_scalar(dst=values, data=values, op0=nl.multiply, operand0=factor)


def _of_partitions(amax: Tensor, values: Tensor) -> None:
    """amax, fp32 [tokens, 1], becomes the largest magnitude over partitions of [rows, 1 or 2, tokens]."""
    rows, count, tokens = values.shape
    turned = nl.ndarray((tokens, count * rows), dtype=values.dtype, buffer=nl.psum)
    for n in range(count):
        dst = turned[:, n * rows : (n + 1) * rows]
        nisa.nc_transpose(dst=dst, data=values[:, n, :], engine=nisa.engine.tensor)
    largest_magnitude(amax, turned)
