"""Calls of `fused_moe_gemm` with drawn tensors, and how far results may be from its definition."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.ops import fused_moe_gemm
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference, gemm_tolerance
from nkimoe.reference.tolerance import distance

BF16, FP16 = ml_dtypes.bfloat16, np.float16
POOL = 1_000_003  # a prime: rows of large tensors that repeat it differ


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, deviation: float = 1.0) -> np.ndarray:
    """Normal values, of large tensors from a pool."""
    pool = rng.standard_normal(min(POOL, int(np.prod(shape))), dtype=np.float32) * np.float32(deviation)
    return np.resize(pool.astype(dtype), shape)


def routed(rng: np.random.Generator, M: int, k: int, E: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct experts of each token, in any order, and weights."""
    ids = np.argsort(rng.random((M, E)), axis=1)[:, :k].astype(np.int32)
    return ids, rng.random((M, k), dtype=np.float32)


def drawn(M: int, N: int, K: int, k: int, E: int, dtype: Any = BF16, seed: int = 20) -> dict[str, Any]:
    """Arguments of an unquantised call, named as aiter names sizes."""
    rng = np.random.default_rng(seed)
    ids, weights = routed(rng, M, k, E)
    a, b = normal(rng, (M, K), dtype), normal(rng, (E, N, K), dtype, K**-0.5)
    return {"a": a, "b": b, "topk_ids": ids, "topk_weights": weights}


def int8_drawn(M: int, N: int, K: int, k: int, E: int, quantization: str, dtype: Any = BF16) -> dict[str, Any]:
    """Codes of the whole range, and scales."""
    rng = np.random.default_rng(K)
    codes = rng.integers(-128, 128, (E, N, K)).astype(np.int8)
    scale = rng.uniform(0.5, 1.5, (E, N)).astype(np.float32) / np.float32(74 * K**0.5)
    return drawn(M, N, K, k, E, dtype) | {"b": codes, "b_scale": scale, "quantization": quantization}


def int4_drawn(
    M: int, N: int, K: int, k: int, E: int, group_size: int, zeros: bool, scale_dtype: Any = np.float32
) -> dict[str, Any]:
    """Codes and zeros of the whole range, and a scale for each group of a column."""
    rng, groups = np.random.default_rng(K), K // group_size
    scale = rng.uniform(0.5, 1.5, (E, N, groups)).astype(scale_dtype)
    packed = rng.integers(0, 256, (E, N, K // 2)).astype(np.uint8)
    given = {"b": packed, "b_scale": scale, "group_size": group_size, "quantization": "int4_w4a16"}
    if zeros:
        given["zero_point"] = rng.integers(0, 256, (E, N // 2, groups)).astype(np.uint8)
    return drawn(M, N, K, k, E) | given


def blocks_drawn(
    M: int, N: int, K: int, k: int, E: int, quantization: str, dtype: Any = BF16, fp8: Any = ml_dtypes.float8_e4m3
) -> dict[str, Any]:
    """fp8 codes, and a scale for each block of 128 x 128, which differ widely; groups of a row, too."""
    rng, blocks = np.random.default_rng(K), (E, -(-N // 128), -(-K // 128))
    scale = np.exp2(rng.uniform(-3, 3, blocks)).astype(np.float32) / np.float32(K**0.5)
    arguments = drawn(M, N, K, k, E, dtype) | {"b": normal(rng, (E, N, K), fp8), "b_scale": scale}
    spread = np.exp2(rng.uniform(-2, 2, (M, blocks[2]))).repeat(128, axis=1)[:, :K]
    arguments["a"] = (arguments["a"].astype(np.float32) * spread).astype(dtype)
    return arguments | {"quantization": quantization}


def mx_drawn(M: int, N: int, K: int, k: int, E: int, quantization: str, dtype: Any = BF16) -> dict[str, Any]:
    """Codes of the whole range, but NaN, and a scale for each 32 of a column, which differ widely."""
    rng = np.random.default_rng(K)
    if quantization == "mxfp4":
        b = rng.integers(0, 256, (E, N, K // 2)).astype(np.uint8)
    else:
        b = normal(rng, (E, N, K), ml_dtypes.float8_e4m3fn)
    scale = (127 - round(np.log2(K) / 2) + rng.integers(-3, 4, (E, N, K // 32))).astype(np.uint8)
    return drawn(M, N, K, k, E, dtype) | {"b": b, "b_scale": scale, "quantization": quantization}


def as_torch(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same call with torch tensors."""
    import torch

    def tensor(value: np.ndarray) -> Any:
        if value.dtype in (BF16, ml_dtypes.float8_e4m3fn):
            carrier = torch.from_numpy(value.view({1: np.uint8, 2: np.int16}[value.itemsize]))
            return carrier.view(getattr(torch, value.dtype.name))
        return torch.from_numpy(value)

    return {name: tensor(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()}


def check_gemm(cores: int = 2, **arguments: Any) -> np.ndarray:
    """Run it, hold it to the definition, and return the result [M, k, columns]."""
    result = fused_moe_gemm[cores](**arguments)
    expected = fused_moe_gemm_reference(**arguments)
    assert result.dtype == arguments["a"].dtype
    assert result.shape == expected.shape
    rows = -1, expected.shape[2]
    apart = distance(result.reshape(rows), expected.reshape(rows))
    assert apart.within(gemm_tolerance(str(result.dtype)))
    return result
