# SPDX-License-Identifier: Apache-2.0
"""How down products go into rows of the output: the last pass over them, with all that is still to multiply."""

from __future__ import annotations

from collections.abc import Callable

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.products import DownProduct
from nkimoe.kernels.tensor import ElementOperand, Tensor

Combine = Callable[[Tensor, DownProduct, ElementOperand], None]
"""(rows, product, scale): results of some columns, times `scale`, go into rows."""


def replace(new: Tensor, product: DownProduct, scale: ElementOperand) -> None:
    """new = product * scale; a bias behind a factor is added by the Vector Engine, or GpSimd, in turns."""
    if product.factor is None:
        nisa.tensor_scalar(dst=new, data=product.data, op0=nl.multiply, operand0=scale)
    elif product.bias is None:
        _multiply(new, product, scale)
    else:
        scaled = _fp32_like(new)
        _multiply(scaled, product, scale)
        if _is_odd(product):
            _add_bias(new, product.bias, scale, scaled)
        else:
            nisa.scalar_tensor_tensor(
                dst=new, data=product.bias, op0=nl.multiply, operand0=scale, op1=nl.add, operand1=scaled
            )


def replace_in_turns(new: Tensor, product: DownProduct, scale: ElementOperand) -> None:
    """Likewise; without a factor the Vector and the Scalar Engine take turns."""
    if product.factor is None and _is_odd(product):
        nisa.activation(dst=new, op=nl.copy, data=product.data, scale=scale)
    else:
        replace(new, product, scale)


def replace_on_three_engines(new: Tensor, product: DownProduct, scale: ElementOperand) -> None:
    """Likewise, to the bit; the Scalar Engine, which takes no second tensor, leaves a factor to GpSimd."""
    if product.factor is None or product.bias is not None or not _is_odd(product):
        replace_in_turns(new, product, scale)
        return
    scaled = _fp32_like(new)
    nisa.activation(dst=scaled, op=nl.copy, data=product.data, scale=scale)
    nisa.tensor_tensor(dst=new, data1=scaled, data2=product.factor, op=nl.multiply, engine=nisa.engine.gpsimd)


def _is_odd(product: DownProduct) -> bool:
    return bool(product.columns.start // product.columns.size % 2)


def add(rows: Tensor, product: DownProduct, scale: ElementOperand) -> None:
    """rows, which holds the old values, += product * scale."""
    add_to(rows, product, scale, rows)


def add_to(new: Tensor, product: DownProduct, scale: ElementOperand, rows: Tensor) -> None:
    """new = rows + product * scale; a bias is added to the rows first, beside the Vector Engine."""
    data = product.data
    if product.bias is not None:
        biased, scaled = _fp32_like(new), _fp32_like(new)
        _add_bias(biased, product.bias, scale, rows)
        _multiply(scaled, product, scale)
        nisa.tensor_tensor(dst=new, data1=scaled, data2=biased, op=nl.add)
        return
    if product.factor is not None:
        data = _fp32_like(new)
        nisa.tensor_tensor(dst=data, data1=product.data, data2=product.factor, op=nl.multiply)
    nisa.scalar_tensor_tensor(dst=new, data=data, op0=nl.multiply, operand0=scale, op1=nl.add, operand1=rows)


def _multiply(dst: Tensor, product: DownProduct, scale: ElementOperand) -> None:
    """dst = product * scale * factor."""
    nisa.scalar_tensor_tensor(
        dst=dst, data=product.data, op0=nl.multiply, operand0=scale, op1=nl.multiply, operand1=product.factor
    )


def _add_bias(dst: Tensor, bias: Tensor, scale: ElementOperand, rows: Tensor) -> None:
    """dst = bias * scale + rows, by the Scalar Engine, which reads PSUM, and GpSimd, which does not."""
    scaled = _fp32_like(dst)
    nisa.activation(dst=scaled, op=nl.copy, data=bias, scale=scale)
    nisa.tensor_tensor(dst=dst, data1=scaled, data2=rows, op=nl.add, engine=nisa.engine.gpsimd)


def _fp32_like(tile: Tensor) -> Tensor:
    room: Tensor = nl.ndarray(tuple(tile.shape), dtype=nl.float32, buffer=nl.sbuf)
    return room


def both(scale: Tensor | None, affinity: ElementOperand) -> ElementOperand:
    """The scale of a product's activations times what its results are multiplied by."""
    if scale is None:
        return affinity
    if isinstance(affinity, float):
        assert affinity == 1.0, "results are multiplied by affinities, or by nothing"
        return scale
    result: Tensor = nl.ndarray(tuple(scale.shape), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=result, data1=scale, data2=affinity, op=nl.multiply)
    return result
