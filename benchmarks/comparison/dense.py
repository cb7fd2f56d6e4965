"""The four dense variants, bf16 on Trn2."""

from __future__ import annotations

from collections.abc import Callable

from shapes import LayerShape

from comparison.layer_inputs import capacity_of, draw_capacity
from comparison.nkilib import NkiLibrary
from comparison.variants import Arguments, VariantCase, split_by_block
from nkimoe import MoECTEImplementation, MoECTESpec, SkipMode

LARGEST_I_KEPT = 1024  # nki-library keeps an expert's weights (skip_weight) only where I is at most this
BLOCK_SIZES = (256, 128)


def _ours(name: str) -> Callable[[LayerShape], Arguments]:
    return lambda shape: {"spec": MoECTESpec(MoECTEImplementation[name])}


def _halves(shape: LayerShape) -> Arguments:
    return {"spec": split_by_block(MoECTEImplementation.shard_on_block, shape)}


def _keep_weights(shape: LayerShape, library: NkiLibrary) -> Arguments:
    return {"skip_dma": SkipMode(True, shape.I <= LARGEST_I_KEPT)}


def _nothing(shape: LayerShape, library: NkiLibrary) -> Arguments:
    return {}


SHARD_ON_BLOCK = VariantCase("shard_on_block", _halves, _keep_weights, with_conditions=True, block_sizes=BLOCK_SIZES)
CASES = (
    SHARD_ON_BLOCK,
    VariantCase("shard_on_i", _ours("shard_on_i"), _nothing, block_sizes=BLOCK_SIZES),
    VariantCase(
        "shard_on_i_hybrid", _ours("shard_on_i_hybrid"), _nothing, with_conditions=True, block_sizes=BLOCK_SIZES
    ),
    VariantCase("shard_on_i_dropping", _ours("shard_on_i_dropping"), _nothing, sized=capacity_of, draw=draw_capacity),
)
