# SPDX-License-Identifier: Apache-2.0
"""The one table of implementations. Each is a point in split x schedule x numerics."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.spec import MoECTEImplementation as Implementation


@dataclass(frozen=True)
class Variant:
    """One implementation of `moe_cte`.

    Attributes:
        split: what the two cores divide, "blocks" or "intermediate".
        schedule: "static", "static-then-dynamic" or "dropping".
        numerics: "dense" or "mx"; of a request that asks dense weights for it, "int8" (`plan`).
        targets: machines it runs on.
        status: "available", or why it refuses.
    """

    implementation: Implementation
    split: str
    schedule: str
    numerics: str
    targets: tuple[str, ...]
    status: str

    @property
    def name(self) -> str:
        return self.implementation.name

    @property
    def is_mx(self) -> bool:
        """Whether weights are MX, and activations quantised on chip."""
        return self.numerics == MX

    @property
    def is_available(self) -> bool:
        return self.status == AVAILABLE


AVAILABLE = "available"
BLOCKS, INTERMEDIATE = "blocks", "intermediate"
DENSE, MX, INT8 = "dense", "mx", "int8"
STATIC, HYBRID, DROPPING = "static", "static-then-dynamic", "dropping"
_BOTH, _TRN3 = ("trn2", "trn3"), ("trn3",)

VARIANTS: dict[Implementation, Variant] = {
    v.implementation: v
    for v in (
        Variant(Implementation.shard_on_block, BLOCKS, HYBRID, DENSE, _BOTH, AVAILABLE),
        Variant(Implementation.shard_on_i, INTERMEDIATE, STATIC, DENSE, _BOTH, AVAILABLE),
        Variant(Implementation.shard_on_i_hybrid, INTERMEDIATE, HYBRID, DENSE, _BOTH, AVAILABLE),
        Variant(Implementation.shard_on_i_dropping, INTERMEDIATE, DROPPING, DENSE, _BOTH, AVAILABLE),
        Variant(Implementation.shard_on_block_mx, BLOCKS, HYBRID, MX, _TRN3, AVAILABLE),
        Variant(Implementation.shard_on_i_mx, INTERMEDIATE, STATIC, MX, _TRN3, AVAILABLE),
        Variant(Implementation.shard_on_i_mx_hybrid, INTERMEDIATE, HYBRID, MX, _TRN3, AVAILABLE),
    )
}
