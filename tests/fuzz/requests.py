"""Random requests of the library, each beside its definition in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from support.case import Case
from support.expert_cases import assert_as_defined, layer, places_of_choices, simulated_activations
from support.gemm_cases import blocks_drawn, check_gemm, drawn, int4_drawn, int8_drawn, mx_drawn
from support.gradients import as_rows, golden, run_backward
from support.inputs import ROUTINGS, build_inputs
from support.launch import Array, Outcome, bounds_of, reference, run
from support.pairs import with_pairs
from support.tolerance import assert_close

from nkimoe import (
    ActFnType,
    BlockShardStrategy,
    ExpertAffinityScaleMode,
    MoECTEImplementation,
    QuantizationType,
    RequestError,
)
from nkimoe.ops import fused_experts
from nkimoe.planning.grouped_gemm.request import EPILOGUES
from nkimoe.reference import expert_ops
from nkimoe.reference.expert_ops import fused_experts_reference
from nkimoe.reference.gradient_tolerance import gradient_tolerance

DENSE = [each.name for each in MoECTEImplementation if not each.name.endswith(("_mx", "_mx_hybrid"))]
MX = [each.name for each in MoECTEImplementation if each.name not in DENSE]
COLUMNS = 16  # of fewer, a whole row may lie where an activation is the difference of nearly equal numbers
TOKENS_IN_FP16 = 100  # of fewer, some rows of gradients are subnormal throughout, with fewer bits than are counted
TOKENS = 8  # of fewer, the error is no average: all roundings that are counted may be of results as large as the last
FEW = 1000  # results, of which the error is no average: each may be rounded as far as the worst
DENSE_WEIGHTS = ("plain", "plain", "plain", "fp8-row", "fp8-static", "fp8-block", "int8")
OPTIONS: dict[str, tuple[Any, ...]] = {
    "padding_blocks": (0, 1, 3), "routing": tuple(ROUTINGS), "skip_token": (False,), "skip_weight": (True,),
    "cores": (1,), "dtype": ("float16",), "compute_dtype": ("float32",), "biases": ("none", "gate_up", "down"),
    "activation": tuple(ActFnType), "gate_upper": (0.5, 0.0), "gate_lower": (-0.5,), "up_upper": (1.0,),
    "up_lower": (-0.25,), "scaling": tuple(ExpertAffinityScaleMode), "strategy": tuple(BlockShardStrategy),
    "per_core_output": (True,), "non_overlapping": (True,), "accumulating": (False,), "multiply_on_i": (True,),
    "up_offset": (1.0,), "skip_gate": (True,), "shared_scales": (True,), "fp8_inputs": ("gate_up", "down", "both"),
    "int8_inputs": (True,), "hidden_scales": ("tokens", "experts"), "checkpoints": (True,), "shuffled": (True,),
    "static_blocks": (0, 1, 2), "conditions": (0, 1, 2), "carrier": (True,), "coded_rows": (True,),
    "packed_scales": (True,), "coarse_scales": (True,), "mx_scales": tuple(QuantizationType),
}  # fmt: skip


def sizes(rng: np.random.Generator) -> dict[str, int]:
    """Mostly odd ones."""
    E = int(rng.integers(1, 7))
    return {
        "T": int(rng.choice([1, 17, 60, 128, 150, int(rng.integers(1, 400))])), "H": 128 * int(rng.integers(1, 5)),
        "I": int(rng.choice([2, 16, 48, 80, 96, 128, 144, 208, 256, int(rng.integers(1, 400))])), "E": E,
        "K": int(rng.integers(1, min(E, 4) + 1)), "B": int(rng.choice([128, 128, 256, 48, 200])),
        "seed": int(rng.integers(2**31)),
    }  # fmt: skip


def case_of(rng: np.random.Generator, variants: list[str], **fixed: Any) -> Case:
    """Some options of some variant; many a combination is refused."""
    options = {n: tuple(v)[rng.integers(len(v))] for n, v in OPTIONS.items() if rng.random() < 0.08}
    made = Case(variant=str(rng.choice(variants)), **{**sizes(rng), **options, **fixed})
    if made.routing == "two_halves":
        made = replace(made, E=2 * made.K)
    if made.routing == "every_expert":
        made = replace(made, K=made.E)
    if made.variant not in ("shard_on_block", "shard_on_block_mx"):
        made = replace(made, per_core_output=False, non_overlapping=False)
    if not made.is_mx:
        made = replace(made, coded_rows=False, carrier=False, packed_scales=False, coarse_scales=False)
    return replace(made, H=512 * (1 + made.H // 300), I=max(made.I // 8 * 8, 32)) if made.is_mx else made


def forward(rng: np.random.Generator) -> None:
    """`moe_cte`, dense, beside the definition; some with a row for each choice."""
    case = case_of(rng, DENSE, weights=str(rng.choice(DENSE_WEIGHTS)))
    inputs = build_inputs(case)
    has_pairs = rng.random() < 0.15 and case.variant != "shard_on_i_dropping"
    judge(run(case, with_pairs(case, inputs) if has_pairs else inputs), reference(case, inputs))


def forward_mx(rng: np.random.Generator) -> None:
    """`moe_cte` in MX on Trn3."""
    case = case_of(rng, MX, weights=str(rng.choice(["mxfp4", "mxfp8", "mxfp8-e5m2"])), target="trn3")
    outcome = run(case)
    judge(outcome, reference(case, outcome.inputs))


def judge(outcome: Outcome, expected: Array) -> None:
    """Within the bounds of the definition; of few tokens, each within those of the worst."""
    bounds = bounds_of(outcome.case)
    if np.count_nonzero(expected.any(axis=1)) < TOKENS:
        bounds = replace(bounds, rel_l2=bounds.worst_row)
    assert_close(outcome.output.astype(np.float32), expected, bounds)


def backward(rng: np.random.Generator) -> None:
    """`moe_cte_backward` beside the golden gradients."""
    case = case_of(rng, ["shard_on_block"], compute_dtype="float32", hidden_scales="none")
    if case.T < TOKENS_IN_FP16:
        case = replace(case, dtype="bfloat16")
    gradients = run_backward(case)
    for name, expected in golden(gradients.arguments).items():
        found = gradients.found[name]
        assert (found.shape, found.dtype) == (expected.shape, gradients.arguments[name].dtype), name
        bounds = gradient_tolerance(name, case.computes_in, case.dtype)
        if np.count_nonzero(expected) < FEW:
            bounds = replace(bounds, rel_l2=bounds.worst_row)
        assert_close(*(as_rows(name, each.astype(np.float32), case.E) for each in (found, expected)), bounds)


def grouped_gemm(rng: np.random.Generator) -> None:
    """`fused_moe_gemm` in any format."""
    M, N, blocks, k = (int(rng.integers(least, most)) for least, most in ((1, 130), (COLUMNS, 200), (1, 9), (1, 4)))
    K, E, cores = int(rng.integers(1, 300)), k + int(rng.integers(0, 5)), int(rng.integers(1, 3))
    seed = int(rng.integers(2**31))
    makers: list[Callable[[], dict[str, Any]]] = [
        lambda: drawn(M, 2 * N, K, k, E, seed=seed),
        lambda: int8_drawn(M, 2 * N, K, k, E, str(rng.choice(["int8_w8a16", "int8_w8a8"]))),
        lambda: int4_drawn(M, 2 * N, 64 * blocks, k, E, int(rng.choice([32, 64])), bool(rng.random() < 0.5)),
        lambda: blocks_drawn(M, 2 * N, K, k, E, str(rng.choice(["fp8_block_w8a16", "fp8_block_w8a8"]))),
        lambda: mx_drawn(M + 40, 2 * N + 8, 32 * blocks, k, E, str(rng.choice(["mxfp4", "mxfp8"]))),
    ]
    check_gemm(cores, **makers[rng.integers(len(makers))](), epilogue=EPILOGUES[rng.integers(len(EPILOGUES))])


def experts_int8(rng: np.random.Generator) -> None:
    """`fused_experts` of int8 codes."""
    T, N, K, E = (int(rng.integers(1, most)) for most in (80, 90, 260, 9))
    dtype = str(rng.choice(["bfloat16", "float16"]))
    arguments = layer(T, N, K, E, int(rng.integers(1, min(E, 3) + 1)), dtype, int(rng.integers(2**31)))
    found = fused_experts[int(rng.integers(1, 3))](**arguments)
    with mock.patch.object(expert_ops, "ACTIVATIONS", simulated_activations()):
        expected = fused_experts_reference(**arguments)
        assert_as_defined(found, expected, places_of_choices(fused_experts_reference, arguments))


REQUESTS: dict[Callable[[np.random.Generator], None], int] = {
    forward: 3, forward_mx: 2, backward: 2, grouped_gemm: 1, experts_int8: 1,
}  # fmt: skip


def refusable(of: Callable[[np.random.Generator], None], rng: np.random.Generator, _: Path) -> str:
    """A case whose request may be refused by name."""
    try:
        of(rng)
    except RequestError:
        return "refused"
    return "right"
