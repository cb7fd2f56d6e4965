"""Random requests to the operations with experts: none has a wrong answer."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.expert_cases import (
    activate_as_the_simulator,
    assert_as_defined,
    last_place,
    layer,
    places_of_choices,
    shared_layer,
    smooth_layer,
)

from nkimoe.ops import fused_experts, fused_moe_smoothquant, shared_expert
from nkimoe.reference.expert_ops import (
    fused_experts_reference,
    fused_moe_smoothquant_reference,
    shared_expert_reference,
)

TOKENS = 0, 1, 2, 3, 17, 100, 130, 300
HIDDEN = 1, 2, 7, 13, 64, 100, 128, 129, 200, 255, 384, 1000
INTERMEDIATE = 1, 2, 3, 5, 64, 100, 127, 128, 129, 192, 232, 352, 600
EXPERTS = 1, 2, 3, 5, 8, 40
BLOCKS = None, None, 7, 64, 128, 256, 512


def drawn(rng, values):
    return values[rng.integers(len(values))]


def spoil_routing(rng, ids, n_experts):
    """Some choices name no expert, or all the same one."""
    some = rng.random(ids.shape) < 0.3
    kinds = [
        np.where(some, -1, ids), np.where(some, n_experts + 5, ids), np.repeat(ids[:, :1], ids.shape[1], axis=1),
        np.full_like(ids, -1), np.zeros_like(ids), ids, ids.astype(np.int64),
    ]  # fmt: skip
    return drawn(rng, kinds)


def spoil_values(rng, arguments):
    """A token of zeros, dead scales, and weights at either end, each now and then."""
    changes = [("x", 0, 0), ("w1_scale", 0, 0), ("w2_scale", 0, 1e-38), ("w1", ..., 127), ("w2", ..., -128)]
    for name, place, value in changes:
        if rng.random() < 0.2 and arguments[name].size:
            arguments[name][place] = value


class Drawn(NamedTuple):
    """A request.

    Attributes:
        definition: of the arguments, with the options.
        blocks: the choice of a block size, or nothing.
    """

    operation: Any
    definition: Callable[..., np.ndarray]
    arguments: dict[str, Any]
    options: dict[str, Any]
    blocks: dict[str, int | None]
    cores: int


def draw(seed):
    """A request, which the seed decides."""
    rng = np.random.default_rng(seed)
    dtype, E = drawn(rng, ("bfloat16", "float16")), drawn(rng, EXPERTS)
    sizes = drawn(rng, TOKENS), drawn(rng, INTERMEDIATE), drawn(rng, HIDDEN)
    cores, k = int(rng.integers(1, 3)), int(rng.integers(1, min(E, 8) + 1))
    kind = rng.integers(3)
    if kind == 0:
        arguments = shared_layer(*sizes, dtype=dtype, seed=seed)
        spoil_values(rng, arguments)
        return Drawn(shared_expert, shared_expert_reference, arguments, {}, {}, cores)
    if kind == 1:
        operation, reference, options = fused_experts, fused_experts_reference, {"round_each": bool(rng.integers(2))}
        arguments = layer(*sizes, E, k, dtype, seed)
    else:
        operation, reference = fused_moe_smoothquant, fused_moe_smoothquant_reference
        options = {"activation": drawn(rng, ("silu", "gelu"))}
        arguments = smooth_layer(*sizes, E, k, dtype, bool(rng.integers(2)), seed)
    arguments["topk_ids"] = spoil_routing(rng, arguments["topk_ids"], E)
    spoil_values(rng, arguments)
    blocks = {"block_size": drawn(rng, BLOCKS)}
    return Drawn(operation, partial(reference, **options), arguments, options, blocks, cores)


def check_answer(seed):
    operation, definition, arguments, options, blocks, cores = draw(seed)
    expected = definition(**arguments)
    if "topk_ids" in arguments:
        places = places_of_choices(definition, arguments)
    else:
        routed = np.abs(arguments["fused_experts_out"].astype(np.float32)) * 16
        places = last_place(np.maximum(routed, np.abs(expected.astype(np.float32))), expected.dtype)
    assert_as_defined(operation[cores](**arguments, **options, **blocks), expected, places)


def check_what_must_not_matter(seed):
    """Other cores and blocks, and tokens in another order."""
    operation, _, arguments, options, blocks, cores = draw(seed)
    expected = operation[cores](**arguments, **options, **blocks)
    order = np.random.default_rng(seed).permutation(len(expected))
    of_tokens = ("x", "fused_experts_out", "topk_weights", "topk_ids")
    moved = {name: value[order] if name in of_tokens else value for name, value in arguments.items()}
    found = operation[3 - cores](**moved, **options)
    np.testing.assert_array_equal(found.view(np.uint16), expected[order].view(np.uint16))


@pytest.mark.parametrize("seed", range(25))
def test_any_request_has_the_answer_of_its_definition(seed, monkeypatch):
    activate_as_the_simulator(monkeypatch)
    check_answer(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(25, 525, 25))
def test_five_hundred_more_requests_have(first, monkeypatch):
    activate_as_the_simulator(monkeypatch)
    for seed in range(first, first + 25):
        check_answer(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1100, 20))
def test_cores_blocks_and_the_order_of_tokens_change_no_bit_of_any_request(first):
    for seed in range(first, first + 20):
        check_what_must_not_matter(seed)
