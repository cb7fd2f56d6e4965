# SPDX-License-Identifier: Apache-2.0
"""Options of `nkimoe tune` that say which layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from nkimoe.errors import require
from nkimoe.models import MODELS
from nkimoe.ops.gemm_quantisation import FP8_W8A8, INT4_W4A16
from nkimoe.spec import ExpertAffinityScaleMode
from nkimoe.tuning.layer_key import EPILOGUES, LayerKey, buckets
from nkimoe.tuning.operand_types import INT4, Q_TYPES, OperandTypes, operand_types
from nkisim.command_help import OneOf, section

Command = Callable[..., Any]

DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
FP8 = "float8_e4m3"
TUNABLE = (*Q_TYPES, INT4_W4A16)  # quantisations that the table has a name for
ACT_TYPES = tuple(dict.fromkeys(name for name, _ in EPILOGUES))
LAYERS = section("Layers")
OPTIONS = (
    LAYERS("--model", "models", multiple=True, type=OneOf(list(MODELS)), help="Layers of these models."),
    LAYERS("--tp", type=click.IntRange(1), default=1, show_default=True, help="Ranks that share a model's I."),
    LAYERS(
        "--shape", "shapes", multiple=True, nargs=4, type=click.IntRange(1), metavar="H I E K",
        help="model_dim, inter_dim, expert, topk of a layer.",
    ),
    LAYERS("--tokens", multiple=True, type=click.IntRange(1), help="Up to a bucket. [default: 16 64 256 1024]"),
    LAYERS("--dtype", type=OneOf(list(DTYPES)), default="bf16", show_default=True),
    LAYERS("--quantization", type=OneOf(TUNABLE), default=TUNABLE[0], show_default=True),
    LAYERS("--group-size", type=click.IntRange(2), help="Rows of int4 weights with one scale."),
    LAYERS("--act-type", type=OneOf(ACT_TYPES), default="silu", show_default=True, help="Of shapes."),
    LAYERS("--one-projection", is_flag=True, help="Shapes of fused_moe_gemm without a gate: use_g1u1 is 0."),
    LAYERS("--doweight-stage1", is_flag=True, help="Weights multiply in the first projection."),
)  # fmt: skip
TOKENS = (16, 64, 256, 1024)


def layer_options(command: Command) -> Command:
    """Add them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def layers_of(options: Mapping[str, Any]) -> list[LayerKey]:
    """What they ask for, one a bucket of tokens.

    Raises:
        RequestError: options that contradict each other.
    """
    gated, act_type, types = not options["one_projection"], options["act_type"], _types(options)
    known = [name for name, of in EPILOGUES if of is gated]
    with_or_without = "without" if gated else "with"
    rule = f"is {', '.join(known)} {with_or_without} one projection"
    require(act_type in known, "act_type", rule, act_type, "Pick one of these.")
    fixed = DTYPES[options["dtype"]], *types, gated
    found = [(*sizes, act_type, *fixed, options["doweight_stage1"]) for sizes in options["shapes"]]
    for name in options["models"]:
        model = MODELS[name]
        sizes = model.H, model.own_columns(options["tp"]), model.E, model.K
        early = options["doweight_stage1"] or model.scaling is ExpertAffinityScaleMode.PRE_SCALE
        found.append((*sizes, "silu" if model.limit is None else "swiglu", *fixed, early))
    tokens = dict.fromkeys(buckets(each)[0] for each in options["tokens"] or TOKENS)
    return [LayerKey(each, *layer) for layer in found for each in tokens]


def _types(options: Mapping[str, Any]) -> OperandTypes:
    quantization, dtype, group_size = options["quantization"], DTYPES[options["dtype"]], options["group_size"]
    is_int4 = quantization == INT4_W4A16
    given = "None" if group_size is None else group_size
    fix = "Add or drop it."
    require(is_int4 == (group_size is not None), "group_size", f"comes with {INT4_W4A16}, and no other", given, fix)
    stored = INT4 if is_int4 else "int8" if quantization.startswith("int8") else dtype
    rows = "int8" if quantization == "int8_w8a8" else FP8 if quantization == FP8_W8A8 else None
    return operand_types(quantization, dtype, FP8 if quantization.startswith("fp8") else stored, rows, group_size)
