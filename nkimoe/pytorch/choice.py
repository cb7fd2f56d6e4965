# SPDX-License-Identifier: Apache-2.0
"""What `auto` chooses for a call from torch, by the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from nkimoe.choosing import ExpectedLoad, Fixed, Layer, LayerChoice, ranked
from nkimoe.planning.plan import Plan, make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.row_scales import ROW_SCALED
from nkimoe.planning.stand_in import Shape
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.variants import HYBRID, VARIANTS
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.flat_kernels import spec_of
from nkimoe.pytorch.options import AUTO, PLAIN, Options
from nkimoe.reference.roofline import WEIGHT_BYTES
from nkimoe.routing import static_block_count
from nkimoe.spec import BlockShardStrategy, MoECTEImplementation, Pairs, SkipMode
from nkimoe.weights import FP8_OF_TARGET, MX_FORMATS

HI_LO = BlockShardStrategy.HI_LO
WEIGHTS = ("gate_up_proj_weight", "down_proj_weight")
BIASES = ("gate_and_up_proj_bias", "down_proj_bias")
SCALES = ("gate_up_proj_scale", "down_proj_scale")

Shapes = tuple[tuple[str, Shape], ...]
"""Of the tensors of a call that do not depend on its blocks, by name."""


def called_as(options: Options) -> tuple[MoECTEImplementation, BlockShardStrategy]:
    """What a launch with decided options runs."""
    strategy = HI_LO if options.strategy == AUTO else BlockShardStrategy[options.strategy]
    return MoECTEImplementation[options.variant], strategy


def decided(call: Call, tensors: Mapping[str, Tensor]) -> Call:
    """The call of a launch, with variant and strategy for the blocks it has."""
    options = call.options
    if AUTO not in (options.variant, options.strategy):
        return call
    shapes = tuple((name, _shape(name, each, options)) for name, each in tensors.items() if name in _KEPT)
    choice = _chosen(call, shapes, tensors["block_to_expert"].numel())
    strategy = (choice.strategy or HI_LO).name
    return replace(call, options=replace(options, variant=choice.variant, strategy=strategy))


def block_size_of(call: Call, n_tokens: int, dtype: torch.dtype, weights: Mapping[str, Tensor]) -> int:
    """The slots of a block that suit a call with pairs, before there are blocks. Weights by name, as in `moe_cte`."""
    shapes = tuple((name, _shape(name, each, call.options)) for name, each in weights.items())
    hidden = Shape((n_tokens, weights[WEIGHTS[1]].shape[-1]), _name(dtype))
    return _chosen(call, (("hidden_states", hidden), *shapes), None).block_size


_KEPT = ("hidden_states", *WEIGHTS, *BIASES, *SCALES)


@lru_cache(maxsize=1024)  # layers of a model are alike
def _chosen(call: Call, shapes: Shapes, n_blocks: int | None) -> LayerChoice:
    """The best alternative, or the first one where none can be, so that the kernel says what is wrong.

    Args:
        n_blocks: that there are; None: as many as any routing of pairs needs.
    """
    by_name, options = dict(shapes), call.options
    T, E = by_name["hidden_states"].shape[0], by_name[WEIGHTS[1]].shape[0]

    def plan_of(choice: LayerChoice) -> Plan:
        N = n_blocks or static_block_count(T, call.choices or 1, E, choice.block_size)
        return _plan(call, by_name, choice, N)

    top_k = call.choices or _most_choices(T, E, n_blocks or 0, options.block_size or 1)
    weights = "bf16" if options.weights == PLAIN else options.weights.removesuffix("-e5m2")
    load, has_biases = ExpectedLoad(T, top_k, E, E * call.ep_degree), BIASES[0] in by_name
    layer = Layer(load, WEIGHT_BYTES[weights], has_biases, weights in MX_FORMATS, weights in ROW_SCALED)
    fixed = Fixed(
        None if options.variant == AUTO else MoECTEImplementation[options.variant], options.block_size,
        None if options.strategy == AUTO else BlockShardStrategy[options.strategy],
    )  # fmt: skip
    return ranked(layer, fixed, plan_of)[0].choice


def _most_choices(T: int, E: int, N: int, B: int) -> int:
    """Experts a token, if the blocks are as many as any routing of its pairs needs."""
    return min(E, max(1, round((N - E + 1) * B / max(1, T))))


def _plan(call: Call, shapes: Mapping[str, Shape], choice: LayerChoice, N: int) -> Plan:
    T, E, slots = shapes["hidden_states"].shape[0], shapes[WEIGHTS[1]].shape[0], N * choice.block_size
    tensors: dict[str, Any] = {**shapes, "token_position_to_id": Shape((slots,), "int32")}
    tensors |= {"block_to_expert": Shape((N,), "int32"), "expert_affinities_masked": None}
    if call.choices is None:
        tensors["expert_affinities_masked"] = Shape((T * E, 1), shapes["hidden_states"].dtype)
    else:
        tensors["pairs"] = Pairs(Shape((slots,), "int32"), Shape((slots,), "float32"), call.choices)
    if VARIANTS[choice.implementation].schedule == HYBRID:
        tensors["conditions"] = Shape((N + 1,), "int32")
    arguments = {
        **call.arguments(), **tensors, "block_size": choice.block_size, "compute_dtype": "bfloat16",
        "skip_dma": SkipMode(skip_token=True),
        "spec": spec_of(choice.implementation, choice.strategy or HI_LO, call.keeps).shared_by(
            call.ep_degree, T, call.top_k, choice.block_size
        ),
    }  # fmt: skip
    return make_plan(Request.from_arguments(arguments), call.options.cores, TARGETS[call.options.target])


def _shape(name: str, tensor: Tensor, options: Options) -> Shape:
    """Of weights that torch has no type for, the type that their integers stand for."""
    dtype = _name(tensor.dtype)
    if name in WEIGHTS and options.carries_weights:
        mx = MX_FORMATS.get(options.weights)
        dtype = FP8_OF_TARGET[options.target].name if mx is None else mx.nki
    return Shape(tuple(tensor.shape), dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
