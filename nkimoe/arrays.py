# SPDX-License-Identifier: Apache-2.0
"""Arrays on the host: their types, and what is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def is_tensor(value: object) -> bool:
    """Whether it has a shape and a dtype, as arrays of NumPy and torch have, and is not their class."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, type)
