"""An instruction as a profile shows it, whoever made the profile."""

from __future__ import annotations

from dataclasses import dataclass

_MATMULS = ("matmul", "nc_matmul", "multiplymoving", "matmult")


@dataclass(frozen=True)
class ProfiledInstruction:
    """One row of a profile's table of instructions.

    Attributes:
        engine: tensor, vector, scalar, gpsimd, sync, or what the profile calls it.
        opcode: in the words of the profile.
        start_ns: since the profile began.
        line: file and line of the kernel; empty if the profile has none.
    """

    engine: str
    opcode: str
    start_ns: float
    duration_ns: float
    line: str = ""

    @property
    def is_matmul(self) -> bool:
        return self.opcode.lower().replace("_", "").startswith(tuple(each.replace("_", "") for each in _MATMULS))
