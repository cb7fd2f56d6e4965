"""Shared HBM of an LNC pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nkisim.errors import LaunchError, Location
from nkisim.memory import Storage
from nkisim.memory.storage import Block, next_identity


@dataclass
class SharedMemory:
    """Shared HBM allocations: the n-th one of each core is the same tensor.

    Attributes:
        allocations: storage, shape and dtype of each.
        reached: how many of them each core has come to.
        ages: when each core came to each, by core and identity; compares with identities of other storages.
    """

    allocations: list[tuple[tuple[Storage, Block], tuple[int, ...], str]] = field(default_factory=list)
    reached: dict[int, int] = field(default_factory=dict)
    ages: dict[tuple[int, int], int] = field(default_factory=dict)

    def allocate(
        self, core: int, shape: tuple[int, ...], dtype: str, make: Callable[[], tuple[Storage, Block]], where: Location
    ) -> tuple[Storage, Block]:
        """The core's next shared allocation, made by whichever core comes first.

        Raises:
            LaunchError: the cores' allocations differ.
        """
        at = self.reached.get(core, 0)
        self.reached[core] = at + 1
        if at == len(self.allocations):
            self.allocations.append((make(), shape, dtype))
        made, known_shape, known_dtype = self.allocations[at]
        if (known_shape, known_dtype) != (shape, dtype):
            raise LaunchError(
                "all cores allocate the same shared_hbm tensors in the same order",
                f"shared tensor {at} is {known_dtype}{known_shape} on one core and {dtype}{shape} on core {core}",
                "Allocate shared tensors unconditionally, or use private_hbm.",
                where,
            )
        self.ages[core, made[0].identity] = next_identity()
        return made
