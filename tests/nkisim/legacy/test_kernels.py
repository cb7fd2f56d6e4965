"""Kernels of NKI 0.1 give what NumPy gives."""

from typing import Any

import numpy as np
import pytest
from support import older_kernels as older

import nkisim.legacy.nki as nki
from nkisim import Simulator


def normal(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def softmax(x: Any) -> Any:
    grown = np.exp(x - x.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def close(got: Any, expected: Any) -> bool:
    return bool(np.allclose(got, expected, rtol=1e-4, atol=1e-4))


def test_a_mask_lets_the_last_tile_be_a_part() -> None:
    a, b = normal(300, 40), normal(300, 40) + 1
    assert np.array_equal(older.add_rows(a, b), a + b)


def test_programs_of_a_grid_of_two_axes_share_their_result() -> None:
    a, b = normal(512, 1024), normal(512, 1024)
    assert np.array_equal(older.add_on_grid[4, 2](a, b), a + b)


def test_index_tensors_name_elements_in_any_order() -> None:
    x = normal(64, 6 * 5)
    assert np.array_equal(older.exchange_free_axes(x, 6, 5), x.reshape(64, 6, 5).swapaxes(1, 2).reshape(64, 30))


def test_products_are_summed_where_the_tensor_engine_writes() -> None:
    a, b = normal(256, 256), normal(256, 384)
    run = Simulator("trn2").run(older.tiled_matmul, a, b)
    assert close(run.outputs, a.T @ b)
    assert run.profile.opcodes["nc_matmul"] == 4
    assert "tensor_tensor" not in run.profile.opcodes


def test_softmax_is_that_of_numpy() -> None:
    x = normal(128, 200)
    assert close(older.softmax(x), softmax(x))


def test_rms_norm_is_that_of_numpy() -> None:
    x, gain = normal(200, 96), normal(96)
    assert close(older.rms_norm(x, gain), x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + 1e-6) * gain)


def test_layer_norm_is_that_of_numpy() -> None:
    x = normal(128, 96)
    expected = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    assert close(older.layer_norm(x), expected)


def test_causal_attention_is_that_of_numpy() -> None:
    q, k, v = normal(64, 128), normal(64, 128) + 0.1, normal(128, 64)
    scores = np.where(np.tril(np.ones((128, 128), bool)), q.T @ k, -9e9)
    assert close(older.causal_attention(q, k, v), softmax(scores) @ v)


def test_a_scan_carries_its_state_from_piece_to_piece() -> None:
    a, b = normal(128, 192) * 0.1, normal(128, 192)
    state, expected = np.zeros(128, np.float32), np.empty_like(a)
    for i in range(192):
        state = a[:, i] * state + b[:, i]
        expected[:, i] = state
    assert close(older.scan(a, b), expected)


def test_convolution_and_pooling_are_those_of_numpy() -> None:
    x, w = normal(32, 10, 12), normal(64, 32, 3, 3)
    total = np.zeros((64, 8, 10), np.float32)
    for i in range(3):
        for j in range(3):
            total += np.einsum("chw,oc->ohw", x[:, i : i + 8, j : j + 10], w[:, :, i, j])
    assert close(older.conv_and_pool(x, w), total.reshape(64, 4, 2, 5, 2).max(axis=(2, 4)))


def test_rows_are_gathered_by_an_index_that_the_kernel_loads() -> None:
    table, ids = normal(300, 16), np.array([[7], [299], [0], [7]], np.int32)
    assert np.array_equal(older.gather_rows(table, ids), table[ids[:, 0]])


def test_tiles_at_fixed_bytes_are_used_in_turns() -> None:
    x = normal(512, 32)
    assert np.array_equal(older.placed_copy(x), x)


def test_a_function_that_nothing_decorates_writes_into_its_last_argument() -> None:
    a, out = normal(128, 32), np.zeros((128, 32), np.float32)
    assert nki.simulate_kernel(older.write_into, a, out) is None
    assert np.array_equal(out, a * 2)


def test_a_benchmark_predicts_and_says_so() -> None:
    kernel = nki.benchmark(warmup=2, iters=10)(older.tiled_matmul)
    with pytest.warns(UserWarning, match="predicted by a model, not measured"):
        kernel(normal(256, 128), normal(256, 128))
    latency = kernel.benchmark_result.nc_latency
    assert 1 < latency.get_latency_percentile(99) == latency.predicted_us < 100


def test_every_mode_of_jit_gives_a_kernel() -> None:
    for mode in ("simulation", "baremetal", "torchxla", "jax", "auto"):
        kernel = nki.jit(mode=mode)(older.add_rows.body)
        a = normal(128, 8)
        assert np.array_equal(kernel(a, a), a + a)
    assert np.array_equal(nki.baremetal(save_neff_name="file.neff")(older.add_rows.body)(a, a), a + a)
