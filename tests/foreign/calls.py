"""What public kernels compute, in NumPy, with arguments that are small and large enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from foreign.public import Array, Call

BF16 = ml_dtypes.bfloat16
BF16_ROUNDINGS = 1e-2  # relative L2 of results in bf16, of a few roundings each
HIDDEN_BEHIND_A_LARGE_NUMBER = 1e-3  # where scores are masked by adding a number of thousands, and taking it off


def uniform(rng: np.random.Generator, *shape: int) -> Array:
    return rng.random(shape, dtype=np.float32)


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Array:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)


def f32(x: Array) -> Array:
    return np.asarray(x).astype(np.float32)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention_of(q: Array, k: Array, v: Array, scale: float = 1.0, bias: Array | float = 0.0) -> Array:
    """softmax(q k.T * scale + bias) v, for the last two dimensions [tokens, width]."""
    return softmax(f32(q) @ np.swapaxes(f32(k), -1, -2) * scale + bias) @ f32(v)


def cumsum(rng: np.random.Generator) -> Call:
    x = uniform(rng, 200, 2500)
    return Call((x,), (np.cumsum(x, 1, dtype=np.float64),))


def transpose_3d(rng: np.random.Generator) -> Call:
    x = uniform(rng, 3, 256, 384)
    return Call((x, 1), (x.transpose(0, 2, 1),))


def max_pool(rng: np.random.Generator) -> Call:
    x = uniform(rng, 200, 700)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3))
    return Call((x, 3), (windows.max((2, 3)),))


def rope_columns(rng: np.random.Generator) -> Call:
    """Of x [width, tokens], halves apart."""
    x, cos, sin = uniform(rng, 128, 512), uniform(rng, 64, 512), uniform(rng, 64, 512)
    a, b = x[:64], x[64:]
    return Call((x, cos, sin), (np.concatenate([a * cos - b * sin, b * cos + a * sin]),))


def depthwise_conv(rng: np.random.Generator) -> Call:
    image, filters = uniform(rng, 2, 160, 1, 40), uniform(rng, 160, 1, 1, 3)
    padded = np.pad(image, ((0, 0), (0, 0), (0, 0), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=3)
    expected = np.einsum("nchwk,ck->nchw", windows, filters[:, 0, 0])
    return Call((image, filters), (expected,), {"padding": ((0, 0), (1, 1))})


def rms_norm_of(x: Array, weight: Array, eps: float) -> Array:
    return f32(x) / np.sqrt(np.square(f32(x)).mean(-1, keepdims=True) + eps) * weight


def rms_norm(rng: np.random.Generator) -> Call:
    x, weight = uniform(rng, 256, 700), uniform(rng, 700)
    return Call((x, weight), (rms_norm_of(x, weight, 0),))


def rms_norm_with_eps(rng: np.random.Generator) -> Call:
    x, weight = normal(rng, 256, 512), uniform(rng, 512)
    return Call((x, weight, 1e-5), (rms_norm_of(x, weight, 1e-5),))


def layer_norm(rng: np.random.Generator) -> Call:
    x, gamma, beta = uniform(rng, 256, 1024), uniform(rng, 1024), uniform(rng, 1024)
    centred = x - x.mean(1, keepdims=True)
    expected = centred / np.sqrt(np.square(centred).mean(1, keepdims=True) + 1e-6) * gamma + beta
    return Call((x, 1e-6, gamma, beta), (expected,))


def gemm(rng: np.random.Generator, dtype: Any = np.float32, K: int = 512, M: int = 512, N: int = 512) -> Call:
    """Of [K, M] and [K, N]."""
    a, b = normal(rng, K, M, scale=0.05).astype(dtype), normal(rng, K, N, scale=0.05).astype(dtype)
    return Call((a, b), (f32(a).T @ f32(b),), tolerance=BF16_ROUNDINGS if dtype is BF16 else 1e-5)


def gemm_bf16(rng: np.random.Generator) -> Call:
    return gemm(rng, BF16)


def gemm_2048(rng: np.random.Generator) -> Call:
    return gemm(rng, BF16, 2048, 2048, 2048)


def gemm_of_rows(rng: np.random.Generator) -> Call:
    """Of [M, K] and [K, N]."""
    a, b = normal(rng, 2048, 2048, scale=0.05).astype(BF16), normal(rng, 2048, 2048, scale=0.05).astype(BF16)
    return Call((a, b), (f32(a) @ f32(b),), tolerance=BF16_ROUNDINGS)


def normed_gemm(rng: np.random.Generator) -> Call:
    """RMS norm of the rows of the left matrix, times the right one."""
    a, b = normal(rng, 2048, 2048).astype(BF16), normal(rng, 2048, 2048, scale=0.05).astype(BF16)
    return Call((a, b), (rms_norm_of(a, 1, 1e-6) @ f32(b),), tolerance=2 * BF16_ROUNDINGS)


def mamba(rng: np.random.Generator) -> Call:
    channels, states, tokens = 128, 4, 512
    delta, u, a = uniform(rng, 1, channels, tokens), uniform(rng, 1, channels, tokens), -uniform(rng, channels, states)
    b, c = uniform(rng, 1, states, tokens), uniform(rng, 1, states, tokens)
    state, expected = np.zeros((channels, states)), np.zeros((1, channels, tokens))
    for t in range(tokens):
        state = np.exp(delta[0, :, t, None] * a) * state + (delta[0, :, t] * u[0, :, t])[:, None] * b[0, :, t]
        expected[0, :, t] = (state * c[0, :, t]).sum(1)
    spread = [np.repeat(each, channels, axis=1) for each in (b, c)]
    return Call((delta, u, a, *spread), (expected,))


def attention_columns(rng: np.random.Generator) -> Call:
    """q, k, v [128, tokens], without a scale."""
    q, k, v = (2 * uniform(rng, 128, 512) - 1 for _ in range(3))
    return Call((q, k, v), (attention_of(q.T, k.T, v.T),), tolerance=BF16_ROUNDINGS)


def attention_rows(rng: np.random.Generator) -> Call:
    """q, k, v [tokens, width], scaled by the root of the width."""
    q, k, v = (uniform(rng, 512, 64) for _ in range(3))
    return Call((q, k, v), (attention_of(q, k, v, 64**-0.5),), tolerance=BF16_ROUNDINGS)


def attention_without_transposes(rng: np.random.Generator) -> Call:
    """q, v [1, tokens, 128] and k [1, 128, tokens] in bf16; blocks of q, and of weights, meet k and v untransposed.

    The text of the kernel is taken at its word. Its own test, with values of a tenth, does not see the difference.
    """
    q, k, v = (normal(rng, 512, 128, scale=0.3).astype(BF16) for _ in range(3))
    scores = (f32(q).reshape(4, 128, 128).transpose(0, 2, 1) @ f32(k.T) * 128**-0.5).reshape(4, 128, 4, 128)
    e = np.exp(scores - scores.max((2, 3), keepdims=True))
    weights = e.transpose(0, 2, 3, 1)  # block of q, chunk of v, columns of the chunk, rows of the block
    products = np.einsum("qckr,crd->qkd", weights, f32(v).reshape(4, 128, 128))
    expected = products / e.sum((2, 3))[:, :, None]
    return Call((q[None], k.T.copy()[None], v[None], 128**-0.5), (expected,), tolerance=2 * BF16_ROUNDINGS)


def causal_attention(rng: np.random.Generator, tokens: int = 2048) -> Call:
    """q, v [tokens, 128] and k [128, tokens]; sums weighted by exp(score - largest), then logarithms."""
    import nki.language as nl

    q, k, v = (normal(rng, tokens, 128, scale=0.3) for _ in range(3))
    mask = np.tril(np.ones((tokens, tokens), np.float32))
    scores = np.where(mask > 0, q @ k.T, -np.inf)
    largest = scores.max(1, keepdims=True)
    weights = np.exp(scores - largest)
    options = {"kernel_dtype": nl.float32, "acc_type": nl.float32, "seq_len": tokens, "d_head": 128}
    expected = weights @ v, np.log(weights.sum(1)) + largest[:, 0]
    return Call((q, k.T.copy(), v, mask), expected, options, HIDDEN_BEHIND_A_LARGE_NUMBER)


def causal_attention_of_heads(rng: np.random.Generator) -> Call:
    """The same of one head of 1024 tokens."""
    call = causal_attention(rng, 1024)
    q, k, v, mask = call.arguments
    return Call((q[None], k[None], v[None], mask), call.expected, {**call.options, "num_heads": 1}, call.tolerance)


def triangle_multiply(rng: np.random.Generator) -> Call:
    """Of a and b [rows, columns, channels]."""
    a, b = (normal(rng, 128, 128, 3).astype(BF16) for _ in range(2))
    return Call((a, b), (np.einsum("ikd,jkd->ijd", f32(a), f32(b)),), tolerance=BF16_ROUNDINGS)


def triangle_attention(rng: np.random.Generator) -> Call:
    """Of each row of q, k, v [rows, columns, width], with a bias [columns, columns, heads]."""
    q, k, v = (normal(rng, 128, 128, 16).astype(BF16) for _ in range(3))
    bias = normal(rng, 128, 128, 1).astype(BF16)
    expected = attention_of(q, k, v, 0.25, f32(bias)[None, :, :, 0])
    return Call((q, k, v, bias, 0.25), (expected,), tolerance=2 * BF16_ROUNDINGS)


def square_gemm(rng: np.random.Generator) -> Call:
    a, b = (normal(rng, 512, 512, scale=0.1).astype(BF16) for _ in range(2))
    return Call((a, b), (f32(a).T @ f32(b),), tolerance=BF16_ROUNDINGS)


def add(rng: np.random.Generator) -> Call:
    a, b = uniform(rng, 128, 512), uniform(rng, 128, 512)
    return Call((a, b), (a + b,))


def delta_rule(rng: np.random.Generator) -> Call:
    """The gated delta rule, a token at a time."""
    tokens, width = 40, 128
    q, k, v = (normal(rng, tokens, width, scale=0.1) for _ in range(3))
    decay, gate = -0.5 * uniform(rng, tokens, 1) - 0.01, uniform(rng, tokens, 1)
    state, expected = np.zeros((width, width)), np.zeros((tokens, width))
    for t in range(tokens):
        state = state * np.exp(decay[t, 0])
        state = state + np.outer(k[t], (v[t] - state.T @ k[t]) * gate[t, 0])
        expected[t] = state.T @ q[t]
    repeated = [np.repeat(each, width, axis=1) for each in (decay, gate)]
    return Call((q, k, v, *repeated), (expected,), tolerance=1e-4)


def delta_rule_with_state(rng: np.random.Generator) -> Call:
    """Likewise; the state at the end, too."""
    call = delta_rule(rng)
    q, k, v, decay, gate = call.arguments
    state = np.zeros((q.shape[1], q.shape[1]))
    for t in range(len(q)):
        state = state * np.exp(decay[t, 0])
        state = state + np.outer(k[t], (v[t] - state.T @ k[t]) * gate[t, 0])
    return Call(call.arguments, (*call.expected, state), tolerance=1e-4)


def in_place(of: Callable[[np.random.Generator], Call]) -> Callable[[np.random.Generator], Call]:
    """A call whose result goes into an argument behind the others."""

    def call(rng: np.random.Generator) -> Call:
        made = of(rng)
        out = np.zeros(made.expected[0].shape, np.float32)
        return Call((*made.arguments, out), made.expected, tolerance=made.tolerance)

    return call


def softmax_rows(rng: np.random.Generator) -> Call:
    x = normal(rng, 256, 300)
    return Call((x,), (softmax(x),))


def write_cache(rng: np.random.Generator) -> Call:
    """K and V of one sequence into its place in a batch."""
    k, v = normal(rng, 1, 2, 16, 64), normal(rng, 1, 2, 16, 64)
    caches = normal(rng, 3, 2, 40, 64), normal(rng, 3, 2, 40, 64)
    expected = [cache.copy() for cache in caches]
    for cache, new in zip(expected, (k, v), strict=True):
        cache[2, :, :16] = new[0]
    return Call((k, v, *caches, np.array([2], np.int32)), tuple(expected))


def roll_in(rng: np.random.Generator) -> Call:
    """Rows into a buffer [batch, places, width]."""
    buffer, rows = normal(rng, 4, 8, 256), normal(rng, 3, 256)
    batch, places = np.array([2, 0, 3], np.int32), np.array([7, 1, 4], np.int32)
    expected = buffer.copy()
    expected[batch, places] = rows
    return Call((buffer, rows, batch, places), (expected,))


def part_of(rng: np.random.Generator) -> Call:
    """One of four parts along the first dimension."""
    x = normal(rng, 8, 3, 50)
    return Call((x, np.array([2], np.int32), 4), (x[4:6],))


def in_cores(_: str, __: tuple[int, ...], ___: int) -> tuple[int, int, int]:
    """What nkilib's `get_verified_program_sharding_info` says: dimensions, programs, this one."""
    import nki.language as nl

    return nl.program_ndim(), nl.num_programs(0), nl.program_id(0)


def required(condition: bool, message: str) -> None:
    """nkilib's `kernel_assert`."""
    assert condition, message
