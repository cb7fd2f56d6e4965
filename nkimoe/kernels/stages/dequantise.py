# SPDX-License-Identifier: Apache-2.0
"""What follows the matmuls: dequantisation, then the bias."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.element_steps import Steps, limit_steps
from nkimoe.kernels.stages.expert_vectors import ExpertVectors, SpreadRow, Vector, Vectors
from nkimoe.kernels.stages.products import GATE, UP, DownProduct, DownProducts
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.hidden_scales import of_experts, of_tokens
from nkimoe.planning.quantization import ROW, STATIC, Scale
from nkimoe.planning.request import Request
from nkimoe.planning.row_scales import is_spread
from nkimoe.planning.tiling import PARTITIONS, Span


class GateUpSteps:
    """Element-wise steps after the gate and up matmuls, whose results have columns of I on partitions."""

    def __init__(self, limits: dict[int, Steps], factor: _Factor, bias: Vector | None) -> None:
        self._limits, self._factor, self._bias = limits, factor, bias

    def derive(self) -> None:
        self._factor.derive()

    def of(self, which: int, tile: int, rows: int) -> Steps:
        """The steps of one tile of I: scale, bias, limits."""
        scale: Steps = ()
        factor = self._factor.tile
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

    def __init__(self, own: Span, factor: _Factor, bias: Vector | None) -> None:
        self._own, self._factor, self._bias = own, factor, bias

    def derive(self) -> None:
        self._factor.derive()

    def bias_row(self, columns: Span) -> Tensor | None:
        """[1, columns] that joins the contraction, or None: without one, or where the other core adds it."""
        is_own = self._own.start <= columns.start < self._own.stop
        return self._bias_of(columns) if is_own and self._factor.tile is None else None

    def finished(self, products: DownProducts, bias_factors: list[Tensor]) -> DownProducts:
        """The products, with their bias. The scale of columns, and a bias behind it, are left to who takes them, unless
        activations have a scale, too: it does not multiply the bias.
        """
        for product in products:
            factor, rows = self._factor.tile, slice(0, product.data.shape[0])
            if factor is None:
                yield product
                continue
            start, of_columns = product.columns.start - self._own.start, factor.shape[1] > 1
            columns = slice(start, start + product.columns.size) if of_columns else slice(0, 1)
            product = product._replace(factor=factor[rows, columns])
            row, is_left = self._bias_of(product.columns), of_columns
            if row is not None:
                bias: Tensor = nl.ndarray(tuple(product.data.shape), dtype=nl.float32, buffer=nl.psum)
                stationary = bias_factors[product.tile][:, rows]
                nisa.nc_matmul(dst=bias, stationary=stationary, moving=row, accumulate=False)
                product, is_left = product._replace(bias=bias), of_columns and product.scale is None
            yield product if is_left else completed(product)

    def _bias_of(self, columns: Span) -> Tensor | None:
        if self._bias is None:
            return None
        return self._bias.tile[:, columns.start - self._own.start : columns.stop - self._own.start]


def completed(product: DownProduct) -> DownProduct:
    """The product times its factor [128, 1 or columns] and the scale of its activations, and its bias."""
    data, scale, factor = product.data, product.scale, product.factor
    if factor is None:
        return product
    dst: Tensor = nl.ndarray(tuple(data.shape), dtype=nl.float32, buffer=nl.sbuf)
    if factor.shape[1] == 1 and scale is None:
        nisa.activation(dst=dst, op=nl.copy, data=data, scale=factor)
    elif factor.shape[1] == 1:
        nisa.tensor_scalar(dst=dst, data=data, op0=nl.multiply, operand0=scale, op1=nl.multiply, operand1=factor)
    elif scale is None:
        nisa.tensor_tensor(dst=dst, data1=data, data2=factor, op=nl.multiply)
    else:
        nisa.scalar_tensor_tensor(dst=dst, data=data, op0=nl.multiply, operand0=scale, op1=nl.multiply, operand1=factor)
    if product.bias is not None:
        nisa.tensor_tensor(dst=dst, data1=dst, data2=product.bias, op=nl.add)
    return product._replace(data=dst, scale=None, factor=None, bias=None)


class _Factor:
    """What products are multiplied by: a scale as it was loaded; `tile` is None without one."""

    def __init__(self, tile: Tensor | None) -> None:
        self.tile = tile

    def derive(self) -> None:
        """Nothing to compute."""


class _WithInputScale(_Factor):
    """The scale of the weights times the scale of their quantised inputs."""

    def __init__(self, scale: Tensor, in_scale: Tensor) -> None:
        self._product = nl.ndarray(tuple(scale.shape), dtype=nl.float32, buffer=nl.sbuf)
        super().__init__(self._product)
        self._of_weights, self._of_inputs = scale, in_scale

    def derive(self) -> None:
        of_inputs = self._of_inputs[0 : self._of_weights.shape[0]]  # small blocks have scales of fewer slots
        nisa.tensor_scalar(dst=self._product, data=self._of_weights, op0=nl.multiply, operand0=of_inputs)


class _WithMatrixScale(_Factor):
    """The scales of gate and up weights times one number each, [128, 2, 1]."""

    def __init__(self, scale: Tensor, of_matrices: Tensor) -> None:
        self._product = nl.ndarray(tuple(scale.shape), dtype=nl.float32, buffer=nl.sbuf)
        super().__init__(self._product)
        self._of_weights, self._of_matrices = scale, of_matrices

    def derive(self) -> None:
        for m in range(2):
            factor = self._of_matrices[:, m]
            nisa.tensor_scalar(dst=self._product[:, m], data=self._of_weights[:, m], op0=nl.multiply, operand0=factor)


def _factor(scale: Vector | SpreadRow | None, of_inputs: Tensor | None) -> _Factor:
    """The scales of weights, times those of their inputs: [128, 1], or [128, 2, 1] of gate and up."""
    if scale is None:
        return _Factor(of_inputs)
    if of_inputs is None:
        return _Factor(scale.tile)
    return (_WithInputScale if len(of_inputs.shape) == 2 else _WithMatrixScale)(scale.tile, of_inputs)


def _ones() -> Tensor:
    """For the down products of block-scaled weights, whose tokens' scale comes before the bias."""
    ones: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0)
    return ones


def make_gate_up_steps(
    request: Request, scale: Scale | None, in_scale: Tensor | None, tensors: ExpertVectors, vectors: Vectors
) -> GateUpSteps:
    """The steps of a request; what they need comes with `vectors`, the matrix's.

    Args:
        scale: of the weights.
        in_scale: of their inputs, fp32 [128, 1]; None if those are not quantised with one that is given.
    """
    limits = {GATE: limit_steps(request.gate_clamp), UP: limit_steps(request.up_clamp)}
    loaded = None if scale is None else vectors.add(tensors.gate_up_scale(scale))
    given = of_experts(request.gate_up_hidden_scale, int(request.hidden_states.shape[0]))
    if given is not None:
        in_scale = vectors.add(tensors.gate_up_scale(Scale(given, STATIC))).tile
    bias = None if request.gate_and_up_proj_bias is None else vectors.add(tensors.gate_up_bias())
    return vectors.add_derived(GateUpSteps(limits, _factor(loaded, in_scale), bias))


def make_down_finish(
    request: Request, own: Span, scale: Scale | None, in_scale: Tensor | None, tensors: ExpertVectors, vectors: Vectors
) -> DownFinish:
    """The finish of a request's down projection, likewise."""
    loaded: Vector | SpreadRow | None = None
    has_bias = request.down_proj_bias is not None
    if scale is not None and scale.layout == ROW and is_spread(has_bias, request.block_size, request.is_int8):
        loaded = vectors.add_derived(SpreadRow(vectors.add(tensors.down_scale_parts(scale))))
    elif scale is not None:
        loaded = vectors.add(tensors.down_scale(scale))
    rows = int(request.hidden_states.shape[0])
    given = of_experts(request.down_hidden_scale, rows)
    if given is not None:
        in_scale = vectors.add(tensors.down_scale(Scale(given, STATIC))).tile
    elif loaded is None and of_tokens(request.down_hidden_scale, rows) is not None:
        in_scale = _ones()
    bias = None if request.down_proj_bias is None else vectors.add(tensors.down_bias())
    return vectors.add_derived(DownFinish(own, _factor(loaded, in_scale), bias))
