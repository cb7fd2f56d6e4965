# SPDX-License-Identifier: Apache-2.0
"""Plans without data: shapes stand in for tensors."""

from __future__ import annotations

from typing import Any

from nkimoe.cli.experiment import Setup, is_hybrid, options_of, spec_of
from nkimoe.cli.packed_data import BF16, kind, multiples_of, weight_shapes, weight_types
from nkimoe.models import Model
from nkimoe.planning.plan import Plan, make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.stand_in import Shape
from nkimoe.planning.targets import TARGETS
from nkimoe.routing import static_block_count
from nkimoe.spec import Pairs
from nkimoe.weights.dense_arguments import dense_spec
from nkimoe.weights.formats import MX_FORMATS


def plan_only(setup: Setup) -> Plan:
    """The plan of the request `nkimoe run` would make.

    Raises:
        RequestError: it cannot be honoured.
    """
    m, T, B = setup.ranks.own_experts(setup.layer_model), setup.tokens, setup.block_size
    H, I = m.padded_sizes(setup.tp, multiples_of(setup.weights))
    N = static_block_count(T, m.K, m.E, B)
    tensors: dict[str, Any] = {
        "hidden_states": Shape((T, H)),
        "expert_affinities_masked": Shape((T * m.E, 1)),
        **_weights(setup, m, H, I),
        "token_position_to_id": Shape((N * B,), "int32"),
        "block_to_expert": Shape((N,), "int32"),
    }
    if setup.has_pairs:
        pairs = Pairs(Shape((N * B,), "int32"), Shape((N * B,), "float32"), m.K)
        tensors |= {"expert_affinities_masked": None, "pairs": pairs}
    if is_hybrid(setup):
        tensors["conditions"] = Shape((N + 1,), "int32")
    options = options_of(setup)
    if setup.dequantise:
        options["spec"] = dense_spec(spec_of(setup))
    arguments = {**tensors, **options, "block_size": B, "compute_dtype": "bfloat16"}
    return make_plan(Request.from_arguments(arguments), setup.lnc, TARGETS[setup.target])


def _weights(setup: Setup, model: Model, H: int, I: int) -> dict[str, Shape]:
    weights = BF16 if setup.dequantise else setup.weights
    types = {name: str(dtype) for name, dtype in weight_types(weights, setup.target).items()}
    if weights in MX_FORMATS:
        types["weight"] = MX_FORMATS[weights].nki
    shapes = weight_shapes(weights, model, H, I)
    return {name: Shape(shape, types[kind(name)]) for name, shape in shapes.items()}
