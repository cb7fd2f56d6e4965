"""act(gate) * up, rounded to the type of the model and quantised again, a scale a token."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.across_columns import AcrossColumns
from nkimoe.kernels.stages.converted_pieces import convert
from nkimoe.kernels.stages.int8.codes import Codes, TokenScales, columns_of, int8_like
from nkimoe.kernels.stages.products import GateUpProduct
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans


class CodedIntermediate:
    """Columns of I on partitions: [128, I/128, tokens], column i on partition i % 128."""

    def __init__(self, dtype: DType, inner: int, tokens: int) -> None:
        self._values: Tensor = nl.ndarray(
            (PARTITIONS, ceil_div(inner, PARTITIONS), tokens), dtype=dtype, buffer=nl.sbuf
        )
        if inner % PARTITIONS:
            nisa.memset(dst=self._values[:, inner // PARTITIONS :, :], value=0)  # partitions start at multiples of 32

    def room_for(self, product: GateUpProduct) -> Tensor:
        """Where the values that come of a product go, and are rounded."""
        return self._values[0 : product.data.shape[0], product.tile, product.tokens.slice]

    def keep(self, product: GateUpProduct, values: Tensor) -> None:
        """They are in their place already."""

    def finish(self) -> Codes:
        """The codes; scales are tiles of 128 tokens."""
        scales = TokenScales.of(self._largest())
        factors = AcrossColumns().of(columns_of(scales.factor))
        codes = int8_like(self._values)
        everywhere = factors.expand_dim(1).broadcast(1, codes.shape[1])
        nisa.tensor_tensor(dst=codes, data1=self._values, data2=everywhere, op=nl.multiply)
        data = nl.ndarray(tuple(codes.shape), dtype=self._values.dtype, buffer=nl.sbuf)
        convert(data, codes)
        return Codes(data, scales.scale)

    def _largest(self) -> Tensor:
        """fp32 [128, token tiles]: the largest magnitude of each token, over tiles first, then over partitions."""
        tokens = self._values.shape[2]
        high, low = (nl.ndarray((PARTITIONS, tokens), dtype=self._values.dtype, buffer=nl.sbuf) for _ in range(2))
        by_token = self._values.permute((0, 2, 1))
        nisa.tensor_reduce(dst=high, op=nl.maximum, data=by_token, axis=2)
        nisa.tensor_reduce(dst=low, op=nl.minimum, data=by_token, axis=2, negate=True)
        nisa.tensor_tensor(dst=high, data1=high, data2=low, op=nl.maximum)
        amax: Tensor = nl.ndarray((PARTITIONS, tokens // PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)
        for tile, own in zip(columns_of(amax), spans(tokens, PARTITIONS), strict=True):
            _largest_of_partitions(tile, high, own)
        return amax


def _largest_of_partitions(dst: Tensor, values: Tensor, own: Span) -> None:
    """dst [128, 1] = max over partitions of columns `own` of values."""
    turned = nl.ndarray((PARTITIONS, PARTITIONS), dtype=values.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=turned, data=values[:, own.slice], engine=nisa.engine.tensor)
    nisa.tensor_reduce(dst=dst, op=nl.maximum, data=turned, axis=1)
