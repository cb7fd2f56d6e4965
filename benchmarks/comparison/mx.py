"""The three MX variants on Trn3, next to nki-library's kernel functions: its `moe_cte` reaches only one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from shapes import MX_SHAPES, LayerShape

from comparison.layer_inputs import BF16, Array, LayerInputs, blocks_with_tokens
from comparison.nkilib import MOE_CTE, NkiLibrary
from comparison.variants import Arguments, Call, VariantCase, split_by_block
from nkimoe import (
    ExpertAffinityScaleMode,
    MoECTEImplementation,
    MoECTESpec,
    moe_cte,
)
from nkimoe.cli.packed_data import kind, weight_shapes
from nkimoe.models import Model
from nkimoe.reference.mx import moe_cte_mx_reference
from nkimoe.routing import RoutingRule
from nkimoe.weights import MX_FORMATS, Mx, experts_of, pack

NO_LIMIT = 1e30
PLAIN = ("gate_up_proj_weight", "down_proj_weight", "gate_and_up_proj_bias", "down_proj_bias")


@dataclass(frozen=True)
class MxCase(VariantCase):
    """A variant with MX weights: those of gpt-oss as they are published, MXFP4; otherwise MXFP8.

    Attributes:
        module, function: nki-library's kernel.
        inner: it takes multiples of this for I; the rest is padded with zeros, as in its own tests.
        unrolled: both get only the blocks that hold tokens, and unroll them: nki-library loops with a `while` over
            a register, which NKI 0.7 does not trace any more.
    """

    target: str = "trn3"
    shapes: Mapping[str, LayerShape] = field(default_factory=lambda: MX_SHAPES)
    module: str = ""
    function: str = ""
    inner: int = 1
    unrolled: bool = False

    def weights(self, shape: LayerShape) -> str:
        return "mxfp4" if shape.name.startswith("gpt-oss") else "mxfp8"

    def our_call(self, inputs: LayerInputs) -> Call:
        return moe_cte, {**self._common(inputs), **self._packed(inputs, 1), **self.ours(inputs.shape)}

    def their_calls(self, inputs: LayerInputs, library: NkiLibrary) -> Iterator[Call]:
        packed = self._packed(inputs, self.inner)
        no_biases = _repeated(self.weights(inputs.shape), inputs.shape, packed["gate_up_proj_weight"].shape[-1], True)
        arguments = {**no_biases, **packed, **self._common(inputs)}  # theirs reads biases even if there are none
        arguments["expert_affinities_scaling_mode"] = ExpertAffinityScaleMode.POST_SCALE
        kernel = library.function(f"{MOE_CTE}.{self.module}", self.function)
        yield kernel, {**arguments, **self.theirs(inputs.shape, library)}

    def reference(self, inputs: LayerInputs) -> Array:
        """Activations quantised as the hardware does."""
        _, arguments = self.our_call(inputs)
        for name in ("skip_dma", "conditions"):
            arguments.pop(name, None)
        return moe_cte_mx_reference(**arguments, skip_token=True)

    def _common(self, inputs: LayerInputs) -> Arguments:
        common = {name: value for name, value in super()._common(inputs).items() if name not in PLAIN}
        return {**common, **blocks_with_tokens(inputs)} if self.unrolled else common

    def _packed(self, inputs: LayerInputs, multiple: int) -> dict[str, Any]:
        """The weights, I padded with zeros to a multiple; shapes only if the inputs are."""
        shape, plain = inputs.shape, [inputs.tensors.get(name) for name in PLAIN]
        more = -shape.I % multiple
        if not any(plain[0].strides):
            return _repeated(self.weights(shape), shape, shape.I + more)
        gate_up, down, bias, down_bias = plain
        gate_up = np.pad(gate_up, ((0, 0), (0, 0), (0, 0), (0, more)))
        down = np.pad(down, ((0, 0), (0, more), (0, 0)))
        bias = None if bias is None else np.pad(bias, ((0, 0), (0, 0), (0, more)))
        return pack(experts_of(gate_up, down, bias, down_bias), Mx(self.weights(shape)))


def _repeated(weights: str, shape: LayerShape, I: int, biases: bool | None = None) -> dict[str, Any]:
    """Tensors of the right shapes that take no memory."""
    values = {"weight": np.zeros((), MX_FORMATS[weights].packed), "scale": np.full((), 127, np.uint8)}
    values["bias"] = np.zeros((), BF16)
    has_biases = shape.biases if biases is None else biases
    model = Model(shape.H, I, shape.experts, RoutingRule(shape.K), shape.name, biases=has_biases)
    sizes = weight_shapes(weights, model, shape.H, I)
    return {name: np.broadcast_to(values[kind(name)], size) for name, size in sizes.items()}


def _ours(name: str) -> Callable[[LayerShape], Arguments]:
    return lambda shape: {"spec": MoECTESpec(MoECTEImplementation[name])}


def _ours_on_block(shape: LayerShape) -> Arguments:
    return {"spec": split_by_block(MoECTEImplementation.shard_on_block_mx, shape)}


def _limits(shape: LayerShape, library: NkiLibrary) -> Arguments:
    """Limits that limit nothing, where the model has none: theirs passes no operator then, and is refused."""
    names = [f"{which}_clamp_{side}_limit" for which in ("gate", "up") for side in ("upper", "lower")]
    return {} if shape.limit else {name: NO_LIMIT if "upper" in name else -NO_LIMIT for name in names}


CASES = (
    MxCase(
        "shard_on_block_mx", _ours_on_block, _limits, block_sizes=(256, 128),
        module="bwmm_shard_on_block_mx", function="bwmm_shard_on_block_mx", unrolled=True,
    ),
    MxCase(
        "shard_on_i_mx", _ours("shard_on_i_mx"), _limits, module="bwmm_shard_on_I_mx",
        function="blockwise_mm_shard_intermediate_mx", inner=1024,
    ),
    MxCase(
        "shard_on_i_mx_hybrid", _ours("shard_on_i_mx_hybrid"), _limits, with_conditions=True,
        module="bwmm_shard_on_I_mx", function="blockwise_mm_shard_intermediate_mx_hybrid", inner=1024,
    ),
)  # fmt: skip
