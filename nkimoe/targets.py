"""The machines kernels are planned for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A NeuronCore generation, as far as tiling needs it.

    Attributes:
        sbuf_bytes: SBUF a kernel may use, bytes a partition: the partition less 16 KiB for dynamic DMA and 8 B, as
            nki-library reserves on trn2; assumed equal on trn3, where AWS publishes nothing.
    """

    name: str
    generation: int
    sbuf_bytes: int


TARGETS = {
    "trn2": Target("trn2", 3, 224 * 1024 - 16 * 1024 - 8),
    "trn3": Target("trn3", 4, 256 * 1024 - 16 * 1024 - 8),
}


def by_generation(generation: int) -> Target:
    """The target of an `nki.isa.nc_version` value.

    Raises:
        ValueError: no kernels for that generation.
    """
    for target in TARGETS.values():
        if target.generation == generation:
            return target
    raise ValueError(f"nkimoe has kernels for trn2 (gen3) and trn3 (gen4), not for generation {generation}")
