"""Seeded tensors of a case, and the routings that deserve a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from nkimoe import QuantizationType
from nkimoe.routing import build_block_mapping, scatter_affinities
from nkimoe.weights import MX_FORMATS, Mx, as_carrier, experts_of, natural_layout, pack, pack_scales, quantize_rows
from nkimoe.weights.block_scales import spread_blocks
from support.case import Case

Array = npt.NDArray[Any]
DTYPES: dict[str, Any] = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}
FP8: dict[str, Any] = {name: getattr(ml_dtypes, name) for name in ("float8_e4m3", "float8_e4m3fn", "float8_e5m2")}
SMALLEST_WEIGHT = 0.2  # of a routed pair before normalisation: far from underflow in fp16


def build_inputs(case: Case) -> dict[str, Any]:
    """The tensors of `moe_cte`, by argument name; biases only where the case has them."""
    inputs = _inputs(case)
    if case.bias_degree > 1:
        width = case.H // case.bias_degree
        own = slice(case.bias_rank * width, (case.bias_rank + 1) * width)
        inputs["down_proj_bias"] = np.ascontiguousarray(inputs["down_proj_bias"][:, own])
    return inputs


def _inputs(case: Case) -> dict[str, Any]:
    """The down bias is whole."""
    rng = np.random.default_rng(case.seed)
    expert_ids = ROUTINGS[case.routing](case, rng)
    draw = DRAWS[case.values]
    sizes = {
        "hidden_states": (case.T, case.H),
        "gate_up_proj_weight": (case.E, case.H, 2, case.I),
        "down_proj_weight": (case.E, case.I, case.H),
        "gate_and_up_proj_bias": (case.E, 2, case.I),
        "down_proj_bias": (case.E, case.H),
    }
    tensors = {name: draw(rng, name, shape).astype(DTYPES[case.dtype]) for name, shape in sizes.items()}
    if case.biases not in ("both", "gate_up"):
        del tensors["gate_and_up_proj_bias"]
    if case.biases not in ("both", "down"):
        del tensors["down_proj_bias"]
    if not case.skip_token:
        tensors["hidden_states"] = np.concatenate(
            [tensors["hidden_states"], np.zeros_like(tensors["hidden_states"][:1])]
        )
    if case.is_mx:
        routing = route(case, expert_ids, _weights(case, rng, expert_ids.shape))
        if case.coded_rows:
            packed = routing["expert_affinities_masked"] if case.packed_affinities else None
            tensors["hidden_states"] = quantize_rows(tensors["hidden_states"], affinities=packed)
        if case.packed_affinities:
            routing["expert_affinities_masked"] = None
        return {**_mx(case, tensors), **routing}
    if case.hidden_scales != "none":
        tensors.update(_hidden_scales(case))
    if case.weights != "plain":
        quantised = _in_blocks if case.weights.startswith("fp8-block") else _quantised
        tensors.update(quantised(case, tensors))
    return {**tensors, **route(case, expert_ids, _weights(case, rng, expert_ids.shape))}


def _hidden_scales(case: Case) -> dict[str, Any]:
    """Of every row of the hidden states, or of every expert."""
    rng, rows = np.random.default_rng(case.seed + 2), case.T + (not case.skip_token)
    is_of_tokens = case.hidden_scales == "tokens"
    return {
        "gate_up_hidden_scale": rng.uniform(0.5, 2, (rows, 1) if is_of_tokens else (case.E, 2, 1)).astype(np.float32),
        "down_hidden_scale": rng.uniform(0.5, 2, (rows, 1) if is_of_tokens else (case.E, 1)).astype(np.float32),
    }


def _in_blocks(case: Case, tensors: dict[str, Any]) -> dict[str, Any]:
    """fp8 weights with scales of blocks: of random sign and of any mantissa, which differ from block to block."""
    result: dict[str, Any] = {}
    size, rng = int(case.weights.removeprefix("fp8-block") or 128), np.random.default_rng(case.seed + 1)
    for which in ("gate_up", "down"):
        weight = tensors[f"{which}_proj_weight"].astype(np.float32)
        _, rows, *matrices, columns = weight.shape
        grid = (1 if case.shared_scales else case.E, -(-rows // size), *matrices, -(-columns // size))
        scale = (rng.uniform(0.5, 2, grid) * rng.choice([-1, 1], grid) * np.abs(weight).max() / 100).astype(np.float32)
        spread = np.stack([spread_blocks(each, weight.shape[1:], size) for each in scale])
        result[f"{which}_proj_weight"] = (weight / spread).astype(FP8[case.fp8])
        result[f"{which}_proj_scale"] = np.repeat(scale[..., None], 128, -1) if size == 256 else scale
    return result


def _quantised(case: Case, tensors: dict[str, Any]) -> dict[str, Any]:
    """Weights as fp8 or int8, with scales that use the whole range, and scales of activations that saturate some."""
    result: dict[str, Any] = {}
    for which, matrices in (("gate_up", 2), ("down", 1)):
        weight = tensors[f"{which}_proj_weight"].astype(np.float32)
        rows = weight.reshape(case.E, weight.shape[1], matrices, -1)
        axes = (1, 3) if case.weights == "fp8-static" else (1,)
        scale = np.abs(rows).max(axis=(0, *axes) if case.shared_scales else axes, keepdims=True)
        scale = (scale / (127 if case.weights == "int8" else float(ml_dtypes.finfo(FP8[case.fp8]).max))).astype(
            np.float32
        )
        codes = (
            np.rint(rows / scale).astype(np.int8) if case.weights == "int8" else (rows / scale).astype(FP8[case.fp8])
        )
        result[f"{which}_proj_weight"] = codes.reshape(weight.shape)
        shape = (-1, matrices, 1) if which == "gate_up" else (-1, 1)
        result[f"{which}_proj_scale"] = scale.reshape(shape if case.weights == "fp8-static" else (len(scale), 1, -1))
        if case.fp8_inputs in (which, "both"):
            result[f"{which}_in_scale"] = np.linspace(0.01, 0.02, case.E, dtype=np.float32)[:, None]
    return result


def _mx(case: Case, tensors: dict[str, Any]) -> dict[str, Any]:
    """The weights packed; with scales for a matrix or a column, all block scales are 1."""
    named = ("gate_up_proj_weight", "down_proj_weight", "gate_and_up_proj_bias", "down_proj_bias")
    gate_up, down, *biases = (tensors.pop(name, None) for name in named)
    if case.mx_scales is QuantizationType.MX:
        packed = pack(experts_of(gate_up, down, *biases), Mx(case.weights))
        if case.coarse_scales:
            packed |= {name: _coarse(case, packed[name]) for name in ("gate_up_proj_scale", "down_proj_scale")}
        if case.packed_scales:
            packed |= {name: pack_scales(packed[name]) for name in ("gate_up_proj_scale", "down_proj_scale")}
    else:
        packed = _with_one_scale(case, gate_up.astype(np.float32), down.astype(np.float32), biases)
    if case.carrier:
        packed |= {name: as_carrier(packed[name]) for name in named[:2]}
    return {**tensors, **packed}


def _coarse(case: Case, scales: Array) -> Array:
    """Other scales of about the same size, one for 32 packed rows and 128 columns."""
    E, _, *others, columns = scales.shape
    shape = (E, 4, *others, -(-columns // 128))
    usual = int(np.median(scales[scales > 0]))
    return (usual + np.random.default_rng(case.seed + 3).integers(-2, 2, shape)).astype(scales.dtype)


def _with_one_scale(case: Case, gate_up: Array, down: Array, biases: list[Any]) -> dict[str, Any]:
    """Scales that use the whole range of the elements, for matrices (STATIC_MX) or columns (ROW_MX)."""
    is_static, largest = case.mx_scales is QuantizationType.STATIC_MX, MX_FORMATS[case.weights].largest
    scale = np.abs(gate_up).max(axis=(1, 3) if is_static else 1, keepdims=True) / np.float32(largest)
    down_scale = np.abs(down).max(axis=(1, 2) if is_static else 1, keepdims=True) / np.float32(largest)
    result = _unit_blocks(case, gate_up / scale, down / down_scale, biases)
    result["gate_up_proj_scale"] = scale.reshape((case.E, 2, 1) if is_static else (case.E, 1, -1))
    result["down_proj_scale"] = down_scale.reshape((case.E, 1) if is_static else (case.E, 1, -1))
    for which in ("gate_up", "down"):
        if case.fp8_inputs in (which, "both"):
            result[f"{which}_in_scale"] = np.linspace(0.01, 0.02, case.E, dtype=np.float32)[:, None]
    return result


def _unit_blocks(case: Case, gate_up: Array, down: Array, biases: list[Any]) -> dict[str, Any]:
    """Elements rounded as they are, without block scales."""
    mx, layout = MX_FORMATS[case.weights], natural_layout(case.H, case.I)
    named = {
        "gate_up_proj_weight": [mx.pack(mx.round(layout.arrange_gate_up(w))) for w in gate_up],
        "down_proj_weight": [mx.pack(mx.round(layout.arrange_down(w))) for w in down],
    }
    bias, down_bias = biases
    if bias is not None:
        named["gate_and_up_proj_bias"] = [layout.arrange_bias(b) for b in bias]
    if down_bias is not None:
        named["down_proj_bias"] = list(down_bias)
    return {name: np.stack(each) for name, each in named.items()}


def route(case: Case, expert_ids: Array, weights: Array) -> dict[str, Any]:
    """The three routing tensors for experts [T, K] with weights [T, K]."""
    options: dict[str, Any] = {"skip_token": case.skip_token}
    if case.variant == "shard_on_i_dropping":
        return _one_block_an_expert(case, expert_ids, weights)
    affinities = scatter_affinities(weights, expert_ids, case.E, dtype=DTYPES[case.dtype], **options)
    mapping = build_block_mapping(expert_ids, case.E, case.B, **options)
    if case.padding_blocks is not None:
        n = mapping.n_real_blocks + case.padding_blocks
        mapping = build_block_mapping(expert_ids, case.E, case.B, n_blocks=n, **options)
    order = np.arange(mapping.block_to_expert.size)
    if case.shuffled:
        order[: mapping.n_real_blocks] = np.random.default_rng(case.seed).permutation(mapping.n_real_blocks)
    routing = {
        "expert_affinities_masked": affinities,
        "token_position_to_id": mapping.token_position_to_id.reshape(-1, case.B)[order].reshape(-1),
        "block_to_expert": mapping.block_to_expert[order],
    }
    if case.extra_conditions is not None:
        blocks = mapping.block_to_expert.size
        routing["conditions"] = (np.arange(blocks + case.extra_conditions) < mapping.n_real_blocks).astype(np.int32)
    return routing


def _one_block_an_expert(case: Case, expert_ids: Array, weights: Array) -> dict[str, Any]:
    """The capacity layout: block e holds the first B tokens of expert e; later ones are dropped."""
    pad = -1 if case.skip_token else case.T
    ids = np.full((case.E, case.B), pad, np.int32)
    for e in range(case.E):
        tokens = np.flatnonzero((expert_ids == e).any(axis=1))[: case.B]
        ids[e, : tokens.size] = tokens
    return {
        "expert_affinities_masked": scatter_affinities(
            weights, expert_ids, case.E, dtype=DTYPES[case.dtype], skip_token=case.skip_token
        ),
        "token_position_to_id": ids.reshape(-1),
        "block_to_expert": np.arange(case.E, dtype=np.int32),
    }


def _weights(case: Case, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    if case.values == "dyadic":
        return rng.choice([0.25, 0.5, 1.0], shape).astype(np.float32)
    weights = rng.uniform(SMALLEST_WEIGHT, 1, shape).astype(np.float32)
    return weights / weights.sum(axis=1, keepdims=True)


def _random(case: Case, rng: np.random.Generator) -> Array:
    return np.argsort(rng.random((case.T, case.E)), axis=1)[:, : case.K].astype(np.int32)


def _one_expert(case: Case, rng: np.random.Generator) -> Array:
    return np.full((case.T, 1), case.E // 2, np.int32)


def _empty_experts(case: Case, rng: np.random.Generator) -> Array:
    """Odd experts get no token."""
    used = np.arange(0, case.E, 2)
    return used[np.argsort(rng.random((case.T, used.size)), axis=1)[:, : case.K]].astype(np.int32)


def _every_expert(case: Case, rng: np.random.Generator) -> Array:
    return np.tile(np.arange(case.E, dtype=np.int32), (case.T, 1))


def _two_halves(case: Case, rng: np.random.Generator) -> Array:
    """The first half of the tokens uses the first half of the experts, all of them; the rest likewise."""
    half = case.E // 2
    later = np.arange(case.T)[:, None] >= case.T // 2
    return (np.arange(half) + np.where(later, half, 0)).astype(np.int32)


def _some_tokens_nowhere(case: Case, rng: np.random.Generator) -> Array:
    """Every third token is routed to other ranks' experts only, every other third to one of this rank's."""
    ids = _random(case, rng)
    ids[::3] = -1
    ids[1::3, 1:] = case.E + 5
    return ids


ROUTINGS: dict[str, Callable[[Case, np.random.Generator], Array]] = {
    "random": _random,
    "one_expert": _one_expert,
    "empty_experts": _empty_experts,
    "every_expert": _every_expert,
    "two_halves": _two_halves,
    "some_tokens_nowhere": _some_tokens_nowhere,
}


def _normal(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    """Activations and biases of about 1; weights scaled by the square root of the contraction."""
    contraction = shape[1] if name.endswith("_weight") else 1
    return rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(contraction))


def _dyadic(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    """Small multiples of powers of two: with ReLU every product and sum is exact in fp32, whatever the order."""
    unit = 1 / 8 if name.endswith("_weight") else 1 / 2
    return rng.integers(-2, 3, shape).astype(np.float32) * np.float32(unit)


DRAWS: dict[str, Callable[[np.random.Generator, str, tuple[int, ...]], Array]] = {"normal": _normal, "dyadic": _dyadic}
