# SPDX-License-Identifier: Apache-2.0
"""A layer's inputs for the command line: tokens of a real text, a router, and weights drawn from a seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.models import Model, RankLayout
from nkimoe.planning.tiling import ceil_div
from nkimoe.routing import (
    BlockMapping,
    build_block_mapping,
    pair_blocks,
    route,
    scatter_affinities,
    static_block_count,
)
from nkimoe.routing.expert_load import ExpertLoad, ids_on_rank
from nkimoe.routing.made_up import GivenRouting
from nkimoe.spec import Pairs
from nkimoe.weights.expert import Expert

SEED = 20240701
DENSE_MULTIPLES = (128, 16)  # of H and I
LONGEST_TEXT = 1 << 22  # characters: far more than a layer takes tokens
CONTEXT = 4  # tokens before this one that colour its hidden state
_ROWS = 128  # made at a time, so that they stay in the processor's cache


@dataclass(frozen=True)
class LayerData:
    """Everything `moe_cte` takes for one layer on one rank.

    Attributes:
        tensors: arguments of `moe_cte` by name, bf16.
        mapping: tokens to blocks.
        experts_of_tokens: int32 [T, K], as this rank numbers its own, -1 for those of others.
        load: what the experts of all ranks get.
        vocabulary: distinct tokens of the text.
        H, I: sizes after padding to what the kernel takes.
        theirs: what another implementation makes of the same layer, float32 [T, H]; None: nothing to compare with.
    """

    tensors: dict[str, Any]
    mapping: BlockMapping
    experts_of_tokens: Array
    load: ExpertLoad
    vocabulary: int
    H: int
    I: int
    theirs: Array | None = None

    @property
    def n_experts(self) -> int:
        """Of this rank."""
        return int(self.tensors["gate_up_proj_weight"].shape[0])

    @property
    def own_load(self) -> ExpertLoad:
        """What the experts of this rank get."""
        return ExpertLoad.of(self.experts_of_tokens, self.n_experts)

    @property
    def pairs(self) -> Pairs:
        """The slots as pairs (token, choice), with the affinities that the tensors have."""
        ids, E = self.experts_of_tokens, self.n_experts
        table = self.tensors["expert_affinities_masked"].reshape(len(ids), E)
        weights = np.take_along_axis(table, ids, axis=1).astype(np.float32)
        return pair_blocks(ids, weights, E, self.tensors["block_size"], self.mapping.block_to_expert.size).pairs


def read_text(path: Path | None) -> str:
    """The start of the file, or the text that ships with the package."""
    if path is None:
        return resources.files("nkimoe.cli").joinpath("declaration.txt").read_text(encoding="utf-8")
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(LONGEST_TEXT)


def tokenize(text: str, count: int) -> tuple[Array, int]:
    """The first `count` words and punctuation marks as ids (the text repeats if it is short), and how many differ.

    Raises:
        ValueError: the text has no tokens.
    """
    words = [m.group() for m in itertools.islice(re.finditer(r"\w+|[^\w\s]", text.lower()), count)]
    if not words:
        raise ValueError("the text has no words: give one by --text FILE or --prompt")
    words = (words * ceil_div(count, len(words)))[:count]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return np.array([vocabulary[word] for word in words]), len(vocabulary)


def one_expert(model: Model, own: int, rng: np.random.Generator) -> Expert:
    """Normal weights that keep the variance, fp32, `own` columns of I; biases where the model has them."""
    gate_up = rng.standard_normal((model.H, 2, own), dtype=np.float32) / np.sqrt(np.float32(model.H))
    down = rng.standard_normal((own, model.H), dtype=np.float32) / np.sqrt(np.float32(own))
    if not model.biases:
        return Expert(gate_up, down)
    bias = rng.standard_normal((2, own), dtype=np.float32)
    bias[1] += np.float32(model.up_shift)
    down_bias = rng.standard_normal(model.H, dtype=np.float32)
    return Expert(gate_up, down, bias.astype(ml_dtypes.bfloat16), down_bias.astype(ml_dtypes.bfloat16))


def expert_weights(
    model: Model, H: int, own: int, I: int, rng: np.random.Generator, step: Callable[[], None]
) -> dict[str, Array]:
    """Normal weights that keep the variance, zero in the padding; drawn an expert at a time to bound memory."""
    gate_up = np.zeros((model.E, H, 2, I), ml_dtypes.bfloat16)
    down = np.zeros((model.E, I, H), ml_dtypes.bfloat16)
    for e in range(model.E):
        gate_up[e, : model.H, :, :own] = rng.standard_normal((model.H, 2, own), dtype=np.float32) / np.sqrt(
            np.float32(model.H)
        )
        down[e, :own, : model.H] = rng.standard_normal((own, model.H), dtype=np.float32) / np.sqrt(np.float32(own))
        step()
    weights: dict[str, Array] = {"gate_up_proj_weight": gate_up, "down_proj_weight": down}
    if model.biases:
        bias = np.zeros((model.E, 2, I), np.float32)
        bias[:, :, :own] = rng.standard_normal((model.E, 2, own), dtype=np.float32)
        bias[:, 1, :own] += np.float32(model.up_shift)
        down_bias = np.zeros((model.E, H), np.float32)
        down_bias[:, : model.H] = rng.standard_normal((model.E, model.H), dtype=np.float32)
        weights["gate_and_up_proj_bias"] = bias.astype(ml_dtypes.bfloat16)
        weights["down_proj_bias"] = down_bias.astype(ml_dtypes.bfloat16)
    return weights


def repeated_weights(
    model: Model, H: int, own: int, I: int, rng: np.random.Generator, step: Callable[[], None]
) -> dict[str, Array]:
    """Weights of the same shapes that take no memory: one zero, seen everywhere. For runs that compute shapes only."""
    for _ in range(model.E):
        step()
    shapes = dense_weight_shapes(model, H, I)
    return {name: np.broadcast_to(np.zeros((), ml_dtypes.bfloat16), shape) for name, shape in shapes.items()}


def dense_weight_shapes(model: Model, H: int, I: int) -> dict[str, tuple[int, ...]]:
    """Shapes of weights and biases."""
    E = model.E
    shapes: dict[str, tuple[int, ...]] = {"gate_up_proj_weight": (E, H, 2, I), "down_proj_weight": (E, I, H)}
    if model.biases:
        shapes |= {"gate_and_up_proj_bias": (E, 2, I), "down_proj_bias": (E, H)}
    return shapes


Weights = Callable[[Model, int, int, int, np.random.Generator, Callable[[], None]], dict[str, Array]]


def make_layer(
    model: Model,
    ranks: RankLayout,
    tokens: int,
    block_size: int,
    text: str,
    step: Callable[[], None],
    weights: Weights = expert_weights,
    routing: GivenRouting | None = None,
) -> LayerData:
    """Inputs of one layer on one rank; of those that share the experts, on the one with most pairs, which the others
    wait for. `step` is called once an expert while `weights` are made. A router chooses the experts unless there is a
    routing, which gives all choices of a token the same weight.
    """
    rng = np.random.default_rng(SEED)
    own = ranks.own_experts(model)
    H, I = model.padded_sizes(ranks.tp, getattr(weights, "multiples", DENSE_MULTIPLES))
    ids, vocabulary = tokenize(text, tokens)
    hidden = _hidden_states(ids, vocabulary, model.H, rng)
    router = rng.standard_normal((model.H, model.E), dtype=np.float32) / np.sqrt(np.float32(model.H))
    if routing is None:
        gates, chosen = route(hidden @ router, model.routing)
    else:
        chosen = routing.expert_ids(tokens, model.E, model.K)
        gates = np.full(chosen.shape, 1 / model.K, np.float32)
    load = ExpertLoad.of(chosen, model.E)
    experts = ids_on_rank(chosen, load.of_ranks(ranks.ep).busiest, own.E)
    blocks = static_block_count(tokens, model.K, own.E, block_size)
    mapping = build_block_mapping(experts, own.E, block_size, n_blocks=blocks)
    padded = np.zeros((tokens, H), ml_dtypes.bfloat16)
    padded[:, : model.H] = hidden
    tensors = {
        "hidden_states": padded,
        "expert_affinities_masked": scatter_affinities(gates, experts, own.E, dtype=ml_dtypes.bfloat16),
        "token_position_to_id": mapping.token_position_to_id,
        "block_to_expert": mapping.block_to_expert,
        "block_size": block_size,
        **weights(own, H, model.own_columns(ranks.tp), I, rng, step),
        **_activation(model),
    }
    return LayerData(tensors, mapping, experts, load, vocabulary, H, I)


def _hidden_states(ids: Array, vocabulary: int, H: int, rng: np.random.Generator) -> Array:
    """Unit-RMS rows: the token's own vector, coloured by the tokens before it. Equal words route alike."""
    embedding = rng.standard_normal((vocabulary, H), dtype=np.float32)
    states = np.empty((len(ids), H), np.float32)
    for start in range(0, len(ids), _ROWS):
        own = ids[max(0, start - CONTEXT) : start + _ROWS]
        rows = np.concatenate([np.zeros((max(0, CONTEXT - start), H), np.float32), embedding[own]])
        context = sum(rows[CONTEXT - n : len(rows) - n] for n in range(1, CONTEXT + 1))
        mixed = rows[CONTEXT:] + np.float32(0.5 / CONTEXT) * context
        states[start : start + _ROWS] = mixed / np.sqrt(np.mean(np.square(mixed), axis=1, keepdims=True))
    return states


def _activation(model: Model) -> dict[str, Any]:
    """Activation, clamps, scaling; gpt-oss's (up + 1) sits in the bias, so the limits of up move with it."""
    options: dict[str, Any] = {
        "activation_function": model.activation,
        "expert_affinities_scaling_mode": model.scaling,
    }
    if model.limit is not None:
        options["gate_clamp_upper_limit"] = model.limit
        options["up_clamp_upper_limit"] = model.limit + model.up_shift
        options["up_clamp_lower_limit"] = -model.limit + model.up_shift
    return options
