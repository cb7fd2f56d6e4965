# SPDX-License-Identifier: Apache-2.0
"""Every static rejection: shapes, dtypes, target and combinations, before the first instruction.

Each rule is a function of (request, problem, variant, target) that raises `RequestError`. `RULES` lists them in the
order they are tried, for each numerics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nkimoe.errors import RequestError, require
from nkimoe.planning.features import FEATURES, WEIGHT_FORMS, Feature
from nkimoe.planning.hidden_scales import hidden_scales
from nkimoe.planning.int8_rules import int8_activations
from nkimoe.planning.mx.validate import mx_options, mx_quantisation, mx_shapes, mx_sizes
from nkimoe.planning.problem import Problem
from nkimoe.planning.quantization import LARGEST_FP8
from nkimoe.planning.quantized_weights import quantisation
from nkimoe.planning.request import COMPUTE_DTYPES, Request
from nkimoe.planning.slot_pairs import slot_pairs
from nkimoe.planning.targets import Target
from nkimoe.planning.variants import BLOCKS, DENSE, DROPPING, HYBRID, MX, VARIANTS, Variant

TOKEN_DTYPES = ("bfloat16", "float16")
ALL_OF_ONE_DTYPE = (
    "expert_affinities_masked",
    "gate_up_proj_weight",
    "down_proj_weight",
    "gate_and_up_proj_bias",
    "down_proj_bias",
)
MAX_HIDDEN = 8192

DEQUANTISE = "nkimoe.weights.dense_arguments dequantises the weights for the dense implementations."

Rule = Callable[[Request, Problem, Variant, Target], None]


def choose_variant(request: Request) -> Variant:
    """The variant a request names.

    Raises:
        RequestError: its implementation is not available.
    """
    variant = VARIANTS[request.spec.implementation]
    if not variant.is_available:
        ready = ", ".join(v.name for v in VARIANTS.values() if v.is_available)
        raise RequestError(
            "spec", "names an available implementation", f"{variant.name}: {variant.status}", f"Use {ready}."
        )
    return variant


def validate(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """Raise RequestError for the first rule the request breaks."""
    for rule in RULES[variant.numerics]:
        rule(request, problem, variant, target)


def _targets(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    require(
        target.name in variant.targets, "spec", f"{variant.name} runs on {', '.join(variant.targets)}", target.name,
        "Choose an implementation of that target (`nkimoe variants`)"
        + (f". {DEQUANTISE}" if variant.is_mx else "."),
    )  # fmt: skip


def _dtypes(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    dtype = str(request.output_dtype)
    require(dtype in TOKEN_DTYPES, "hidden_states", "is bfloat16 or float16", dtype, "Cast it.")
    for name in ALL_OF_ONE_DTYPE:
        tensor = getattr(request, name)
        if tensor is not None:
            actual = str(tensor.dtype)
            is_weight = name.endswith("_weight")
            if not is_weight or (actual not in (*LARGEST_FP8, "int8") and not variant.is_mx):
                require(actual == dtype, name, f"has the dtype of hidden_states, {dtype}", actual, "Cast it.")
    for name in ("token_position_to_id", "block_to_expert"):
        actual = str(getattr(request, name).dtype)
        require(actual == "int32", name, "is int32", actual, "Cast it.")
    compute = str(request.compute_dtype)
    require(
        compute in COMPUTE_DTYPES,
        "compute_dtype",
        f"is one of {', '.join(COMPUTE_DTYPES)}",
        compute,
        "Use bfloat16.",
    )


def _affinities(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    given = (request.expert_affinities_masked, request.pairs, request.added)
    require(
        request.has_packed_affinities or any(each is not None for each in given), "expert_affinities_masked",
        "is None only where hidden states are MXFP8 rows that hold them", "None", "Pass [T' * E, 1].",
    )  # fmt: skip


def _sizes(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    p = problem
    hint = "Pad with zeros: extra rows of weights and columns of hidden_states change nothing."
    require(
        p.H % 128 == 0 and 0 < p.H <= MAX_HIDDEN,
        "hidden_states",
        "H is a multiple of 128 up to 8192",
        f"H={p.H}",
        hint,
    )
    require(p.E > 0, "gate_up_proj_weight", "has at least one expert", "E=0", "Skip the call on ranks without experts.")
    require(p.cores <= p.I, "down_proj_weight", "I has a column for each core", f"I={p.I}", hint)
    fix = "Skip the call for empty batches."
    require(p.T > 0, "hidden_states", "has at least one token", f"{p.rows} rows", fix)
    require(p.N > 0, "token_position_to_id", "has at least one block", "no slots", fix)
    require(
        p.rows * p.E < 2**31,
        "expert_affinities_masked",
        "row numbers fit int32",
        f"{p.rows} x {p.E}",
        "Split T.",
    )


def _shapes(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    p = problem
    expected = {
        **_WEIGHT_SHAPES[variant.numerics](p),
        "expert_affinities_masked": ((p.rows * p.E, 1), (p.rows * p.E,)),
        "token_position_to_id": ((p.N * p.B,), (p.N * p.B, 1)),
        "block_to_expert": ((p.N,), (p.N, 1)),
        "down_proj_bias": tuple((p.E, *one, p.H // (request.down_bias_tp_degree or 1)) for one in ((), (1,))),
    }
    for name, shapes in expected.items():
        tensor = getattr(request, name)
        if tensor is not None:
            actual = tuple(int(n) for n in tensor.shape)
            wanted = " or ".join(str(s) for s in shapes)
            require(
                actual in shapes, name, f"has shape {wanted}", actual,
                f"T'={p.rows}, H={p.H} come from hidden_states, E, I from the weights, B={p.B} is block_size, "
                f"N={p.N} is the number of slots over B.",
            )  # fmt: skip


def _dense_shapes(p: Problem) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Of the weights and the bias of gate and up."""
    return {
        "gate_up_proj_weight": ((p.E, p.H, 2, p.I),),
        "down_proj_weight": ((p.E, p.I, p.H),),
        "gate_and_up_proj_bias": ((p.E, 2, p.I),),
    }


_WEIGHT_SHAPES = {DENSE: _dense_shapes, MX: mx_shapes}


def _clamps(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    for which, (upper, lower) in (("gate", request.gate_clamp), ("up", request.up_clamp)):
        for side, limit in (("upper", upper), ("lower", lower)):
            is_number = isinstance(limit, (int, float)) and not isinstance(limit, bool) and not math.isnan(limit)
            require(
                limit is None or is_number,
                f"{which}_clamp_{side}_limit",
                "is a number or None",
                repr(limit),
                "Fix it.",
            )
        ordered = upper is None or lower is None or lower <= upper
        require(
            ordered,
            f"{which}_clamp_lower_limit",
            "is not above the upper limit",
            f"{lower} > {upper}",
            "Swap them.",
        )


def _features(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    _refuse(request, variant, FEATURES)


def check_weight_form(request: Request, variant: Variant) -> None:
    """Dense or MX weights, as the variant takes them. Comes before sizes, which are read from the weights.

    Raises:
        RequestError: they have the other form.
    """
    _refuse(request, variant, WEIGHT_FORMS)


def _refuse(request: Request, variant: Variant, features: tuple[Feature, ...]) -> None:
    """What a variant cannot honour is refused, never dropped."""
    for feature in features:
        refusal = feature.refused.get(variant.implementation)
        if refusal is not None and feature.is_asked(request):
            raise RequestError(
                feature.argument, f"is not for {variant.name}, because {refusal.why}", "a request for it", refusal.fix
            )


def _hybrid(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """`conditions` says how far the device loop goes."""
    is_optional = variant.split == BLOCKS  # then every block runs
    if is_optional:
        _counts(request.block_options, problem)
    if variant.schedule != HYBRID or (is_optional and request.conditions is None):
        return
    N, conditions = problem.N, request.conditions
    require(
        conditions is not None, "conditions", f"says which blocks {variant.name} computes", "None",
        "Pass BlockMapping.conditions, or use shard_on_i.",
    )  # fmt: skip
    shape = tuple(int(n) for n in conditions.shape)
    require(
        shape in ((N,), (N + 1,), (N + 2,)), "conditions", f"has {N}, {N + 1} or {N + 2} elements", shape,
        "One for each block, then zeros.",
    )  # fmt: skip
    require(str(conditions.dtype) == "int32", "conditions", "is int32", str(conditions.dtype), "Cast it.")
    given: Any = request.spec.shard_on_I and request.spec.shard_on_I.num_static_block
    is_count = isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= N
    require(
        given is None or is_count, "spec.shard_on_I.num_static_block", f"is a number of blocks from 0 to {N}",
        repr(given), "None derives it.",
    )  # fmt: skip


def _counts(options: Any, problem: Problem) -> None:
    for name, least, most in (
        ("n_static_blocks", -1, problem.N), ("n_dynamic_blocks", -1, None), ("top_k", 1, None), ("ep_degree", 1, None),
    ):  # fmt: skip
        value = getattr(options, name)
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= least
        require(
            is_count and (most is None or value <= most), f"spec.shard_on_block.{name}",
            f"is an int from {least}" + ("" if most is None else f" to {most}"), repr(value), "-1 derives it."
            if least < 0 else "Use 1.",
        )  # fmt: skip


def _dropping(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    require(
        variant.schedule != DROPPING or problem.N == problem.E, "block_to_expert",
        f"has one block an expert for {variant.name}", f"{problem.N} blocks for {problem.E} experts",
        "Use shard_on_i for blocks of any number.",
    )  # fmt: skip


def _checkpoints(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    p = problem
    require(
        request.down_activations is None or not request.affinity_multiplies_on_i, "down_activations",
        "is not saved with expert_affinity_multiply_on_I, where down has no results without affinity", "a buffer",
        "Drop it.",
    )  # fmt: skip
    shapes = {"gate_up_activations_T": (p.N, 2, p.I, p.B), "down_activations": (p.N, p.B, p.H)}
    for name, wanted in shapes.items():
        buffer = getattr(request, name)
        if buffer is not None:
            require(hasattr(buffer, "shape"), name, "is a tensor", type(buffer).__name__, "Pass an array.")
            shape = tuple(int(n) for n in buffer.shape)
            require(shape == wanted, name, f"has shape {wanted}", shape, "Reshape it.")
            dtype = str(buffer.dtype)
            require(dtype in COMPUTE_DTYPES, name, f"is {', '.join(COMPUTE_DTYPES)}", dtype, "Cast it.")


def _sums(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    dtype = request.accumulation_dtype
    require(
        dtype is None or str(dtype) in COMPUTE_DTYPES, "accumulation_dtype", f"is one of {', '.join(COMPUTE_DTYPES)}",
        str(dtype), "Use float32.",
    )  # fmt: skip


def _offset(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    is_number = isinstance(request.up_offset, (int, float)) and not isinstance(request.up_offset, bool)
    require(
        is_number and math.isfinite(request.up_offset), "up_offset", "is a number", repr(request.up_offset), "Fix it."
    )


def _output(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    config: Any = request.spec.shard_on_block
    if config is None:
        return
    require(
        not config.per_core_output or request.is_tensor_update_accumulating, "spec.shard_on_block.per_core_output",
        "needs is_tensor_update_accumulating", "False", "Use [T', H] output.",
    )  # fmt: skip
    require(
        not (config.per_core_output and config.non_overlapping_shards), "spec.shard_on_block.per_core_output",
        "excludes non_overlapping_shards, which writes one output", "both", "Choose one.",
    )  # fmt: skip
    require(
        not config.non_overlapping_shards or request.conditions is None, "spec.shard_on_block.non_overlapping_shards",
        "excludes conditions, on which the blocks of a core depend", "both", "Choose one.",
    )  # fmt: skip


def _bias_of_a_rank(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """Comes before shapes, which depend on it."""
    degree, rank = request.down_bias_tp_degree, request.down_bias_tp_rank
    if degree is None and rank is None:
        return
    is_degree = isinstance(degree, int) and not isinstance(degree, bool) and degree > 0
    require(
        is_degree and problem.H % (degree or 1) == 0, "down_bias_tp_degree", f"divides H={problem.H}", repr(degree),
        "Give it together with down_bias_tp_rank, or neither.",
    )  # fmt: skip
    is_rank = isinstance(rank, int) and not isinstance(rank, bool) and 0 <= rank < (degree or 1)
    require(is_rank, "down_bias_tp_rank", f"is a rank from 0 to {(degree or 1) - 1}", repr(rank), "Fix it.")
    require(
        request.down_proj_bias is not None, "down_bias_tp_degree", "says which columns down_proj_bias is for",
        "no down_proj_bias", "Drop it.",
    )  # fmt: skip


_COMMON_RULES: tuple[Rule, ...] = (
    _affinities,
    _clamps,
    _offset,
    _features,
    _hybrid,
    _dropping,
    _checkpoints,
    _sums,
    _output,
    slot_pairs,
)
RULES: dict[str, tuple[Rule, ...]] = {
    DENSE: (
        _targets,
        _dtypes,
        _sizes,
        _bias_of_a_rank,
        _shapes,
        quantisation,
        int8_activations,
        hidden_scales,
        *_COMMON_RULES,
    ),
    MX: (_targets, _dtypes, _sizes, mx_sizes, _bias_of_a_rank, _shapes, mx_options, mx_quantisation, *_COMMON_RULES),
}
