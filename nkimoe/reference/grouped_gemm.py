# SPDX-License-Identifier: Apache-2.0
"""The definition of `nkimoe.ops.fused_moe_gemm` in NumPy: an expert at a time, in fp64 but where it rounds."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.reference.activations import ACTIVATIONS, sigmoid
from nkimoe.reference.mx import DEVICE_RULE
from nkimoe.reference.row_quantisation import LARGEST, quantize_groups_reference, quantize_int8_reference
from nkimoe.reference.tolerance import SIGNIFICANT_BITS, Tolerance
from nkimoe.spec import ActFnType
from nkimoe.weights.formats import MX_FORMATS, MXFP4, MXFP8
from nkimoe.weights.mx_scale import dequantize_blocks, quantize_blocks

BLOCK = 128  # rows, and columns, of fp8 weights that share a scale
MX_BLOCK = 32  # rows of MX weights that share a scale


def fused_moe_gemm_reference(
    a: Array, b: Array, topk_ids: Array, topk_weights: Floats | None = None, *, epilogue: str | None = None,
    quantization: str = "unquant", b_scale: Floats | None = None, zero_point: Array | None = None,
    group_size: int | None = None, a_scale: Floats | None = None, bias: Floats | None = None,
    doweight_stage1: bool = False, alpha: float = 1.0, limit: float | None = None, add_residual: bool = False,
    legacy_order: bool = False,
) -> Floats:  # fmt: skip
    """float32 [M, k, N or N/2], not yet rounded to the type of the result; see `nkimoe.ops.fused_moe_gemm`."""
    if legacy_order and epilogue == "gelu" and topk_weights is not None:
        epilogue = None
    weights = np.ones(topk_ids.shape) if topk_weights is None else topk_weights.astype(np.float64)
    before = doweight_stage1 or (legacy_order and epilogue == "silu")
    values = np.zeros((*topk_ids.shape, b.shape[1]))
    is_static = a_scale is None or quantization == "fp8_w8a8"
    for e, weight in enumerate(b):
        rows, choices = np.nonzero(topk_ids == e)
        scale = None if b_scale is None else b_scale[e]
        zeros = None if zero_point is None else zero_point[e]
        of_rows = a_scale if a_scale is None or is_static else a_scale[rows]
        product = _product(a[rows], weight, quantization, scale, zeros, of_rows)
        product = product * weights[rows, choices, None] if before else product
        values[rows, choices] = product if bias is None else product + bias[e]
    if legacy_order and before:
        values = values.astype(a.dtype).astype(np.float64)
    results = activated(values, epilogue, alpha, limit, add_residual)
    results = results if before else results * weights[..., None]
    is_pair = (topk_ids >= 0) & (topk_ids < len(b))
    final: Floats = np.where(is_pair[..., None], results, 0).astype(np.float32)
    return final


def activated(v: Array, epilogue: str | None, alpha: float, limit: float | None, add_residual: bool) -> Array:
    """The epilogue of products [..., N]."""
    gelu, half = ACTIVATIONS[ActFnType.GELU_Tanh_Approx].value, v.shape[-1] // 2
    if epilogue is None:
        return v
    if epilogue == "gelu":
        return gelu(v)
    if epilogue == "swiglu":
        g, u = v[..., 0::2], v[..., 1::2]
        if limit is not None:
            g, u = np.minimum(g, limit), np.clip(u, -limit, limit)
        swished: Array = g * sigmoid(alpha * g) * (u + 1 if add_residual else u)
        return swished
    act = {"silu": ACTIVATIONS[ActFnType.SiLU].value, "gelu_mul": gelu}[epilogue]
    gated: Array = act(v[..., :half]) * v[..., half:]
    return gated


def _product(
    rows: Array, weight: Array, quantization: str, scale: Floats | None, zeros: Array | None, a_scale: Floats | None
) -> Array:
    """fp64 [n, N] of rows [n, K] and the weights [N, K] of their expert."""
    x = rows.astype(np.float64)
    if quantization == "unquant" or scale is None:
        plain: Array = x @ weight.astype(np.float64).T
        return plain
    if quantization == "int4_w4a16":
        grouped: Array = x @ dequantised_int4(weight, scale, zeros, rows.dtype).astype(np.float64).T
        return grouped
    if quantization in MX_FORMATS:
        in_blocks: Array = mx_rows(x) @ dequantised_mx(weight, scale, quantization).T
        return in_blocks
    if quantization == "fp8_block_w8a16":
        blockwise: Array = x @ dequantised_blocks(weight, scale).astype(rows.dtype).astype(np.float64).T
        return blockwise
    if quantization == "int8_w8a8":
        codes, of_rows = (rows, a_scale) if a_scale is not None else quantize_int8_reference(rows.astype(np.float32))
        exact = (codes.astype(np.int64) @ weight.astype(np.int64).T).astype(np.float32)
        return (exact * of_rows.reshape(-1, 1) * scale.reshape(-1)).astype(np.float64)
    e4m3 = "float8_e4m3fn" if weight.dtype == ml_dtypes.float8_e4m3fn else "float8_e4m3"
    if quantization == "fp8_block_w8a8":
        codes, of_rows = (rows, a_scale) if a_scale is not None else quantize_groups_reference(rows, e4m3)
        numbers = codes.astype(np.float64) * np.repeat(of_rows.astype(np.float64), BLOCK, axis=1)[:, : x.shape[1]]
        grouped = numbers @ dequantised_blocks(weight, scale.astype(np.float64)).T
        return grouped
    if quantization == "fp8_w8a8":
        assert a_scale is not None, "comes with fp8_w8a8"
        quotients = np.clip(rows.astype(np.float32) * (1 / np.float32(a_scale)), -LARGEST[e4m3], LARGEST[e4m3])
        x = quotients.astype(e4m3).astype(np.float64) * np.float64(a_scale)
    product: Array = (x @ weight.astype(np.float64).T) * scale.reshape(-1).astype(np.float64)
    return product


def dequantised_blocks(weight: Array, scale: Floats) -> Array:
    """[N, K] of fp8 codes times the scale [N / 128, K / 128] of their block, in the precision of scales."""
    of_each = np.repeat(np.repeat(scale, BLOCK, axis=0), BLOCK, axis=1)
    numbers: Array = weight.astype(scale.dtype) * of_each[: weight.shape[0], : weight.shape[1]]
    return numbers


def dequantised_mx(weight: Array, scale: Array, quantization: str) -> Floats:
    """[N, K] of e2m1 codes, two a byte, the even one in the low half, or of e4m3, times 2**(scale - 127) of 32 each."""
    codes = weight
    if quantization == "mxfp4":
        codes = np.stack([weight & 15, weight >> 4], axis=2).reshape(len(weight), -1).view(MXFP4.element)
    exponents = np.repeat(scale.view(np.uint8).astype(np.int32) - 127, MX_BLOCK, axis=1)
    numbers: Floats = np.ldexp(codes.astype(np.float64), exponents)
    return numbers


def mx_rows(x: Array) -> Array:
    """Rows [n, K] as `quantize_mx` rounds them: e4m3 in blocks of 32, their scale a power of two."""
    n, K = x.shape
    blocks = x.reshape(n, K // MX_BLOCK, 8, 4).transpose(1, 2, 0, 3)  # [blocks, 8, n, 4]
    real = dequantize_blocks(*quantize_blocks(blocks, MXFP8, DEVICE_RULE, "a"))
    rounded: Array = real.transpose(2, 0, 1, 3).reshape(n, K).astype(np.float64)
    return rounded


def dequantised_int4(packed: Array, scale: Floats, zeros: Array | None, dtype: object) -> Array:
    """[N, K] of bytes [N, K / 2]: (code - zero) * scale in fp32, rounded to a type.

    Args:
        scale: [N, groups of K]. zeros: bytes [N / 2, groups]; None: 8.
    """
    N, groups = scale.shape
    codes = np.stack([packed & 15, packed >> 4], axis=2).reshape(N, groups, -1).astype(np.float32)
    zero: Array = np.full((N, groups), 8, np.uint8)
    if zeros is not None:
        zero[0::2], zero[1::2] = zeros & 15, zeros >> 4
    values = (codes - zero[..., None]) * scale[..., None].astype(np.float32)
    rounded: Array = values.reshape(N, -1).astype(dtype)  # type: ignore[call-overload]
    return rounded


def gemm_tolerance(dtype: str) -> Tolerance:
    """The bounds of results of a type: each is rounded once, by 2**-p of itself at most, with p significant bits.

    In the legacy order values are rounded before silu, too, which may double that.
    """
    most = 2.0 ** -SIGNIFICANT_BITS[dtype]
    return Tolerance(1.5 * most, 3 * most, "results rounded once; in the legacy order products, too")
