"""Plans without data: shapes stand in for tensors."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.cli.experiment import Setup, is_hybrid, options_of
from nkimoe.cli.fp8_data import PACKINGS, fp8_weight_shapes
from nkimoe.cli.layer_data import DENSE_MULTIPLES
from nkimoe.cli.mx_data import MULTIPLES, mx_weight_shapes
from nkimoe.plan import Plan, make_plan
from nkimoe.request import Request
from nkimoe.routing import static_block_count
from nkimoe.spec import MoECTEImplementation, MoECTESpec
from nkimoe.targets import TARGETS
from nkimoe.weights.dense_arguments import dense_spec
from nkimoe.weights.formats import MX_FORMATS


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
    H, I = m.padded_sizes(setup.tp, MULTIPLES if setup.weights in MX_FORMATS else DENSE_MULTIPLES)
    N = static_block_count(T, m.K, m.E, B)
    tensors = {
        "hidden_states": Shape((T, H)),
        "expert_affinities_masked": Shape((T * m.E, 1)),
        **(_mx_weights(setup, H, I) if setup.is_mx else _dense_weights(setup, H, I)),
        "token_position_to_id": Shape((N * B,), "int32"),
        "block_to_expert": Shape((N,), "int32"),
    }
    if is_hybrid(setup):
        tensors["conditions"] = Shape((N + 1,), "int32")
    options = options_of(setup)
    if setup.dequantise:
        options["spec"] = dense_spec(MoECTESpec(MoECTEImplementation[setup.variant]))
    arguments = {**tensors, **options, "block_size": B, "compute_dtype": "bfloat16"}
    return make_plan(Request.from_arguments(arguments), setup.lnc, TARGETS[setup.target])


def _dense_weights(setup: Setup, H: int, I: int) -> dict[str, Shape]:
    E = setup.layer_model.E
    if setup.weights in PACKINGS:
        shapes = fp8_weight_shapes(setup.weights, setup.target, setup.layer_model, H, I)
        return {name: Shape(shape, dtype.name) for name, (shape, dtype) in shapes.items()}
    return {"gate_up_proj_weight": Shape((E, H, 2, I)), "down_proj_weight": Shape((E, I, H))}


def _mx_weights(setup: Setup, H: int, I: int) -> dict[str, Shape]:
    kinds = {"weight": MX_FORMATS[setup.weights].nki, "scale": "uint8", "bias": "bfloat16"}
    shapes = mx_weight_shapes(setup.layer_model, H, I)
    return {name: Shape(shape, kinds[name.rsplit("_", 1)[1]]) for name, shape in shapes.items()}
