# SPDX-License-Identifier: Apache-2.0
"""MX blocks: 32 values share one power of two, stored as its exponent plus 127 (e8m0).

Every rule maps a block's largest magnitude to an exponent; they differ in how much room they leave above it:

    floor   floor(log2(amax)) - emax                 OCP Microscaling v1.0, section 6.3; the top may saturate
    isa     floor(log2(amax)) - emax + 1             what `nki.isa.quantize_mx` documents; never saturates
    ceil    ceil(log2(amax)) - emax
    rceil   ceil(log2(amax / largest))               never saturates, and wastes no binade
    even    floor(log2(amax to mantissa bits)) - emax

A block of zeros has code 0 (2**-127).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError, RequestError
from nkimoe.weights.formats import MxFormat

BIAS = 127
NOT_A_NUMBER = 255


def _floor_log2(amax: Array) -> Array:
    return np.frexp(amax)[1] - 1


def _ceil_log2(amax: Array) -> Array:
    fraction, exponent = np.frexp(amax)  # amax = fraction * 2**exponent, fraction in [1/2, 1)
    return np.where(fraction == 0, -BIAS, exponent - (fraction == 0.5))  # a quotient may have underflowed to 0


def _even(amax: Array, mx: MxFormat) -> Array:
    carries = np.frexp(amax)[0] >= 1 - 2.0 ** -(mx.mantissa + 2)  # the rounded significand reaches 2
    return _floor_log2(amax) + carries - mx.emax


SCALE_RULES: dict[str, Callable[[Array, MxFormat], Array]] = {
    "floor": lambda amax, mx: _floor_log2(amax) - mx.emax,
    "isa": lambda amax, mx: _floor_log2(amax) - mx.emax + 1,
    "ceil": lambda amax, mx: _ceil_log2(amax) - mx.emax,
    "rceil": lambda amax, mx: _ceil_log2(amax / np.float32(mx.largest)),
    "even": _even,
}
"""By name, the exponent of a block's scale from its largest magnitude (float32)."""


def scale_exponents(amax: Array, mx: MxFormat, rule: str) -> Array:
    """int32 exponents of blocks with these largest magnitudes (float32), within -127..127.

    Raises:
        RequestError: the rule does not exist.
    """
    if rule not in SCALE_RULES:
        raise RequestError("rule", f"is one of {', '.join(SCALE_RULES)}", repr(rule), "Choose one of these.")
    exponents = np.where(amax > 0, SCALE_RULES[rule](amax, mx), -BIAS)
    return np.clip(exponents, -BIAS, BIAS).astype(np.int32)


def quantize_blocks(values: Array, mx: MxFormat, rule: str, name: str) -> tuple[Array, Array]:
    """Elements [R, 8, ..., 4] and scale codes uint8 [R, ...] of float values [R, 8, ..., 4]: a block is 8 x 4.

    Raises:
        InputError: a value of the tensor called `name` is NaN or infinite.
    """
    values = values.astype(np.float32, copy=False)
    amax = np.abs(values).max(axis=(1, -1))
    if not np.isfinite(amax).all():
        blocks = np.count_nonzero(~np.isfinite(amax))
        raise InputError(name, "is finite", f"NaN or infinity in {blocks} blocks of 32", "Repair the checkpoint.")
    exponents = scale_exponents(amax, mx, rule)
    scaled = np.ldexp(values, -exponents[:, None, ..., None])
    return mx.round(scaled), (exponents + BIAS).astype(np.uint8)


def dequantize_blocks(elements: Array, codes: Array) -> Array:
    """float32 values of elements [R, 8, ..., 4] with scale codes uint8 [R, ...]; code 255 gives NaN.

    Values beyond float32 are infinite.
    """
    codes = codes[:, None, ..., None]
    with np.errstate(over="ignore"):
        values = np.ldexp(elements.astype(np.float32), codes.astype(np.int32) - BIAS)
    return np.where(codes == NOT_A_NUMBER, np.float32(np.nan), values) if (codes == NOT_A_NUMBER).any() else values
