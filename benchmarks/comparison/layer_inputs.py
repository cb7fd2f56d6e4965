"""Inputs of one layer, the same for both libraries: routing drawn from a seed, weights real or shapes only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from shapes import LayerShape

from nkimoe import Pairs
from nkimoe.routing import build_block_mapping, pair_blocks, scatter_affinities, static_block_count

SEED = 20240701
BF16, FP8 = np.dtype(ml_dtypes.bfloat16), np.dtype(ml_dtypes.float8_e4m3)
CAPACITY_UNIT = 1024  # nki-library's dropping kernel computes whole chunks of so many slots
CAPACITY_FACTOR = 1.25  # slots of an expert over its even share of the tokens
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class LayerInputs:
    """Arguments of `moe_cte` that both libraries spell alike.

    Attributes:
        tensors: by name.
        pairs: (token, local expert) pairs that have a slot.
        touched: local experts with at least one token.
        blocks, real_blocks: N, and blocks with a token.
        conditions: 1 for a block with tokens, then 0; [N + 1].
        choices: for `moe_cte` of nkimoe, slots as pairs; None where this rank does not have all experts, or each token
            has one.
    """

    shape: LayerShape
    tensors: dict[str, Any]
    pairs: int
    touched: int
    blocks: int
    real_blocks: int
    conditions: Array
    choices: Pairs | None = None


def draw(shape: LayerShape, with_values: bool) -> LayerInputs:
    """Uniformly random routing; without values, weights and activations are one repeated element."""
    rng = np.random.default_rng(SEED)
    chosen, shares = _route(shape, rng)
    E, local = shape.experts, chosen[chosen < shape.experts]
    # A rank sees at most K of its experts a token; an even number of blocks suits both cores.
    blocks = static_block_count(shape.T * shape.K * E // shape.E, 1, E, shape.B)
    blocks = max(blocks, int((-(-np.bincount(local, minlength=E) // shape.B)).sum()))
    blocks += blocks % 2
    mapping = build_block_mapping(chosen, E, shape.B, n_blocks=blocks)
    in_slots = pair_blocks(chosen, shares, E, shape.B, blocks) if E == shape.E and shape.K > 1 else None
    touched = int(np.unique(mapping.block_to_expert[: mapping.n_real_blocks]).size)
    routing = {
        "expert_affinities_masked": scatter_affinities(shares, chosen, E, dtype=BF16),
        "token_position_to_id": mapping.token_position_to_id,
        "block_to_expert": mapping.block_to_expert,
    }
    return LayerInputs(
        shape, {**routing, **_tensors(shape, rng, with_values)}, mapping.n_real_slots, touched, blocks,
        mapping.n_real_blocks, mapping.conditions, in_slots and in_slots.pairs,
    )  # fmt: skip


def draw_capacity(shape: LayerShape, with_values: bool) -> LayerInputs:
    """The capacity layout: block e holds the first B tokens that chose expert e; later ones are dropped."""
    rng = np.random.default_rng(SEED)
    chosen, shares = _route(shape, rng)
    E, B = shape.experts, shape.B
    ids = np.full((E, B), -1, np.int32)
    kept = np.full_like(chosen, shape.E)
    for e in range(E):
        tokens, choice = np.nonzero(chosen == e)
        ids[e, : tokens.size] = tokens[:B]
        kept[tokens[:B], choice[:B]] = e
    routing = {
        "expert_affinities_masked": scatter_affinities(shares, kept, E, dtype=BF16),
        "token_position_to_id": ids.reshape(-1),
        "block_to_expert": np.arange(E, dtype=np.int32),
    }
    pairs, used = int((ids >= 0).sum()), int((ids >= 0).any(axis=1).sum())
    conditions = np.append(np.ones(E, np.int32), np.int32(0))
    return LayerInputs(shape, {**routing, **_tensors(shape, rng, with_values)}, pairs, used, E, E, conditions)


def in_fp8_rows(inputs: LayerInputs) -> LayerInputs:
    """The layer with fp8 weights that have a scale a column, without values."""
    E, H, _, I = inputs.tensors["gate_up_proj_weight"].shape
    shapes = {"gate_up_proj_weight": (E, H, 2, I), "down_proj_weight": (E, I, H)}
    scales = {"gate_up_proj_scale": (E, 1, 2 * I), "down_proj_scale": (E, 1, H)}
    weights = {name: np.broadcast_to(np.ones((), FP8), shape) for name, shape in shapes.items()}
    weights |= {name: np.broadcast_to(np.ones((), np.float32), shape) for name, shape in scales.items()}
    return replace(inputs, tensors={**inputs.tensors, **weights})


def capacity_of(shape: LayerShape, tokens: int | None = None) -> LayerShape:
    """The layer with so many tokens, or as many as fill one CAPACITY_UNIT, and blocks of an expert's capacity."""
    tokens = tokens or int(CAPACITY_UNIT / CAPACITY_FACTOR) * shape.E // shape.K
    slots = CAPACITY_FACTOR * tokens * shape.K / shape.E
    return replace(shape, T=tokens, B=int(-(-slots // CAPACITY_UNIT)) * CAPACITY_UNIT)


def blocks_with_tokens(inputs: LayerInputs) -> dict[str, Array]:
    """The routing of those, and of one more block if each core would not get as many."""
    n = inputs.real_blocks + inputs.real_blocks % 2
    ids, experts = inputs.tensors["token_position_to_id"], inputs.tensors["block_to_expert"]
    return {"token_position_to_id": ids[: n * inputs.shape.B], "block_to_expert": experts[:n]}


def reduced(shape: LayerShape) -> LayerShape:
    """The same layer with few tokens and experts, for comparing numbers."""
    experts = min(shape.experts, 4)
    return replace(shape, E=max(experts, shape.K), experts=experts, T=256)


def _route(shape: LayerShape, rng: np.random.Generator) -> tuple[Array, Array]:
    """Experts [T, K], and what their results are multiplied by."""
    chosen = np.argsort(rng.random((shape.T, shape.E)), axis=1)[:, : shape.K].astype(np.int32)
    return chosen, rng.random((shape.T, shape.K), dtype=np.float32) + np.float32(0.1)


def _tensors(shape: LayerShape, rng: np.random.Generator, with_values: bool) -> dict[str, Any]:
    """What does not depend on the routing."""
    make = _normal(rng) if with_values else _repeated
    H, I, E = shape.H, shape.I, shape.experts
    tensors: dict[str, Any] = {
        "hidden_states": make((shape.T, H), 1.0),
        "gate_up_proj_weight": make((E, H, 2, I), H**-0.5),
        "down_proj_weight": make((E, I, H), I**-0.5),
        "block_size": shape.B,
        "is_tensor_update_accumulating": shape.K > 1,
    }
    if shape.biases:
        tensors["gate_and_up_proj_bias"] = make((E, 2, I), 1.0)
        tensors["down_proj_bias"] = make((E, H), 1.0)
    return tensors


def _normal(rng: np.random.Generator) -> Any:
    def make(shape: tuple[int, ...], scale: float) -> Array:
        return (rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(BF16)

    return make


def _repeated(shape: tuple[int, ...], scale: float) -> Array:
    return np.broadcast_to(np.ones((), BF16), shape)
