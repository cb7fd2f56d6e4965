"""The interface of a runtime scalar, as far as addressing needs it."""

from __future__ import annotations


class RegisterValue:
    """A scalar held by the device. `read` is for the simulator; kernel code cannot see the value."""

    def read(self) -> int:
        raise NotImplementedError
