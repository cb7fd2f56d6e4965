"""Runs a case on the simulator, beside the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import nkisim
from nkimoe import moe_cte
from nkimoe.planning.plan import Plan, make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import TARGETS
from nkimoe.reference import moe_cte_checkpoints_reference, moe_cte_reference
from nkimoe.reference.int8 import moe_cte_int8_reference, roundings
from nkimoe.reference.mx import moe_cte_mx_reference
from nkimoe.reference.tolerance import Tolerance, int8_tolerance, mx_tolerance, tolerance
from nkisim.observe import Observer
from support.case import Case
from support.inputs import build_inputs
from support.tolerance import assert_close

Array = npt.NDArray[Any]
NOT_OF_THE_REFERENCE = ("spec", "skip_dma", "compute_dtype", "activation_quantization")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a case gave.

    Attributes:
        output: [T', H], as the kernel returned it (slab 0 of a per-core output).
        checkpoints: gate/up and down activations, as far as they were returned.
        run: the simulation.
    """

    case: Case
    inputs: dict[str, Any]
    output: Array
    checkpoints: list[Array]
    run: nkisim.Run


def run(
    case: Case, inputs: dict[str, Any] | None = None, observers: Sequence[Observer] = (), **changes: Any
) -> Outcome:
    """Simulate a case on given or its own inputs; `changes` replace arguments of `moe_cte`."""
    tensors = build_inputs(case) if inputs is None else inputs
    simulator = nkisim.Simulator(case.target, lnc=case.cores, observers=observers)
    done = simulator.run(moe_cte, **{**tensors, **case.options(), **changes})
    output, *checkpoints = done.outputs if isinstance(done.outputs, tuple) else (done.outputs,)
    if case.per_core_output:
        rows, H = len(tensors["hidden_states"]), case.H
        slabs = np.moveaxis(output, 0, 1) if case.is_mx else output
        assert slabs.shape == (rows, case.cores, H)
        assert not slabs[:, 1:].astype(np.float32).any(), "slabs after the first are zero"
        output = slabs[:, 0]
    assert output.dtype == (case.computes_in if case.coded_rows else tensors["hidden_states"].dtype)
    return Outcome(case, tensors, output, checkpoints, done)


def plan_of(case: Case, inputs: dict[str, Any]) -> Plan:
    """The plan of the call that `run` makes."""
    request = Request.from_arguments({**inputs, **case.options()})
    return make_plan(request, case.cores, TARGETS[case.target])


def reference(case: Case, inputs: dict[str, Any]) -> npt.NDArray[np.float32]:
    """What the definition gives; with MX, activations quantised."""
    if case.is_mx:
        options = {**_reference_options(case), "spec": case.spec(), "compute_dtype": case.computes_in}
        return moe_cte_mx_reference(**inputs, **options)
    if case.int8_inputs:
        return moe_cte_int8_reference(**inputs, **_reference_options(case), compute_dtype=case.computes_in)
    return moe_cte_reference(**inputs, **_reference_options(case))


def reference_checkpoints(case: Case, inputs: dict[str, Any]) -> tuple[npt.NDArray[np.float32], ...]:
    """Gate/up and down activations, by the definition."""
    options = _reference_options(case)
    del options["is_tensor_update_accumulating"]
    if case.int8_inputs:
        options |= roundings(case.computes_in)
    return moe_cte_checkpoints_reference(**inputs, **options)


def _reference_options(case: Case) -> dict[str, Any]:
    options = {name: value for name, value in case.options().items() if name not in NOT_OF_THE_REFERENCE}
    return {**options, "skip_token": case.skip_token, "expert_affinity_multiply_on_I": case.multiply_on_i}


def assert_matches_reference(outcome: Outcome) -> None:
    """Within the table's bounds."""
    assert_matches(outcome, reference(outcome.case, outcome.inputs))


def assert_matches(outcome: Outcome, expected: npt.NDArray[np.float32]) -> None:
    """Within the table's bounds of what the definition gives."""
    assert_close(outcome.output.astype(np.float32), expected, bounds_of(outcome.case))


def bounds_of(case: Case) -> Tolerance:
    """The table's."""
    blocks = min(case.K, case.E)
    if case.is_mx:
        return mx_tolerance(case.dtype, blocks, case.I)
    if case.int8_inputs:
        return int8_tolerance(case.dtype, blocks, case.I, case.down_bias_on_chip)
    return tolerance(case.computes_in, case.dtype, blocks, case.weights)


def check(case: Case, **changes: Any) -> Outcome:
    """Run a case and compare."""
    outcome = run(case, **changes)
    assert_matches_reference(outcome)
    return outcome


def assert_same_bits(actual: Array, expected: Array) -> None:
    """Equal shapes, types and values; signs of zero may differ."""
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    different = np.argwhere(actual != expected)
    assert not different.size, (
        f"{len(different)} of {actual.size} elements differ, first {different[0].tolist()}: "
        f"{actual[tuple(different[0])]} and {expected[tuple(different[0])]}"
    )
