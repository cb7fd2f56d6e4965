"""The peer's slowest two helpers, faster: values of the same kind in the generator, the same sums in the references.

`--full-size` leaves both as they are.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_GENERATORS = "test.integration.nkilib.utils.tensor_generators"
_ROWS, _COLUMNS = 8, 4  # of a scaling group
_BIAS = 127  # of scale codes
_BINADES = 11  # that scales are drawn from


def install() -> None:
    """Before the test modules are imported, which take the generator by name."""
    np.einsum = functools.partial(np.einsum, optimize=True)  # as a product of matrices, not as nested loops
    if importlib.util.find_spec(_GENERATORS) is not None:
        generators = importlib.import_module(_GENERATORS)
        generators.generate_stabilized_mx_data = functools.partial(stabilized_mx_data, generators)


def stabilized_mx_data(theirs: Any, mx_dtype: Any, shape: tuple[int, int], val_range: float = 1.0) -> Any:
    """What `generate_stabilized_mx_data` promises, drawn for all scaling groups at once.

    Args:
        theirs: the module the original is in, for the limits of the types and for quantising and dequantising.

    Returns:
        Plain values within `val_range`, the same values as packed MX data, and their scale codes. Each 8 x 4 group has
        a value of the largest exponent, so that quantising the plain values gives the packed ones back.
    """
    rows, columns = shape[0] // _ROWS, shape[1] // _COLUMNS
    if (rows * _ROWS, columns * _COLUMNS) != tuple(shape):
        raise ValueError(f"shape must be a multiple of ({_ROWS}, {_COLUMNS}); got {shape}")
    if val_range == 0:
        zeros = np.zeros(shape)
        return zeros, *theirs.quantize_mx_golden(zeros, mx_dtype)
    largest, exponent = theirs.get_mx_fp_max(mx_dtype), theirs.get_mx_max_exp(mx_dtype)
    chooser = np.random.default_rng(np.random.randint(1 << 31))
    values = chooser.random((rows, _ROWS, columns, _COLUMNS), np.float32) * (2 * largest) - largest
    at = np.ogrid[:rows, :columns]
    size = chooser.uniform(1.0, 1.5, (rows, columns)) * 2.0**exponent
    row, column = chooser.integers(_ROWS, size=size.shape), chooser.integers(_COLUMNS, size=size.shape)
    values[at[0], row, at[1], column] = size * chooser.choice([-1, 1], size.shape)
    packed = theirs.static_cast(values.reshape(shape), theirs.NL_TO_DT_DTYPE.get(mx_dtype, mx_dtype))
    top = min(255, int(np.log2(val_range / largest) + _BIAS))
    codes = chooser.integers(max(0, top - _BINADES + 1), top + 1, size=(rows, columns), dtype=np.uint8)
    return theirs.dequantize_mx_golden(packed, codes), packed, codes
