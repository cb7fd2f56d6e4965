# SPDX-License-Identifier: Apache-2.0
"""The names of `nki.dtype`: the data types as NumPy knows them, to make arrays of them on the host."""

from nkisim.dtypes import DTYPES as _DTYPES

bool_ = _DTYPES["bool"].numpy
globals().update({name: dtype.numpy for name, dtype in _DTYPES.items() if name != "bool"})

__all__ = ["bool_", *(name for name in _DTYPES if name != "bool")]
