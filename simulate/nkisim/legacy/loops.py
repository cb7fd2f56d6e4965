# SPDX-License-Identifier: Apache-2.0
"""Loops and constants of NKI 0.1. Every loop runs in program order."""

from __future__ import annotations

from typing import Any

import ml_dtypes

from nkisim.dtypes import dtype_of


def _as_range(*bounds: Any) -> range:
    """`range` of whole numbers, whatever their type."""
    return range(*(int(bound) for bound in bounds))


def affine_range(*bounds: Any, **_: Any) -> range:
    """A loop whose iterations do not depend on each other, but for sums into PSUM."""
    return _as_range(*bounds)


def sequential_range(*bounds: Any, **_: Any) -> range:
    """A loop whose iterations run in order."""
    return _as_range(*bounds)


def static_range(*bounds: Any, **_: Any) -> range:
    """A loop that is unrolled."""
    return _as_range(*bounds)


def finfo(dtype: Any) -> Any:
    """Limits of a floating point type."""
    return ml_dtypes.finfo(dtype_of(dtype).numpy)


class fp32:  # noqa: N801 - the name of NKI
    """Constants of float32."""

    min = -3.4028234663852886e38
