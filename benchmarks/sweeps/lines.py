"""The lines that docs/performance.md is made of: two a layer, its best variants and all of them."""

from __future__ import annotations

from comparison import mx
from shapes import DENSE_LAYERS, MX_LAYERS, PublishedLayer

from nkimoe.planning.variants import DROPPING, VARIANTS
from sweeps.line import SweepLine

TOKENS = (640, 4096, 8192)
DENSE, MX = (
    tuple(v.name for v in VARIANTS.values() if v.is_mx == is_mx and v.schedule != DROPPING) for is_mx in (False, True)
)


def best_lines() -> list[SweepLine]:
    """From few to many tokens, in the formats of weights that a layer of that machine may have."""
    dense = [SweepLine(layer, "trn2", TOKENS, ("bf16", "fp8-row"), DENSE, is_for_best=True) for layer in DENSE_LAYERS]
    return dense + [SweepLine(layer, "trn3", TOKENS, _formats(layer), MX, is_for_best=True) for layer in MX_LAYERS]


def variant_lines() -> list[SweepLine]:
    """With the tokens of the layer."""
    dense = [SweepLine(layer, "trn2", (layer.T,), ("bf16",), DENSE) for layer in DENSE_LAYERS]
    return dense + [SweepLine(layer, "trn3", (layer.T,), _formats(layer), MX) for layer in MX_LAYERS]


def _formats(layer: PublishedLayer) -> tuple[str]:
    """Of MX weights."""
    return (mx.CASES[0].weights(layer.shape()),)
