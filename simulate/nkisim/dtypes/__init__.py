# SPDX-License-Identifier: Apache-2.0
"""Data types of NKI: the table, and conversion between them."""

from nkisim.dtypes.arrays import Array
from nkisim.dtypes.convert import convert, to_float32
from nkisim.dtypes.table import DTYPES, DType, dtype_of

__all__ = ["DTYPES", "Array", "DType", "convert", "dtype_of", "to_float32"]
