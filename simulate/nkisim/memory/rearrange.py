# SPDX-License-Identifier: Apache-2.0
"""einops-style rearrange of shapes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from nkisim.errors import ArgumentError


class Rearrangement(NamedTuple):
    """Steps on the dimensions of a tensor, in this order.

    Attributes:
        splits: (axis, sizes), from the last axis to the first.
        order: of the dimensions after the splits.
        merges: (first axis, last axis), each after the merges before it.
    """

    splits: tuple[tuple[int, tuple[int, ...]], ...]
    order: tuple[int, ...]
    merges: tuple[tuple[int, int], ...]


def rearrangement(
    shape: tuple[int, ...], source: tuple[Any, ...], target: tuple[Any, ...], sizes: dict[str, int]
) -> Rearrangement:
    """How to split the dimensions as `source` names them, reorder, and merge as `target` groups them."""
    groups = [entry if isinstance(entry, tuple) else (entry,) for entry in source]
    names = [name for group in groups for name in group]
    wanted = [name for entry in target for name in (entry if isinstance(entry, tuple) else (entry,))]
    if len(groups) != len(shape) or sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise ArgumentError(
            "rearrange names every dimension once on both sides",
            f"{source} -> {target} on shape {shape}",
            "Match the patterns to the tensor.",
        )
    splits = [(axis, _sizes(group, sizes, shape[axis])) for axis, group in enumerate(groups) if len(group) > 1]
    merges = [(a, a + len(entry) - 1) for a, entry in enumerate(target) if isinstance(entry, tuple) and len(entry) > 1]
    return Rearrangement(tuple(reversed(splits)), tuple(names.index(name) for name in wanted), tuple(merges))


def _sizes(group: tuple[str, ...], fixed: dict[str, int], total: int) -> tuple[int, ...]:
    known = [fixed.get(name, -1) for name in group]
    if known.count(-1) > 1:
        raise ArgumentError(
            "rearrange infers one size a group",
            f"{group} with sizes {fixed}",
            "Give the others in fixed_sizes.",
        )
    product = math.prod(n for n in known if n != -1)
    return tuple(total // product if n == -1 else n for n in known)
