"""Blocks without tokens may name no expert, E or -1, as packers in production write it. Pads index nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nki.isa as nisa
import nki.language as nl
import numpy as np
import pytest
from support.case import Case, cases
from support.gradients import backward_arguments
from support.inputs import build_inputs
from support.launch import run

from nkimoe import InputError, MoECTEImplementation, moe_cte_backward
from nkimoe.kernels.stages.load_routing import affinity_rows, load_experts
from nkimoe.planning.mx.coded_rows import AffinityPlace
from nkisim import Simulator

BASE = Case(T=200, H=256, I=80, E=3, padding_blocks=3)
MX = replace(BASE, variant="shard_on_block_mx", H=512, I=384, target="trn3", weights="mxfp4")
FREE = [member.name for member in MoECTEImplementation if member.name != "shard_on_i_dropping"]


def empties(inputs: dict[str, Any], case: Case) -> Any:
    """Which blocks have no token."""
    tokens = len(inputs["hidden_states"]) - (not case.skip_token)
    ids = inputs["token_position_to_id"].reshape(-1, case.B)
    return ~((ids >= 0) & (ids < tokens)).any(axis=1)


def rolled(inputs: dict[str, Any], case: Case) -> dict[str, Any]:
    """The last two blocks come first."""
    moved = {"token_position_to_id": 2 * case.B, "block_to_expert": 2}
    return {**inputs, **{name: np.roll(inputs[name], by, axis=0) for name, by in moved.items()}}


def naming(inputs: dict[str, Any], case: Case, expert: int) -> dict[str, Any]:
    experts = inputs["block_to_expert"].copy()
    experts[empties(inputs, case)] = expert
    return {**inputs, "block_to_expert": experts}


def assert_same_output(case: Case, inputs: dict[str, Any]) -> None:
    assert empties(inputs, case).sum() >= 2
    expected = run(case, inputs).output.view(np.uint16)
    for expert in (-1, case.E):
        found = run(case, naming(inputs, case, expert)).output.view(np.uint16)
        np.testing.assert_array_equal(found, expected, err_msg=f"expert {expert}")


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("variant", FREE)
def test_every_variant_takes_blocks_of_no_expert(variant: str, cores: int) -> None:
    case = replace(MX if "_mx" in variant else BASE, variant=variant, cores=cores)
    assert_same_output(case, build_inputs(case))


@cases(
    replace(BASE, skip_token=False),
    replace(BASE, variant="shard_on_i_hybrid", static_blocks=1, skip_token=False),
    replace(BASE, variant="shard_on_i_hybrid", static_blocks=0, conditions=1),
    replace(BASE, static_blocks=0, conditions=1),
    replace(BASE, static_blocks=4),
    replace(BASE, skip_weight=True),
    replace(BASE, B=200, weights="fp8-row", biases="both"),
)
def test_so_do_loops_and_all_conventions_of_pads(case: Case) -> None:
    inputs = build_inputs(case)
    if "conditions" in inputs:
        inputs["conditions"][: inputs["block_to_expert"].size] = 1  # no block is left out
    assert_same_output(case, inputs)


@cases(BASE, replace(BASE, cores=1), replace(BASE, variant="shard_on_i", skip_token=False))
def test_the_first_block_of_all_may_be_one(case: Case) -> None:
    assert_same_output(case, rolled(build_inputs(case), case))


@cases(BASE, replace(BASE, cores=1), replace(BASE, skip_token=False), replace(BASE, padding_blocks=9))
def test_gradients_are_those_of_blocks_with_tokens(case: Case) -> None:
    arguments = backward_arguments(case)
    simulator = Simulator(case.target, case.cores)
    expected = simulator.run(moe_cte_backward, **arguments).outputs
    for expert in (-1, case.E):
        found = simulator.run(moe_cte_backward, **naming(arguments, case, expert)).outputs
        for n, (gradient, right) in enumerate(zip(found, expected, strict=True)):
            assert gradient.tobytes() == right.tobytes(), f"gradient {n}, expert {expert}"


def test_gradients_are_the_same_where_they_come_first() -> None:
    case = replace(BASE, cores=1)
    arguments = backward_arguments(case)
    expected = Simulator(case.target, 1).run(moe_cte_backward, **arguments).outputs
    first = rolled(naming(arguments, case, -1), case)
    first["gate_up_activations_T"] = np.roll(first["gate_up_activations_T"], 2, axis=0)
    found = Simulator(case.target, 1).run(moe_cte_backward, **first).outputs
    assert [each.tobytes() for each in found] == [each.tobytes() for each in expected]


@pytest.mark.parametrize("expert", [-2, 4, 1000])
def test_other_experts_that_do_not_exist_are_refused(expert: int) -> None:
    with pytest.raises(InputError, match="block_to_expert"):
        run(BASE, naming(build_inputs(BASE), BASE, expert))


@pytest.mark.parametrize("expert", [-1, 3])
def test_a_block_with_a_token_has_an_expert(expert: int) -> None:
    inputs = build_inputs(BASE)
    inputs["block_to_expert"][0] = expert
    with pytest.raises(InputError, match=f"{expert} at 0"):
        run(BASE, inputs)


def experts_on_chip(experts: Any) -> Any:
    """What blocks of 5 experts are known by."""
    tile = nl.ndarray((128, experts.shape[0]), dtype=nl.int32, buffer=nl.sbuf)
    load_experts(tile, experts.ap(pattern=[[0, 128], [1, experts.shape[0]]]), 5)
    result = nl.ndarray(tuple(tile.shape), dtype=nl.int32, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=result, src=tile)
    return result


def test_no_index_on_chip_names_an_expert_that_does_not_exist() -> None:
    experts = np.array([0, 4, 5, -1], np.int32)
    found = Simulator("trn2", 1).run(experts_on_chip, experts).outputs
    np.testing.assert_array_equal(found, np.tile([0, 4, 4, 0], (128, 1)))


def rows_of(ids: Any, experts: Any, step: int, first: int) -> Any:
    tiles = [nl.ndarray((128, each.shape[1]), dtype=nl.int32, buffer=nl.sbuf) for each in (ids, experts)]
    for tile, source in zip(tiles, (ids, experts), strict=True):
        nisa.dma_copy(dst=tile, src=source)
    rows = affinity_rows(
        nl.ndarray((128, ids.shape[1]), dtype=nl.int32, buffer=nl.sbuf), *tiles, AffinityPlace(step, first)
    )
    result = nl.ndarray(tuple(rows.shape), dtype=nl.int32, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=result, src=rows)
    return result


@pytest.mark.parametrize("place", [(8, 0), (1096, 1088), (200, 0)])
def test_the_affinity_of_a_pad_has_row_minus_one(place: tuple[int, int]) -> None:
    step, first = place
    rng = np.random.default_rng(0)
    ids, experts = (rng.integers(low, high, (128, 6), dtype=np.int32) for low, high in ((-1, 100_000), (0, 8)))
    ids[::3] = -1
    found = Simulator("trn2", 1).run(rows_of, ids, experts, step, first).outputs
    np.testing.assert_array_equal(found, np.where(ids < 0, -1, ids * step + first + experts))
