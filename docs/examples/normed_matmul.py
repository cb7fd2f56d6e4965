"""RMSNorm, then a matrix multiplication: a kernel to begin with.

    nkisim run normed_matmul.py:normed_matmul --input x=128x512 --input w=512x256 --check normed_matmul.py:expected
    nkisim report normed_matmul.py:normed_matmul --input x=128x512 --input w=512x256 -o report.html

The first command runs it, compares it with NumPy and prints where its predicted time goes; the second writes that as a
page with the source, a timeline and advice. A kernel imports only `nki`, which under `nkisim` is the simulator. The
[quickstart for kernel authors](../quickstarts/kernel_author.md) goes through it step by step.
"""

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np


@nki.jit
def normed_matmul(x, w):
    """x [128, K] / rms(x) @ w [K, N], for K in steps of 128 and N up to 512."""
    rows, K = x.shape
    N = w.shape[1]
    out = nl.ndarray((rows, N), dtype=nl.float32, buffer=nl.shared_hbm)

    tokens = nl.load(x)
    squares = nl.ndarray((rows, K), dtype=nl.float32, buffer=nl.sbuf)
    total = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    scale = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(dst=squares, op=nl.square, data=tokens, reduce_op=nl.add, reduce_res=total)
    nisa.activation(dst=scale, op=nl.rsqrt, data=total, scale=1 / K)  # 1 / sqrt(mean of squares)
    nisa.tensor_scalar(dst=tokens, data=tokens, op0=nl.multiply, operand0=scale)

    product = nl.ndarray((rows, N), dtype=nl.float32, buffer=nl.psum)
    for start in range(0, K, 128):
        columns = slice(start, start + 128)
        turned = nl.ndarray((128, rows), dtype=x.dtype, buffer=nl.psum)  # the PE contracts over partitions
        nisa.nc_transpose(dst=turned, data=tokens[:, columns])
        stationary = nl.ndarray((128, rows), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=stationary, src=turned)
        nisa.nc_matmul(dst=product, stationary=stationary, moving=nl.load(w[columns, :]))
    result = nl.ndarray((rows, N), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=result, src=product)
    nisa.dma_copy(dst=out, src=result)
    return out


def expected(x, w):
    """The same in NumPy, in float32."""
    x, w = x.astype(np.float32), w.astype(np.float32)
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True)) @ w
