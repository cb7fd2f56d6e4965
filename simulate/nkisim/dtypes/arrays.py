# SPDX-License-Identifier: Apache-2.0
"""The type of host arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
"""A NumPy array of any shape and type; docstrings say which."""
