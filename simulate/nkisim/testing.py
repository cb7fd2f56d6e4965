# SPDX-License-Identifier: Apache-2.0
"""For tests of kernels: comparison of a result with what is expected, with everything known of the run in a failure."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.reference_check import float64
from nkisim.simulator import Run

MOST_PLACES = 5


def assert_kernel_close(result: Any, expected: Any, *, rtol: float = 1e-2, atol: float = 1e-5) -> None:
    """Assert that every |result - expected| is at most atol + rtol * |expected|; NaN equals NaN.

    Args:
        result: a `Run`, whose outputs are compared and whose findings a failure shows, or an output: an array, a torch
            tensor, or a tuple of these, in any dtype of NKI.
        expected: the like, as the reference computes it. Compared in float64.

    Raises:
        AssertionError: the worst places with their values, and the findings of the run.
    """
    __tracebackhide__ = True
    outputs = result.outputs if isinstance(result, Run) else result
    problems = list(_differences(outputs, expected, rtol, atol, "output"))
    if problems:
        findings = [f"finding: {finding}" for finding in result.findings] if isinstance(result, Run) else []
        raise AssertionError("\n".join([*problems, *findings]))


def _differences(result: Any, expected: Any, rtol: float, atol: float, name: str) -> list[str]:
    if isinstance(expected, tuple | list):
        if not isinstance(result, tuple | list) or len(result) != len(expected):
            found = f"{len(result)}" if isinstance(result, tuple | list) else "one"
            return [f"{name}: {len(expected)} are expected, the kernel returned {found}"]
        pairs = zip(result, expected, strict=True)
        return [line for n, (a, b) in enumerate(pairs) for line in _differences(a, b, rtol, atol, f"{name}[{n}]")]
    a, b = float64(result), float64(expected)
    if a.shape != b.shape:
        return [f"{name}: has shape {a.shape}, expected {b.shape}"]
    with np.errstate(invalid="ignore"):
        is_near = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        error = np.where(a == b, 0.0, np.abs(a - b))
    if is_near.all():
        return []
    norm = np.linalg.norm(np.nan_to_num(b))
    relative = np.linalg.norm(np.nan_to_num(error)) / norm if norm else float("inf")
    lines = [
        f"{name}: {np.count_nonzero(~is_near):,} of {a.size:,} elements differ by more than {atol:g} + {rtol:g} * "
        f"|expected|; largest difference {np.nanmax(np.nan_to_num(error, nan=np.inf)):.3g}, relative L2 {relative:.3g}"
    ]
    worst = np.argsort(np.where(is_near, 1.0, -np.nan_to_num(error, nan=np.inf)), axis=None, kind="stable")
    for flat in worst[: min(MOST_PLACES, np.count_nonzero(~is_near))]:
        place = tuple(int(i) for i in np.unravel_index(int(flat), a.shape))
        lines.append(f"  at {list(place)}: {a[place]:.6g}, expected {b[place]:.6g}")
    return lines
