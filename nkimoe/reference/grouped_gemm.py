"""The definition of `nkimoe.ops.fused_moe_gemm` in NumPy: one projection of each pair, in fp64 but where it rounds."""

from __future__ import annotations

import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.reference.activations import ACTIVATIONS, sigmoid
from nkimoe.reference.row_quantisation import quantize_int8_reference
from nkimoe.spec import ActFnType


def fused_moe_gemm_reference(
    a: Array, b: Array, topk_ids: Array, topk_weights: Floats | None = None, *, epilogue: str | None = None,
    quantization: str = "unquant", b_scale: Floats | None = None, bias: Floats | None = None,
    doweight_stage1: bool = False, alpha: float = 1.0, limit: float | None = None, add_residual: bool = False,
    legacy_order: bool = False,
) -> Floats:  # fmt: skip
    """float32 [M, k, N or N/2], not yet rounded to the type of a; see `nkimoe.ops.fused_moe_gemm`."""
    weighted = topk_weights is not None
    if legacy_order and epilogue == "gelu" and weighted:
        epilogue = None
    before = doweight_stage1 or (legacy_order and epilogue == "silu")
    pairs: list[list[Array]] = []
    for row, ids, weights in zip(a, topk_ids, np.ones(topk_ids.shape) if not weighted else topk_weights, strict=True):
        of_row = []
        for expert, weight in zip(ids.tolist(), weights.tolist(), strict=True):
            if not 0 <= expert < len(b):
                of_row.append(np.zeros(b.shape[1]))
                continue
            value = _product(row, b[expert], quantization, None if b_scale is None else b_scale[expert].reshape(-1))
            value = value * weight if before else value
            value = value if bias is None else value + bias[expert].astype(np.float64)
            of_row.append(value.astype(a.dtype).astype(np.float64) if legacy_order and before else value)
        pairs.append(of_row)
    products = np.array(pairs, np.float64).reshape(*topk_ids.shape, b.shape[1])
    results = activated(products, epilogue, alpha, limit, add_residual)
    if weighted and not before:
        results = results * topk_weights[..., None]
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


def _product(row: Array, weight: Array, quantization: str, scale: Floats | None) -> Array:
    """[N] of a row [K] and the weights [N, K] of its expert."""
    if quantization == "int8_w8a8":
        codes, of_row = quantize_int8_reference(row[None].astype(np.float32))
        exact = (weight.astype(np.int64) @ codes[0].astype(np.int64)).astype(np.float32)
        coded: Array = (exact * of_row[0] * scale).astype(np.float64)
        return coded
    product: Array = weight.astype(np.float64) @ row.astype(np.float64)
    return product if scale is None else product * scale.astype(np.float64)
