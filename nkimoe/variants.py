"""The one table of seven implementations. Each is a point in split x schedule x numerics."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.spec import MoECTEImplementation as Implementation


@dataclass(frozen=True)
class Variant:
    """One implementation of `moe_cte`.

    Attributes:
        split: what the two cores divide, "blocks" or "intermediate".
        schedule: "static", "static-then-dynamic" or "dropping".
        numerics: "dense" or "mx".
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
    def is_available(self) -> bool:
        return self.status == AVAILABLE


AVAILABLE = "available"
_NOT_WRITTEN = "not written yet"
_BOTH, _TRN3 = ("trn2", "trn3"), ("trn3",)

VARIANTS: dict[Implementation, Variant] = {
    v.implementation: v
    for v in (
        Variant(Implementation.shard_on_block, "blocks", "static", "dense", _BOTH, AVAILABLE),
        Variant(Implementation.shard_on_i, "intermediate", "static", "dense", _BOTH, _NOT_WRITTEN),
        Variant(
            Implementation.shard_on_i_hybrid,
            "intermediate",
            "static-then-dynamic",
            "dense",
            _BOTH,
            _NOT_WRITTEN,
        ),
        Variant(Implementation.shard_on_i_dropping, "intermediate", "dropping", "dense", _BOTH, _NOT_WRITTEN),
        Variant(Implementation.shard_on_block_mx, "blocks", "static-then-dynamic", "mx", _TRN3, _NOT_WRITTEN),
        Variant(Implementation.shard_on_i_mx, "intermediate", "static", "mx", _TRN3, _NOT_WRITTEN),
        Variant(
            Implementation.shard_on_i_mx_hybrid,
            "intermediate",
            "static-then-dynamic",
            "mx",
            _TRN3,
            _NOT_WRITTEN,
        ),
    )
}
