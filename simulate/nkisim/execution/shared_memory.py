# SPDX-License-Identifier: Apache-2.0
"""Shared HBM of an LNC pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nkisim.errors import LaunchError, Location
from nkisim.memory import Storage
from nkisim.memory.block import MemoryBlock


@dataclass
class SharedMemory:
    """Shared HBM allocations: the n-th one of each core is the same tensor."""

    allocations: list[tuple[tuple[Storage, MemoryBlock], tuple[int, ...], str, str]] = field(default_factory=list)
    blocks: dict[int, MemoryBlock] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)

    def allocate(
        self,
        core: int,
        shape: tuple[int, ...],
        dtype: str,
        make: Callable[[], tuple[Storage, MemoryBlock]],
        where: Location,
        content: str = "",
    ) -> tuple[Storage, MemoryBlock]:
        """The core's next shared allocation, made by whichever core comes first.

        Args:
            content: a digest of a constant's bytes; "" for memory that kernels write.

        Raises:
            LaunchError: the cores' allocations differ.
        """
        at = self.reached.get(core, 0)
        self.reached[core] = at + 1
        if at == len(self.allocations):
            fresh = make()
            self.allocations.append((fresh, shape, dtype, content))
            self.blocks[fresh[0].identity] = fresh[1]
        made, known_shape, known_dtype, known_content = self.allocations[at]
        if (known_shape, known_dtype) != (shape, dtype):
            raise LaunchError(
                "all cores allocate the same shared_hbm tensors in the same order",
                f"shared tensor {at} is {known_dtype}{known_shape} on one core and {dtype}{shape} on core {core}",
                "Allocate shared tensors unconditionally, or use private_hbm.",
                where,
            )
        if known_content != content:
            raise LaunchError(
                "a shared constant holds the same data on all cores",
                f"other values on core {core} for the {dtype}{shape} allocated at {made[0].allocated_at}",
                "Do not compute it from nl.program_id; pass data that differs as an argument.",
                where,
            )
        return made

    def memory_of(self, storage: Storage) -> MemoryBlock | None:
        """The bytes of a shared allocation; None for tensors that come from elsewhere."""
        return self.blocks.get(storage.identity)
