"""Runs the backward pass of a case on the simulator, beside the golden gradients."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

import nkisim
from nkimoe import moe_cte_backward
from nkimoe.planning.backward.plan import BackwardPlan, make_backward_plan
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.targets import TARGETS
from nkimoe.reference.backward import moe_cte_backward_reference
from nkimoe.reference.gradient_tolerance import gradient_tolerance
from nkimoe.spec import MoECTEImplementation, MoECTESpec
from support.case import Case
from support.inputs import DTYPES, build_inputs
from support.launch import reference_checkpoints
from support.tolerance import assert_close

Array = npt.NDArray[Any]
NAMES = (
    "hidden_states", "expert_affinities_masked", "gate_up_proj_weight", "down_proj_weight", "gate_and_up_proj_bias",
    "down_proj_bias",
)  # fmt: skip
NOT_BACKWARD = ("spec", "is_tensor_update_accumulating", "block_size", "activation_quantization")


@dataclass(frozen=True, eq=False)
class Gradients:
    """What a case gave.

    Attributes:
        found: by argument of `moe_cte`.
    """

    case: Case
    arguments: dict[str, Any]
    found: dict[str, Array]
    run: nkisim.Run


def backward_arguments(case: Case, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    """All arguments of `moe_cte_backward`; activations are what the reference keeps, in the dtype of the case."""
    tensors = build_inputs(case) if inputs is None else inputs
    kept = reference_checkpoints(case, tensors)[0].astype(DTYPES[case.dtype])
    d_output = np.random.default_rng(case.seed + 1).standard_normal(tensors["hidden_states"].shape)
    options = {name: value for name, value in case.options().items() if name not in NOT_BACKWARD}
    return {
        **{name: tensor for name, tensor in tensors.items() if name != "conditions"},
        **options,
        "gate_up_activations_T": kept,
        "output_hidden_states_grad": d_output.astype(DTYPES[case.dtype]),
        "block_size": case.B,
    }


def run_backward(case: Case, arguments: dict[str, Any] | None = None, **changes: Any) -> Gradients:
    """Simulate the backward pass of a case; `changes` replace arguments."""
    given = {**(backward_arguments(case) if arguments is None else arguments), **changes}
    done = nkisim.Simulator(case.target, lnc=case.cores).run(moe_cte_backward, **given)
    names = [name for name in NAMES if given.get(name) is not None]
    return Gradients(case, given, dict(zip(names, done.outputs, strict=True)), done)


def golden(arguments: dict[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """The golden gradients, by argument."""
    left_out = ("skip_dma", "compute_dtype", "expert_affinities_scaling_mode")
    given = {name: value for name, value in arguments.items() if name not in left_out}
    found = moe_cte_backward_reference(**given, skip_token=arguments["skip_dma"].skip_token)
    return {name: grad for name, grad in zip(NAMES, found, strict=True) if grad is not None}


def as_rows(name: str, gradient: Array, experts: int) -> Array:
    """Rows that are judged one by one: of one expert's affinities; of a token, a row of weights, an expert's bias."""
    if name == "expert_affinities_masked":
        return gradient.reshape(-1, experts).T
    if name == "gate_up_proj_weight":
        return gradient.reshape(-1, gradient.shape[2] * gradient.shape[3])
    return gradient.reshape(-1, gradient.shape[-1])


def assert_golden(gradients: Gradients) -> None:
    """Every gradient has the shape and dtype of its argument and is within its bounds."""
    case, expected = gradients.case, golden(gradients.arguments)
    assert list(gradients.found) == list(expected)
    for name, gradient in gradients.found.items():
        argument = gradients.arguments[name]
        assert (gradient.shape, gradient.dtype) == (argument.shape, argument.dtype), name
        rows = [as_rows(name, each.astype(np.float32), case.E) for each in (gradient, expected[name])]
        try:
            assert_close(*rows, gradient_tolerance(name, case.computes_in, case.dtype))
        except AssertionError as error:
            raise AssertionError(f"gradient of {name}: {error}") from None


def check_backward(case: Case, **changes: Any) -> Gradients:
    """Run a case and compare."""
    gradients = run_backward(case, **changes)
    assert_golden(gradients)
    return gradients


def backward_plan(case: Case, arguments: dict[str, Any]) -> BackwardPlan:
    """The plan of the call that `run_backward` makes."""
    known = {f.name for f in fields(BackwardRequest)}
    given = {name: value for name, value in arguments.items() if name in known}
    request = BackwardRequest.from_arguments({**given, "spec": MoECTESpec(MoECTEImplementation.shard_on_block)})
    return make_backward_plan(request, case.cores, TARGETS[case.target])
