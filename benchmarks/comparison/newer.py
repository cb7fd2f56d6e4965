"""nki-library's newer `shard_on_block`, a function of its experimental part, beside ours: bf16 on Trn2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shapes import LayerShape

from comparison.dense import BLOCK_SIZES, SHARD_ON_BLOCK
from comparison.layer_inputs import LayerInputs, blocks_with_tokens
from comparison.nkilib import NkiLibrary
from comparison.variants import Arguments, Call, VariantCase
from nkimoe import BlockShardStrategy, SkipMode

MODULE = "experimental.moe.moe_cte.bwmm_shard_on_block_v2"
OPTIONS: tuple[Arguments, ...] = (  # kept weights help where an expert's blocks follow each other on a core
    {"block_sharding_strategy": BlockShardStrategy.PING_PONG},
    {"block_sharding_strategy": BlockShardStrategy.HI_LO, "skip_dma": SkipMode(True, True)},
)


@dataclass(frozen=True)
class NewerCase(VariantCase):
    """The kernel unrolls all blocks it gets, and gets only those that hold tokens; ours is told which they are."""

    @property
    def implementation(self) -> str:
        return SHARD_ON_BLOCK.name

    def our_layers(self, shape: LayerShape, tokens: int | None) -> Iterator[LayerInputs]:
        """Those of `shard_on_block`: the same prediction stands beside both kernels."""
        return SHARD_ON_BLOCK.our_layers(shape, tokens)

    def their_calls(self, inputs: LayerInputs, library: NkiLibrary) -> Iterator[Call]:
        kernel = library.function(MODULE, "bwmm_shard_on_block")
        given = {**self._common(inputs), **blocks_with_tokens(inputs)}
        del given["conditions"]
        for options in OPTIONS:
            yield kernel, {**given, **options}

    def lacking(self, library: NkiLibrary) -> str | None:
        return library.lacks(MODULE)


CASES = (
    NewerCase(
        "shard_on_block_v2", SHARD_ON_BLOCK.ours, SHARD_ON_BLOCK.theirs, with_conditions=True,
        block_sizes=(*BLOCK_SIZES, 512),
    ),
)  # fmt: skip
