"""One variant as both libraries call it, and what its layers look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shapes import SHAPES, LayerShape

from comparison.layer_inputs import Array, LayerInputs, draw, reduced
from comparison.nkilib import NkiLibrary
from nkimoe import BlockShardStrategy, MoECTEImplementation, MoECTESpec, ShardOnBlockConfig, SkipMode, moe_cte
from nkimoe.planning.block_size import block_size_for
from nkimoe.reference import moe_cte_reference
from nkimoe.reference.roofline import layer_work, roofline

FEW_CHOICES = 2  # of a token: rows of all choices are about as much as old rows that are read
Arguments = dict[str, Any]
Call = tuple[Any, Arguments]


@dataclass(frozen=True)
class VariantCase:
    """One variant in the comparison: each library gets the options that suit it best.

    Attributes:
        ours, theirs: options beside the tensors; `theirs` may need the checkout's own classes.
        with_conditions: both are told which blocks hold tokens.
        block_sizes: what each library chooses from, the fastest for itself; empty: the shape's own.
        sized: a published shape as this variant runs it, with the number of tokens asked for.
        draw: the inputs of a layer, with values or as shapes.
        target, shapes: where it is compared, and on which layers.
    """

    name: str
    ours: Callable[[LayerShape], Arguments]
    theirs: Callable[[LayerShape, NkiLibrary], Arguments]
    with_conditions: bool = False
    block_sizes: tuple[int, ...] = ()
    sized: Callable[[LayerShape, int | None], LayerShape] = lambda shape, tokens: replace(shape, T=tokens or shape.T)
    draw: Callable[[LayerShape, bool], LayerInputs] = draw
    target: str = "trn2"
    shapes: Mapping[str, LayerShape] = field(default_factory=lambda: SHAPES)

    @property
    def implementation(self) -> str:
        """nkimoe's variant; several kernels of nki-library may stand beside one."""
        return self.name

    def weights(self, shape: LayerShape) -> str:
        """The format of the weights, as `nkimoe.reference.roofline` names it."""
        return "bf16"

    def layers(self, shape: LayerShape, tokens: int | None) -> Iterator[LayerInputs]:
        """The layer in each of the block sizes, without values."""
        sized = self.sized(shape, tokens)
        for block_size in self.block_sizes or (sized.B,):
            yield self.draw(replace(sized, B=block_size), False)

    def small_layer(self, shape: LayerShape) -> LayerInputs:
        """Few tokens and experts, with values."""
        return self.draw(self.sized(reduced(shape), reduced(shape).T), True)

    def our_call(self, inputs: LayerInputs) -> Call:
        """nkimoe's kernel and its arguments."""
        return moe_cte, {**self._common(inputs), **self.ours(inputs.shape)}

    def our_fastest_call(self, inputs: LayerInputs) -> Call:
        """With slots that hold pairs, where all experts are here."""
        kernel, arguments = self.our_call(inputs)
        if inputs.choices is None:
            return kernel, arguments
        slots, pairs = arguments["token_position_to_id"].size, inputs.choices
        pairs = replace(pairs, positions=pairs.positions[:slots], weights=pairs.weights[:slots])
        return kernel, {**arguments, "expert_affinities_masked": None, "pairs": pairs}

    def our_calls(self, inputs: LayerInputs) -> Iterator[Call]:
        """Those that may be the fastest: with pairs; where tokens have few choices, also with tokens."""
        yield self.our_fastest_call(inputs)
        if inputs.choices is not None and 1 < inputs.shape.K <= FEW_CHOICES:
            yield self.our_call(inputs)

    def our_layers(self, shape: LayerShape, tokens: int | None) -> Iterator[LayerInputs]:
        """The layer in each of the block sizes, and in the one that suits its pairs."""
        layers = list(self.layers(shape, tokens))
        yield from layers
        s = layers[0].shape
        suited = block_size_for(layers[0].pairs, s.experts)
        if self.block_sizes and suited not in self.block_sizes:
            yield self.draw(replace(s, B=suited), False)

    def their_calls(self, inputs: LayerInputs, library: NkiLibrary) -> Iterator[Call]:
        """nki-library's kernel and its arguments, once for each set of options that may suit it best."""
        own = {"spec": library.spec(self.name), **self.theirs(inputs.shape, library)}
        yield library.moe_cte, {**self._common(inputs), **own}

    def lacking(self, library: NkiLibrary) -> str | None:
        """Why this checkout cannot be compared; None where it can."""
        return None

    def reference(self, inputs: LayerInputs) -> Array:
        """The right output, fp32."""
        _, arguments = self.our_call(inputs)
        options = {k: v for k, v in arguments.items() if k not in ("spec", "skip_dma", "conditions")}
        return moe_cte_reference(**options, skip_token=True)

    def roofline_us(self, inputs: LayerInputs, cores: int) -> float:
        """The project's one definition, for the (token, expert) pairs this rank has."""
        s, weights = inputs.shape, self.weights(inputs.shape)
        work = layer_work(s.T, inputs.pairs, s.H, s.I, inputs.touched, weights)
        return roofline(work, self.target, cores, weights).latency_us

    def _common(self, inputs: LayerInputs) -> Arguments:
        conditions = {"conditions": inputs.conditions} if self.with_conditions else {}
        return {**inputs.tensors, **conditions, **model_options(inputs.shape), "skip_dma": SkipMode(True, False)}


def split_by_block(
    implementation: MoECTEImplementation, shape: LayerShape, strategy: BlockShardStrategy = BlockShardStrategy.HI_LO
) -> MoECTESpec:
    """Cores take blocks, unless told otherwise consecutive ones, so that an expert's stay together."""
    config = ShardOnBlockConfig(block_sharding_strategy=strategy, top_k=shape.K, ep_degree=shape.E // shape.experts)
    return MoECTESpec(implementation, shard_on_block=config)


def model_options(shape: LayerShape) -> Arguments:
    """Activation, clamps and scaling of the model.

    gpt-oss's (up + 1) sits in the bias, so the limits of up move with it.
    """
    options: Arguments = {
        "activation_function": shape.activation,
        "expert_affinities_scaling_mode": shape.scaling,
    }
    if shape.limit is not None:
        options["gate_clamp_upper_limit"] = shape.limit
        options["up_clamp_upper_limit"] = shape.limit + 1
        options["up_clamp_lower_limit"] = 1 - shape.limit
    return options
