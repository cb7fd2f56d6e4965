"""How each variant is called in both libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shapes import LayerShape

from comparison.layer_inputs import LayerInputs
from comparison.nkilib import NkiLibrary
from nkimoe import (
    BlockShardStrategy,
    MoECTEImplementation,
    MoECTESpec,
    ShardOnBlockConfig,
    SkipMode,
    moe_cte,
)

LARGEST_I_KEPT = 1024  # nki-library keeps an expert's weights (skip_weight) only where I is at most this
Arguments = dict[str, Any]


@dataclass(frozen=True)
class VariantCase:
    """One variant in the comparison: each library gets the options that suit it best.

    Attributes:
        ours, theirs: options beside the tensors; `theirs` may need the checkout's own classes.
    """

    name: str
    ours: Callable[[LayerShape], Arguments]
    theirs: Callable[[LayerShape, NkiLibrary], Arguments]
    with_conditions: bool = False

    def our_call(self, inputs: LayerInputs) -> tuple[Any, Arguments]:
        """nkimoe's kernel and its arguments."""
        arguments = {**self._tensors(inputs), **model_options(inputs.shape), "skip_dma": SkipMode(True, False)}
        return moe_cte, {**arguments, **self.ours(inputs.shape)}

    def their_call(self, inputs: LayerInputs, library: NkiLibrary) -> tuple[Any, Arguments]:
        """nki-library's kernel and its arguments."""
        arguments = {**self._tensors(inputs), **model_options(inputs.shape), "skip_dma": SkipMode(True, False)}
        return library.moe_cte, {**arguments, "spec": library.spec(self.name), **self.theirs(inputs.shape, library)}

    def _tensors(self, inputs: LayerInputs) -> Arguments:
        return {**inputs.tensors, **({"conditions": inputs.conditions} if self.with_conditions else {})}


def model_options(shape: LayerShape) -> Arguments:
    """Activation and clamps of the model; gpt-oss's (up + 1) sits in the bias, so the limits of up move with it."""
    options: Arguments = {"activation_function": shape.activation}
    if shape.limit is not None:
        options["gate_clamp_upper_limit"] = shape.limit
        options["up_clamp_upper_limit"] = shape.limit + 1
        options["up_clamp_lower_limit"] = 1 - shape.limit
    return options


def _ours(name: str) -> Callable[[LayerShape], Arguments]:
    return lambda shape: {"spec": MoECTESpec(MoECTEImplementation[name])}


def _halves(shape: LayerShape) -> Arguments:
    """Consecutive blocks on a core: an expert's blocks stay together."""
    config = ShardOnBlockConfig(block_sharding_strategy=BlockShardStrategy.HI_LO)
    return {"spec": MoECTESpec(MoECTEImplementation.shard_on_block, shard_on_block=config)}


def _keep_weights(shape: LayerShape, library: NkiLibrary) -> Arguments:
    return {"skip_dma": SkipMode(True, shape.I <= LARGEST_I_KEPT)}


def _nothing(shape: LayerShape, library: NkiLibrary) -> Arguments:
    return {}


CASES = {
    case.name: case
    for case in (
        VariantCase("shard_on_block", _halves, _keep_weights),
        VariantCase("shard_on_i", _ours("shard_on_i"), _nothing),
        VariantCase("shard_on_i_hybrid", _ours("shard_on_i_hybrid"), _nothing, with_conditions=True),
    )
}
