# SPDX-License-Identifier: Apache-2.0
"""What a caller hands over, as a NumPy array over the same memory."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import RequestError

_CARRIERS = {1: "uint8", 2: "int16"}


def is_torch(value: Any) -> bool:
    """Whether it is a torch tensor, without importing torch."""
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach")


def host_array(name: str, value: Any) -> Array:
    """A NumPy array, or a torch CPU tensor of any dtype, as a NumPy array with ml_dtypes where NumPy has no type.

    Raises:
        RequestError: anything else.
    """
    if isinstance(value, np.ndarray):
        return value
    if not is_torch(value):
        raise RequestError(name, "is a NumPy array or a torch CPU tensor", type(value).__name__, "Convert it.")
    dtype = str(value.dtype).removeprefix("torch.")
    if not hasattr(ml_dtypes, dtype):
        return np.asarray(value.detach())
    import torch

    carrier = getattr(torch, _CARRIERS[value.element_size()])
    return np.asarray(value.detach().view(carrier)).view(getattr(ml_dtypes, dtype))
