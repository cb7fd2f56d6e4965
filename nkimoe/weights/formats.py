# SPDX-License-Identifier: Apache-2.0
"""The MX element formats, and four of their values packed into one element of a kernel's tensor.

Element formats: OCP Microscaling v1.0. Packing: value q (0..3) sits in bits q * width ... of the element.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import RequestError


@dataclass(frozen=True)
class MxFormat:
    """One element format.

    Attributes:
        name: as the command line spells it.
        nki: name of the packed type in `nki.language`.
        element: type of one value.
        emax: exponent of the largest power of two it holds.
        mantissa: explicit mantissa bits.
        packed: NumPy type of four values, as nkisim takes it.
        carrier: unsigned integer of the same size, for hosts without a packed type.
        rule: scale rule that loses least on normally distributed weights (docs/weights.md).
    """

    name: str
    nki: str
    element: np.dtype[Any]
    emax: int
    mantissa: int
    packed: np.dtype[Any]
    carrier: np.dtype[Any]
    rule: str

    @property
    def largest(self) -> float:
        """The largest finite value."""
        return float(ml_dtypes.finfo(self.element).max)

    def round(self, values: Array) -> Array:
        """float32 values as elements: nearest, ties to even, saturated. They must not be NaN."""
        return np.clip(values, -self.largest, self.largest).astype(self.element)

    def pack(self, elements: Array) -> Array:
        """[...] packed elements of [..., 4] elements."""
        codes: Array = np.ascontiguousarray(elements).view(np.uint8)
        if self is MXFP4:
            codes = np.ascontiguousarray((codes[..., 0::2] & 15) | (codes[..., 1::2] << 4))
        return codes.view(self.packed)[..., 0]

    def unpack(self, packed: Array) -> Array:
        """[..., 4] elements of [...] packed elements or carriers.

        Raises:
            RequestError: another type.
        """
        if packed.dtype not in (self.packed, self.carrier):
            types = f"{self.packed} or {self.carrier}"
            raise RequestError(
                "packed", f"is {types} for {self.name}", packed.dtype, "Name the format it was packed in."
            )
        codes = np.ascontiguousarray(packed)[..., None].view(np.uint8)
        if self is MXFP4:
            codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*packed.shape, 4)
        return codes.view(self.element)


def _packed(element: Any, length: int) -> np.dtype[Any]:
    return np.dtype([("x4", element, (length,))])


_E2M1, _E4M3, _E5M2 = (np.dtype(getattr(ml_dtypes, f"float{n}")) for n in ("4_e2m1fn", "8_e4m3fn", "8_e5m2"))
_UINT16, _UINT32 = np.dtype(np.uint16), np.dtype(np.uint32)

MXFP4 = MxFormat("mxfp4", "float4_e2m1fn_x4", _E2M1, 2, 1, _packed(np.uint8, 2), _UINT16, "even")
"""e2m1 values, four in 16 bits, and a power of two for each 32 of them."""
MXFP8 = MxFormat("mxfp8", "float8_e4m3fn_x4", _E4M3, 8, 3, _packed(_E4M3, 4), _UINT32, "rceil")
"""e4m3 values up to 448, four in 32 bits, and a power of two for each 32 of them."""
MXFP8_E5M2 = MxFormat("mxfp8-e5m2", "float8_e5m2_x4", _E5M2, 15, 2, _packed(_E5M2, 4), _UINT32, "rceil")
"""e5m2 values up to 57344, four in 32 bits, and a power of two for each 32 of them."""

MX_FORMATS = {mx.name: mx for mx in (MXFP4, MXFP8, MXFP8_E5M2)}
"""The formats by name: mxfp4, mxfp8, mxfp8-e5m2."""


def as_carrier(packed: Array) -> Array:
    """The same bytes and shape as uint16 (MXFP4) or uint32 (MXFP8), without a copy.

    Raises:
        RequestError: not a packed array.
    """
    for mx in MX_FORMATS.values():
        if packed.dtype == mx.packed:
            return packed.view(mx.carrier)
    raise RequestError("packed", "is an array of packed MX elements", packed.dtype, "Pack the weights first.")


def format_of(dtype: np.dtype[Any], named: Any = None) -> MxFormat:
    """The format of packed elements, or of carriers: `named` as in `nki.language`, or the usual one of their size.

    Raises:
        RequestError: there is none.
    """
    for mx in MX_FORMATS.values():
        is_carrier = dtype.kind in "iu" and dtype.itemsize == mx.carrier.itemsize
        if dtype == mx.packed or (is_carrier and str(named or mx.nki) == mx.nki):
            return mx
    raise RequestError("weight", "holds packed MX elements", f"{dtype}, {named}", "Pack the weights first.")
