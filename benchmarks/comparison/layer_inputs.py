"""Inputs of one layer, the same for both libraries: routing drawn from a seed, weights real or shapes only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from shapes import LayerShape

from nkimoe.routing import build_block_mapping, scatter_affinities, static_block_count

SEED = 20240701
BF16 = np.dtype(ml_dtypes.bfloat16)
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class LayerInputs:
    """Arguments of `moe_cte` that both libraries spell alike.

    Attributes:
        tensors: by name.
        pairs: routed (token, local expert) pairs.
        touched: local experts with at least one token.
        blocks, real_blocks: N, and blocks with a token.
        conditions: 1 for a block with tokens, then 0; [N + 1].
    """

    shape: LayerShape
    tensors: dict[str, Any]
    pairs: int
    touched: int
    blocks: int
    real_blocks: int
    conditions: Array


def draw(shape: LayerShape, with_values: bool) -> LayerInputs:
    """Uniformly random routing; without values, weights and activations are one repeated element."""
    rng = np.random.default_rng(SEED)
    H, I, E, T = shape.H, shape.I, shape.experts, shape.T
    chosen = np.argsort(rng.random((T, shape.E)), axis=1)[:, : shape.K].astype(np.int32)
    shares = rng.random((T, shape.K), dtype=np.float32) + np.float32(0.1)
    # A rank sees at most K of its experts a token; an even number of blocks suits both cores.
    expected = T * shape.K * E // shape.E
    blocks = static_block_count(expected, 1, E, shape.B)
    blocks = max(blocks, int((-(-np.bincount(chosen[chosen < E], minlength=E) // shape.B)).sum()))
    blocks += blocks % 2
    mapping = build_block_mapping(chosen, E, shape.B, n_blocks=blocks)
    make = _normal(rng) if with_values else _repeated
    tensors = {
        "hidden_states": make((T, H), 1.0),
        "expert_affinities_masked": scatter_affinities(shares, chosen, E, dtype=BF16),
        "gate_up_proj_weight": make((E, H, 2, I), H**-0.5),
        "down_proj_weight": make((E, I, H), I**-0.5),
        "token_position_to_id": mapping.token_position_to_id,
        "block_to_expert": mapping.block_to_expert,
        "block_size": shape.B,
        "is_tensor_update_accumulating": shape.K > 1,
    }
    if shape.biases:
        tensors["gate_and_up_proj_bias"] = make((E, 2, I), 1.0)
        tensors["down_proj_bias"] = make((E, H), 1.0)
    touched = int(np.unique(mapping.block_to_expert[: mapping.n_real_blocks]).size)
    return LayerInputs(shape, tensors, mapping.n_real_slots, touched, blocks, mapping.n_real_blocks, mapping.conditions)


def reduced(shape: LayerShape) -> LayerShape:
    """The same layer with few tokens and experts, for comparing numbers."""
    experts = min(shape.experts, 4)
    return replace(shape, E=max(experts, shape.K), experts=experts, T=256, B=min(shape.B, 256))


def _normal(rng: np.random.Generator) -> Any:
    def make(shape: tuple[int, ...], scale: float) -> Array:
        return (rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(BF16)

    return make


def _repeated(shape: tuple[int, ...], scale: float) -> Array:
    return np.broadcast_to(np.ones((), BF16), shape)
