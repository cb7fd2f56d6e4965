# SPDX-License-Identifier: Apache-2.0
"""HBM of a rank."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.errors import require
from nkimoe.planning.tiling import ceil_div
from nkimoe.prefill.chips import GIB
from nkimoe.prefill.layout import PrefillLayout
from nkimoe.prefill.transformer import BF16_BYTES, Transformer
from nkimoe.reference.roofline import WEIGHT_BYTES

BUFFERS = (
    6  # rows of hidden states that are there at once: residual, normed, attention's, gathered, partial sums, spare
)


@dataclass(frozen=True)
class Memory:
    """Bytes of a rank's HBM.

    Attributes:
        experts: routed experts' weights, in their format.
        others: all other weights, bf16.
        cache: keys and values of the tokens.
        buffers: hidden states while a layer runs.
        capacity: of the rank, before the runtime takes its share.
    """

    experts: int
    others: int
    cache: int
    buffers: int
    capacity: int

    @property
    def needed(self) -> int:
        return self.experts + self.others + self.cache + self.buffers

    @property
    def fits(self) -> bool:
        return self.needed <= self.capacity


def memory_of(model: Transformer, layout: PrefillLayout, tokens: int, weights: str) -> Memory:
    """What a rank needs.

    Args:
        tokens: of all prompts.
        weights: format of the routed experts', a key of WEIGHT_BYTES.
    """
    moe, attention = model.moe, model.attention
    H, tp, ep = moe.H, layout.experts.tp, layout.experts.ep
    expert = 3 * H * moe.own_columns(tp) * WEIGHT_BYTES[weights]
    heads, kv_heads = layout.heads(model), layout.kv_heads(model)
    of_attention = attention.input_parameters(H, heads, kv_heads) + heads * attention.value_columns * H
    mlp = model.moe_layers * layout.own_columns(model.shared_columns)
    mlp += model.dense_layers * layout.own_columns(model.dense_columns)
    ends = ceil_div(model.vocabulary * (1 if model.tied else 2), layout.ranks) * H
    others = model.layers * of_attention + 3 * H * mlp + model.moe_layers * H * moe.E + ends
    return Memory(
        experts=int(model.moe_layers * (moe.E // ep) * expert),
        others=others * BF16_BYTES,
        cache=model.layers * ceil_div(tokens, layout.groups) * attention.cache_columns(kv_heads) * BF16_BYTES,
        buffers=BUFFERS * tokens * H * BF16_BYTES,
        capacity=layout.chip.rank_bytes(layout.lnc),
    )


def check_memory(model: Transformer, layout: PrefillLayout, tokens: int, weights: str) -> None:
    """A rank's HBM holds what it needs; the arguments are those of `memory_of`.

    Raises:
        RequestError: not so.
    """
    memory = memory_of(model, layout, tokens, weights)
    fix = "Take more ranks, or smaller weights."
    needed = f"{ceil_div(memory.needed, GIB)} GiB, {ceil_div(memory.experts, GIB)} of them experts"
    require(memory.fits, "memory", f"of a rank, {memory.capacity // GIB} GiB, holds its part of the model", needed, fix)
