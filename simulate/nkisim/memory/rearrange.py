"""einops-style rearrange of tensor views."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nkisim.errors import ArgumentError

if TYPE_CHECKING:
    from nkisim.memory.tensor import NkiTensor


def rearrange(tensor: NkiTensor, source: tuple[Any, ...], target: tuple[Any, ...], sizes: dict[str, int]) -> NkiTensor:
    """Split the dimensions as `source` names them, reorder, merge as `target` groups them."""
    groups = [entry if isinstance(entry, tuple) else (entry,) for entry in source]
    names = [name for group in groups for name in group]
    wanted = [name for entry in target for name in (entry if isinstance(entry, tuple) else (entry,))]
    if len(groups) != tensor.ndim or sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise ArgumentError(
            "rearrange names every dimension once on both sides",
            f"{source} -> {target} on shape {tensor.shape}",
            "Match the patterns to the tensor.",
        )
    split = tensor
    for axis in range(len(groups) - 1, -1, -1):
        if len(groups[axis]) > 1:
            split = split.reshape_dim(axis, _sizes(groups[axis], sizes, tensor.shape[axis]))
    result = split.permute(tuple(names.index(name) for name in wanted))
    for axis, entry in enumerate(target):
        if isinstance(entry, tuple) and len(entry) > 1:
            result = result.flatten_dims(axis, axis + len(entry) - 1)
    return result


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
