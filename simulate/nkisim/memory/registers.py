# SPDX-License-Identifier: Apache-2.0
"""The interface of a runtime scalar, as far as addressing needs it."""

from __future__ import annotations


class RegisterValue:
    """A scalar held by the device. `read` is for the simulator; kernel code cannot see the value.

    Attributes:
        loaded_by: index, in its core's program, of the instruction that gave it its value; None: a constant.
    """

    loaded_by: int | None = None

    def read(self) -> int:
        raise NotImplementedError
