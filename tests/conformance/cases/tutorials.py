"""Kernels of nki-samples (its `src/nki_samples` and `contributed`), or of the SDK's `examples`, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from conformance.cases.checkout import BF16, random
from conformance.kernel_run import TestManager

MATMULS = ("basic", "tiled", "hoist_load", "block_free_dimension", "fully_optimized")


@pytest.mark.parametrize("name", MATMULS)
def test_matmul(name: str, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    # the sizes the tutorial compares at; the optimized one asks for at least one block of each axis
    m, k, n = {"basic": (64, 128, 512), "fully_optimized": (2048, 1024, 2048)}.get(name, (1024, 512, 2048))
    left, right = random((k, m), BF16), random((k, n), BF16)
    wanted = left.astype(np.float32).T @ right.astype(np.float32)
    function = kernel("matrix_multiplication/matrix_multiplication_nki_kernels.py", f"nki_matmul_{name}_")
    test_manager.check(function, (left, right), wanted, rtol=1e-2)


@pytest.mark.parametrize("file", ["tensor_addition", "spmd_tensor_addition"])
def test_tensor_addition(file: str, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    function = kernel(f"tensor_addition/{file}_nki_kernels.py", "nki_tensor_add_kernel_", "nki_tensor_add")
    shape = (128, 512) if file == "tensor_addition" else (512, 2048)
    grid = () if file == "tensor_addition" else (4, 4)
    a, b = random(shape, BF16), random(shape, BF16)
    wanted = a.astype(np.float32) + b.astype(np.float32)
    test_manager.check(function[grid] if grid else function, (a, b), wanted, rtol=1e-2)


def test_transpose2d(kernel: Callable[..., Any], test_manager: TestManager) -> None:
    function = kernel("transpose2d/transpose2d_nki_kernels.py", "tensor_transpose2D_kernel_")
    given = random((8, 37 * 44))
    wanted = given.reshape(8, 37, 44).transpose(0, 2, 1).reshape(8, -1)
    test_manager.check(function, (given,), wanted, rtol=0.0, shape2D=(37, 44))


def test_average_pool2d(kernel: Callable[..., Any], test_manager: TestManager) -> None:
    function = kernel("average_pool2d/average_pool2d_nki_kernels.py", "tensor_avgpool_kernel")
    given = random((2, 6, 6))
    wanted = given.reshape(2, 3, 2, 3, 2).mean(axis=(2, 4))
    test_manager.check(function, (given, 2), wanted, rtol=1e-5)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_mamba(version: int, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    function = kernel("fused_mamba/mamba_nki_kernels.py", f"mamba_v{version}")
    batch, channels, steps, states = 1, 256, 512, 16
    delta, u = np.abs(random((batch, channels, steps))), random((batch, channels, steps))
    a, b, c = -np.abs(random((channels, states))), random((batch, states, steps)), random((batch, states, steps))
    state, wanted = np.zeros((batch, channels, states), np.float32), np.empty_like(u)
    for t in range(steps):
        decay = np.exp(delta[:, :, t, None] * a)
        state = decay * state + (delta * u)[:, :, t, None] * b[:, None, :, t]
        wanted[:, :, t] = np.einsum("bcs,bs->bc", state, c[:, :, t])
    test_manager.check(function, (delta, u, a, b, c), wanted, rtol=1e-3)


@pytest.mark.parametrize("version", ["v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v8a", "v11"])
def test_attention(version: str, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    function = kernel("attention_fwd_performance/attention_kernels.py", f"attn_fwd_{version}")
    q, k, v = (random((128, 128 if version in ("v1", "v2") else 2048)) for _ in range(3))
    scores = q.T @ k
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    wanted = weights / weights.sum(axis=1, keepdims=True) @ v.T
    test_manager.check(function, (q, k, v), wanted, rtol=1e-2)


FP8, FP4 = ml_dtypes.float8_e5m2, ml_dtypes.float4_e2m1fn
MX_FOLDER = "mxfp-matmul"


def _mx(kernel: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Data, quantization and product of the tutorial's own NumPy model."""
    names = ("generate_stabilized_mx_data", "quantize_mx_golden", "nc_matmul_mx_golden")
    data, quantize, product = (kernel(f"{MX_FOLDER}/mx_cpu_utils.py", name) for name in names)
    return data, quantize, product


@pytest.mark.parametrize("dtype", [FP8, FP4])
def test_mx_matmul(dtype: Any, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    data, _, product = _mx(kernel)
    _, _, left, left_scale = data(dtype, (128, 512))
    _, _, right, right_scale = data(dtype, (128, 2048))
    wanted = product(left, right, left_scale, right_scale, dtype, dtype)
    function = kernel(f"{MX_FOLDER}/mx_kernels.py", "kernel_offline_quantized_mx_matmul")
    given = (left, left_scale, right, right_scale, _packed_name(dtype))
    test_manager.check(function, given, wanted, rtol=5e-2, target="trn3")


@pytest.mark.parametrize("dtype", [FP8, FP4])
def test_mx_quantize_and_matmul(dtype: Any, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    data, quantize, product = _mx(kernel)
    _, _, left, left_scale = data(dtype, (128, 512))
    plain, _, _, _ = data(FP8, (128, 2048))
    right, right_scale = quantize(plain, FP8)
    wanted = product(left, right, left_scale, right_scale, dtype, FP8)
    function = kernel(f"{MX_FOLDER}/mx_kernels.py", "kernel_on_device_quantize_matmul_mx")
    given = (left, left_scale, plain.astype(BF16), _packed_name(dtype), _packed_name(FP8))
    test_manager.check(function, given, wanted, rtol=5e-2, target="trn3")


@pytest.mark.parametrize("by_tensor_copy", [True, False])
def test_mx_strided(by_tensor_copy: bool, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    data, _, _ = _mx(kernel)
    left, right = data(FP8, (512, 128))[0], data(FP8, (512, 512))[0]
    function = kernel(f"{MX_FOLDER}/mx_kernels.py", "kernel_copy_strided_quantize_matmul_mx")
    given = (left.astype(BF16), right.astype(BF16), _packed_name(FP8), by_tensor_copy)
    test_manager.check(function, given, left.T @ right, rtol=5e-2, target="trn3")


def _packed_name(dtype: Any) -> Any:
    import nki.language as nl

    return getattr(nl, f"{np.dtype(dtype).name}_x4")


def test_contributed_matmul(kernel: Callable[..., Any], test_manager: TestManager) -> None:
    left, right = random((1024, 512)), random((1024, 2048))
    function = kernel("contributed/matmul.py", "matmul")
    test_manager.check(function, (left, right), left.T @ right, rtol=1e-2)


def test_contributed_max_pooling(kernel: Callable[..., Any], test_manager: TestManager) -> None:
    given = random((128, 128))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(given, 1, constant_values=-np.inf), (3, 3))
    function = kernel("contributed/maxpooling.py", "max_pooling_2d_stride_1")
    test_manager.check(function, (given, 3), windows.max(axis=(2, 3)), rtol=1e-5)


@pytest.mark.parametrize("deterministic", [True, False])
def test_contributed_batch_invariant_matmul(
    deterministic: bool, kernel: Callable[..., Any], test_manager: TestManager
) -> None:
    left, right = random((512, 256), BF16), random((512, 512), BF16)
    function = kernel("contributed/batch_invariance/kernels/matmul_batch_invariant.py", "nki_matmul_kernel_isa")
    wanted = left.astype(np.float32).T @ right.astype(np.float32)
    test_manager.check(function, (left, right, deterministic), wanted, rtol=1e-2)


@pytest.mark.parametrize("deterministic", [True, False])
def test_contributed_batch_invariant_rmsnorm(
    deterministic: bool, kernel: Callable[..., Any], test_manager: TestManager
) -> None:
    given, gain = random((256, 512)), random((512,))
    function = kernel("contributed/batch_invariance/kernels/rmsnorm_batch_invariant.py", "nki_rmsnorm_kernel_isa")
    wanted = given / np.sqrt(np.mean(given**2, axis=1, keepdims=True)) * gain
    test_manager.check(function, (given, gain, deterministic), wanted, rtol=1e-4)
