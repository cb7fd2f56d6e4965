"""Asserts that a result is within the tolerance table, and says where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nkimoe.reference.tolerance import Tolerance, distance

Floats = npt.NDArray[np.float32]


def assert_close(actual: Floats, expected: Floats, bounds: Tolerance) -> None:
    """Both errors within bounds; rows that should be zero are exactly zero, and everything is finite."""
    assert actual.shape == expected.shape
    bad: Any = np.argwhere(~np.isfinite(actual))
    assert not bad.size, f"element {bad[0].tolist()} is {actual[tuple(bad[0])]}"
    found = distance(actual, expected)
    assert found.within(bounds), (
        f"relative L2 error {found.rel_l2:.2e} (allowed {bounds.rel_l2:.2e}); "
        f"worst row {found.row} of {len(actual)}: {found.worst_row:.2e} (allowed {bounds.worst_row:.2e}); "
        f"worst element {list(found.where)}: {actual[found.where]:.6g}, expected {expected[found.where]:.6g}. "
        f"Roundings counted: {bounds.reason}."
    )
