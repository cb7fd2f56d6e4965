"""The matmuls for the Triton interpreter. TRITON_INTERPRET=1 must be set before this module is imported."""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from equal_kernels import TILE_K, TILE_M, TILE_N

VERSION = f"{triton.__version__} (torch {torch.__version__})"
Array = np.ndarray[Any, np.dtype[Any]]


def matmul(left: Array, right: Array) -> Array:
    """left [M, K] @ right [K, N]."""
    (M, K), N = left.shape, right.shape[1]
    out = torch.empty((M, N), dtype=torch.float32)
    grid = (M // TILE_M, N // TILE_N)
    _matmul[grid](torch.from_numpy(left), torch.from_numpy(right), out, N, K, TILE_M, TILE_K, TILE_N)
    return out.numpy()


def grouped_matmul(rows: Array, weights: Array, tile_experts: Array) -> Array:
    """Tile i of rows [tiles * 128, K] times weights[tile_experts[i]] of [E, K, N]."""
    (M, K), N = rows.shape, weights.shape[2]
    out = torch.empty((M, N), dtype=torch.float32)
    tensors = (torch.from_numpy(a) for a in (rows, weights, tile_experts))
    _grouped_matmul[(M // TILE_M, N // TILE_N)](*tensors, out, N, K, TILE_M, TILE_K, TILE_N)
    return out.numpy()


@triton.jit
def _matmul(left, right, out, N, K, tile_m: tl.constexpr, tile_k: tl.constexpr, tile_n: tl.constexpr):
    rows = tl.program_id(0) * tile_m + tl.arange(0, tile_m)
    columns = tl.program_id(1) * tile_n + tl.arange(0, tile_n)
    inner = tl.arange(0, tile_k)
    total = tl.zeros((tile_m, tile_n), dtype=tl.float32)
    for k in range(0, K, tile_k):
        a = tl.load(left + rows[:, None] * K + (k + inner)[None, :])
        b = tl.load(right + (k + inner)[:, None] * N + columns[None, :])
        total = tl.dot(a, b, total, input_precision="ieee")
    tl.store(out + rows[:, None] * N + columns[None, :], total)


@triton.jit
def _grouped_matmul(
    rows_in, weights, tile_experts, out, N, K, tile_m: tl.constexpr, tile_k: tl.constexpr, tile_n: tl.constexpr
):
    expert = tl.load(tile_experts + tl.program_id(0))
    rows = tl.program_id(0) * tile_m + tl.arange(0, tile_m)
    columns = tl.program_id(1) * tile_n + tl.arange(0, tile_n)
    inner = tl.arange(0, tile_k)
    weight = weights + expert * K * N
    total = tl.zeros((tile_m, tile_n), dtype=tl.float32)
    for k in range(0, K, tile_k):
        a = tl.load(rows_in + rows[:, None] * K + (k + inner)[None, :])
        b = tl.load(weight + (k + inner)[:, None] * N + columns[None, :])
        total = tl.dot(a, b, total, input_precision="ieee")
    tl.store(out + rows[:, None] * N + columns[None, :], total)
