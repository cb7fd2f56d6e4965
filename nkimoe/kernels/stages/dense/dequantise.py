"""What follows the matmuls: dequantisation, then the bias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.inputs import Quantised, Unquantised
from nkimoe.kernels.stages.dense.pieces import Vector
from nkimoe.kernels.stages.element_steps import Steps
from nkimoe.kernels.stages.exchange import Result
from nkimoe.planning.tiling import Span

GATE, UP = 0, 1
Inputs = Unquantised | Quantised


class GateUpSteps:
    """Element-wise steps after the gate and up matmuls, whose results have columns of I on partitions."""

    def __init__(self, limits: dict[int, Steps], scale: Vector | None, bias: Vector | None, inputs: Inputs) -> None:
        self._limits, self._bias = limits, bias
        self._scale = _product(scale, inputs)

    def open(self) -> None:
        """A block of another expert begins."""
        self._scale.open()

    def of(self, which: int, tile: int, rows: int) -> Steps:
        """The steps of one tile of I: scale, bias, limits."""
        scale: Steps = ()
        factor = self._scale.tile
        if factor is not None:
            at = min(tile, factor.shape[2] - 1)
            scale = ((nl.multiply, factor[0:rows, which, at : at + 1]),)
        bias: Steps = ()
        if self._bias is not None:
            bias = ((nl.add, self._bias.tile[0:rows, which, tile : tile + 1]),)
        return (*scale, *bias, *self._limits[which])


class DownFinish:
    """Scale and bias of the down projection, for this core's columns `own` of H.

    Without a scale the bias is one more row of the contraction; behind a scale it is a matmul of its own.
    """

    def __init__(self, own: Span, scale: Vector | None, bias: Vector | None, inputs: Inputs) -> None:
        self._own, self._bias = own, bias
        self._scale = _product(scale, inputs)

    def open(self) -> None:
        """A block of another expert begins."""
        self._scale.open()

    def bias_row(self, columns: Span) -> Any:
        """[1, columns] that joins the contraction, or None: without one, or where the other core adds it."""
        is_own = self._own.start <= columns.start < self._own.stop
        return self._bias_of(columns) if is_own and self._scale.tile is None else None

    def results(self, results: Iterator[Result], bias_factors: list[Any]) -> Iterator[Result]:
        """The results, scaled and with their bias."""
        for tile, columns, result in results:
            yield (
                tile,
                columns,
                result if self._scale.tile is None else self._scaled(tile, columns, result, bias_factors),
            )

    def _scaled(self, tile: int, columns: Span, result: Any, bias_factors: list[Any]) -> Any:
        scaled = nl.ndarray(tuple(result.shape), dtype=nl.float32, buffer=nl.sbuf)
        factor = self._scale.tile
        if factor.shape[1] == 1:
            nisa.activation(dst=scaled, op=nl.copy, data=result, scale=factor)
        else:
            factor = factor[:, columns.start - self._own.start : columns.stop - self._own.start]
            nisa.tensor_tensor(dst=scaled, data1=result, data2=factor, op=nl.multiply)
        if self._bias is not None:
            bias = nl.ndarray(tuple(result.shape), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_matmul(dst=bias, stationary=bias_factors[tile], moving=self._bias_of(columns), accumulate=False)
            nisa.tensor_tensor(dst=scaled, data1=scaled, data2=bias, op=nl.add)
        return scaled

    def _bias_of(self, columns: Span) -> Any:
        if self._bias is None:
            return None
        return self._bias.tile[:, columns.start - self._own.start : columns.stop - self._own.start]


class _Factor:
    """A scale as it was loaded; `tile` is None without one."""

    def __init__(self, tile: Any) -> None:
        self.tile = tile

    def open(self) -> None:
        """Nothing to compute."""


class _WithInputScale(_Factor):
    """The scale of the weights times the scale of their quantised inputs."""

    def __init__(self, scale: Any, in_scale: Any) -> None:
        super().__init__(nl.ndarray(tuple(scale.shape), dtype=nl.float32, buffer=nl.sbuf))
        self._of_weights, self._of_inputs = scale, in_scale

    def open(self) -> None:
        nisa.tensor_scalar(dst=self.tile, data=self._of_weights, op0=nl.multiply, operand0=self._of_inputs)


def _product(scale: Vector | None, inputs: Inputs) -> _Factor:
    """What matmul results are multiplied by."""
    if scale is None:
        return _Factor(None)
    return _WithInputScale(scale.tile, inputs.in_scale) if isinstance(inputs, Quantised) else _Factor(scale.tile)
