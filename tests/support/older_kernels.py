"""Kernels in the dialect of NKI 0.1, written for these tests."""

from __future__ import annotations

from typing import Any

import numpy as np

import nkisim.legacy.nki as nki
import nkisim.legacy.nki.compiler as ncc
import nkisim.legacy.nki.isa as nisa
import nkisim.legacy.nki.language as nl


@nki.jit
def add_rows(a: Any, b: Any) -> Any:
    """Tiles of 128 rows, the last one masked."""
    total = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    i_p, i_f = nl.arange(128)[:, None], nl.arange(a.shape[1])[None, :]
    for tile in nl.affine_range(-(-a.shape[0] // 128)):
        rows = tile * 128 + i_p
        left = nl.load(a[rows, i_f], mask=rows < a.shape[0])
        right = nl.load(b[rows, i_f], mask=rows < a.shape[0])
        nl.store(total[rows, i_f], left + right, mask=rows < a.shape[0])
    return total


@nki.jit
def add_on_grid(a: Any, b: Any) -> Any:
    """A program for each tile of 128 by 512."""
    total = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    i_p = nl.program_id(0) * 128 + nl.arange(128)[:, None]
    i_f = nl.program_id(1) * 512 + nl.arange(512)[None, :]
    nl.store(total[i_p, i_f], nl.load(a[i_p, i_f]) + nl.load(b[i_p, i_f]))
    return total


@nki.jit
def exchange_free_axes(x: Any, rows: int, columns: int) -> Any:
    """[p, rows * columns] to [p, columns * rows], element by index tensors."""
    result = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    i_p = nl.arange(x.shape[0])[:, None, None]
    i_r, i_c = nl.arange(rows)[None, :, None], nl.arange(columns)[None, None, :]
    tile = nl.load(x)
    turned = nl.ndarray((nl.par_dim(x.shape[0]), x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
    turned[i_p, i_c * rows + i_r] = nl.copy(tile[i_p, i_r * columns + i_c])
    nl.store(result, turned)
    return result


@nki.jit
def tiled_matmul(lhs_t: Any, rhs: Any) -> Any:
    """K by tiles of 128, summed in PSUM; the tiles of one column of the result in one tensor with block dimension."""
    depth, rows = lhs_t.shape
    columns, count = rhs.shape[1], depth // 128
    result = nl.ndarray((rows, columns), dtype=nl.float32, buffer=nl.shared_hbm)
    for m in nl.affine_range(rows // 128):
        left = nl.ndarray((count, nl.par_dim(128), 128), dtype=lhs_t.dtype, buffer=nl.sbuf)
        for k in nl.affine_range(count):
            left[k] = nl.load(lhs_t[nl.ds(k * 128, 128), nl.ds(m * 128, 128)])
        total = nl.zeros((nl.par_dim(128), columns), dtype=nl.float32, buffer=nl.psum)
        for k in nl.affine_range(count):
            total += nl.matmul(left[k], nl.load(rhs[k * 128 : (k + 1) * 128, :]), transpose_x=True)
        nl.store(result[m * 128 : (m + 1) * 128, :], nl.copy(total))
    return result


@nki.jit
def softmax(x: Any) -> Any:
    """Along the free axis, with Python's operators."""
    result = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    i_p, i_f = nl.mgrid[0:128, 0 : x.shape[1]]
    tile = nl.load(x[i_p, i_f])
    grown = nl.exp(tile - nl.max(tile, axis=1, keepdims=True))
    nl.store(result[i_p, i_f], grown / nl.sum(grown, axis=[1]))
    return result


@nki.jit
def rms_norm(x: Any, gain: Any) -> Any:
    """Rows over the root of their mean square, times a vector that is repeated over partitions."""
    result = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    width = x.shape[1]
    i_p, i_f = nl.arange(128)[:, None], nl.arange(width)[None, :]
    weights = nl.load(gain.reshape((1, width))).broadcast_to((128, width))
    for tile in nl.affine_range(-(-x.shape[0] // 128)):
        inside = tile * 128 + i_p < x.shape[0]
        rows = nl.load(x[tile * 128 + i_p, i_f], mask=inside)
        scale = nl.rsqrt(nl.sum(nl.square(rows), axis=[1]) / width + 1e-6)
        nl.store(result[tile * 128 + i_p, i_f], rows * scale * weights, mask=inside)
    return result


@nki.jit
def layer_norm(x: Any) -> Any:
    """Mean and variance by bn_stats and bn_aggr."""
    result = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.load(x)
    moments = nisa.bn_aggr(nisa.bn_stats(tile))
    scale = nl.rsqrt(moments[:, 1:2] + 1e-5)
    nl.store(
        result, nisa.tensor_scalar(tile, np.subtract, moments[:, 0:1], op1=np.multiply, operand1=scale, dtype=x.dtype)
    )
    return result


@nki.jit
def causal_attention(q: Any, k: Any, v: Any) -> Any:
    """One head of 128 queries: q and k are [d, sequence], v is [sequence, d]."""
    result = nl.ndarray(v.shape, dtype=v.dtype, buffer=nl.shared_hbm)
    i_q, i_k = nl.arange(128)[:, None], nl.arange(128)[None, :]
    scores = nl.matmul(nl.load(q), nl.load(k), transpose_x=True)
    seen = nisa.affine_select(pred=(i_q >= i_k), on_true_tile=nl.copy(scores), on_false_value=-9e9)
    largest = nisa.tensor_reduce(np.max, seen, axis=(1,), negate=True)
    grown = nisa.activation(np.exp, seen, bias=largest)
    shares = grown * nisa.reciprocal(nl.sum(grown, axis=1, keepdims=True))
    nl.store(result, nl.copy(nl.matmul(shares, nl.load(v))))
    return result


@nki.jit
def scan(a: Any, b: Any) -> Any:
    """state = a * state + b along the free axis, in pieces that carry the state on."""
    result = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    state = nl.zeros((nl.par_dim(a.shape[0]), 1), dtype=nl.float32)
    for piece in nl.sequential_range(a.shape[1] // 64):
        part = nl.ds(piece * 64, 64)
        states = nisa.tensor_tensor_scan(nl.load(a[:, part]), nl.load(b[:, part]), state, np.multiply, np.add)
        state[...] = states[:, 63:64]
        nl.store(result[:, part], states)
    return result


@nki.jit
def conv_and_pool(x: Any, w: Any) -> Any:
    """Valid convolution of [channels, h, w] with [out, channels, 3, 3], and the largest of each 2 by 2."""
    channels, height, width = x.shape
    rows, columns = height - 2, width - 2
    result = nl.ndarray((w.shape[0], rows // 2, columns // 2), dtype=x.dtype, buffer=nl.shared_hbm)
    image, filters = nl.load(x), nl.load(w)
    total = nl.zeros((nl.par_dim(w.shape[0]), rows, columns), dtype=nl.float32, buffer=nl.psum)
    i_c, i_r, i_w = nl.mgrid[0:channels, 0:rows, 0:columns]
    for i in nl.affine_range(3):
        for j in nl.affine_range(3):
            stationary = nl.copy(nisa.nc_transpose(nl.copy(filters[:, :, i, j])))
            total += nisa.nc_matmul(stationary, image[i_c, i_r + i, i_w + j])
    i_o = nl.arange(w.shape[0])[:, None, None, None, None]
    i_h, i_v = nl.arange(rows // 2)[None, :, None, None, None], nl.arange(columns // 2)[None, None, :, None, None]
    i_a, i_b = nl.arange(2)[None, None, None, :, None], nl.arange(2)[None, None, None, None, :]
    nl.store(result, nl.max(nl.copy(total)[i_o, i_h * 2 + i_a, i_v * 2 + i_b], axis=[3, 4]))
    return result


@nki.jit
def gather_rows(table: Any, ids: Any) -> Any:
    """Rows by an index that is known when the kernel runs."""
    result = nl.ndarray((ids.shape[0], table.shape[1]), dtype=table.dtype, buffer=nl.shared_hbm)
    i_p, i_f = nl.arange(ids.shape[0])[:, None], nl.arange(table.shape[1])[None, :]
    wanted = nl.load(ids)
    nl.store(result, nl.load(table[wanted[i_p, 0], i_f]))
    return result


@nki.jit
def placed_copy(x: Any) -> Any:
    """Two tiles of SBUF at fixed bytes, used in turns by four blocks."""
    result = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    width = x.shape[1]
    tiles = nl.ndarray(
        (4, nl.par_dim(128), width), dtype=x.dtype, buffer=ncc.sbuf.mod_alloc(base_addr=1024, num_free_tiles=(2,))
    )
    for block in nl.affine_range(4):
        tiles[block] = nl.load(x[block * 128 : (block + 1) * 128, :])
        nl.store(result[block * 128 : (block + 1) * 128, :], tiles[block])
    return result


@nki.jit
def in_halves(x: Any) -> Any:
    """A copy by two stores."""
    result = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nl.store(result[0:64], nl.load(x[0:64]))
    nl.store(result[64:128], nl.load(x[64:128]))
    return result


def write_into(a: Any, out: Any) -> None:
    """A kernel as they were first written: nothing decorates it, and the result is its last argument."""
    nl.store(out, nl.load(a) * 2.0)
