# SPDX-License-Identifier: Apache-2.0
"""The machines kernels are planned for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A NeuronCore generation, as far as tiling needs it.

    Attributes:
        sbuf_bytes: SBUF a kernel may use, bytes a partition: the partition less 16 KiB for dynamic DMA and 8 B, as
            nki-library reserves on trn2; assumed equal on trn3, where AWS publishes nothing.
        fp8_dtypes: types of fp8 weights its PE multiplies.
        has_mx: its PE multiplies packed MX elements.
    """

    name: str
    generation: int
    sbuf_bytes: int
    fp8_dtypes: tuple[str, ...]
    has_mx: bool


_LEGACY = ("float8_e4m3", "float8_e5m2")
TARGETS = {
    "trn2": Target("trn2", 3, 224 * 1024 - 16 * 1024 - 8, _LEGACY, False),
    "trn3": Target("trn3", 4, 256 * 1024 - 16 * 1024 - 8, ("float8_e4m3fn", *_LEGACY), True),
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
