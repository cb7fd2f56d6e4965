"""Plans without data: shapes stand in for tensors."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.cli.experiment import Setup, is_hybrid, options_of
from nkimoe.plan import Plan, make_plan
from nkimoe.request import Request
from nkimoe.routing import static_block_count
from nkimoe.targets import TARGETS


@dataclass(frozen=True)
class Shape:
    """A tensor's shape and dtype."""

    shape: tuple[int, ...]
    dtype: str = "bfloat16"


def plan_only(setup: Setup) -> Plan:
    """The plan of the request `nkimoe run` would make.

    Raises:
        RequestError: it cannot be honoured.
    """
    m, T, B = setup.layer_model, setup.tokens, setup.block_size
    H, I = m.padded_sizes(setup.tp)
    N = static_block_count(T, m.K, m.E, B)
    tensors = {
        "hidden_states": Shape((T, H)),
        "expert_affinities_masked": Shape((T * m.E, 1)),
        "gate_up_proj_weight": Shape((m.E, H, 2, I)),
        "down_proj_weight": Shape((m.E, I, H)),
        "token_position_to_id": Shape((N * B,), "int32"),
        "block_to_expert": Shape((N,), "int32"),
    }
    if is_hybrid(setup):
        tensors["conditions"] = Shape((N + 1,), "int32")
    arguments = {**tensors, **options_of(setup), "block_size": B, "compute_dtype": "bfloat16"}
    return make_plan(Request.from_arguments(arguments), setup.lnc, TARGETS[setup.target])
