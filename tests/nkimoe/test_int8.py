"""int8 weights, with and without int8 activations, agree with the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.case import Case, cases
from support.checkpoints import check_checkpoints
from support.inputs import build_inputs, route
from support.launch import assert_matches, assert_matches_reference, assert_same_bits, check, run
from support.routings import expert_lists

from nkimoe import ActFnType, BlockShardStrategy, ExpertAffinityScaleMode, QuantizationConfig
from nkimoe.planning.row_scales import rows_read
from nkimoe.weights.int8 import exact_rows
from nkisim.observe import Recorder

ALONE = Case(T=60, weights="int8")
BOTH = replace(ALONE, int8_inputs=True)
EACH = (ALONE, BOTH)
HALVES = BlockShardStrategy.HI_LO
SCALES = ("gate_up_proj_scale", "down_proj_scale")


@cases(
    *(replace(case, scaling=mode) for case in EACH for mode in ExpertAffinityScaleMode),
    *(replace(case, biases=biases) for case in EACH for biases in ("both", "gate_up", "down", "none")),
    *(replace(BOTH, activation=activation) for activation in ActFnType),
    *(replace(case, gate_upper=0.4, gate_lower=-0.3, up_upper=0.5, up_lower=-0.2, up_offset=1.0) for case in EACH),
    *(replace(case, skip_gate=True, up_upper=0.3) for case in EACH),
    *(replace(case, multiply_on_i=True) for case in EACH),
    replace(BOTH, multiply_on_i=True, skip_gate=True, biases="down"),
    *(replace(case, K=1, accumulating=False, routing="some_tokens_nowhere") for case in EACH),
    *(replace(case, skip_token=False) for case in EACH),
    *(replace(case, T=500, E=3, skip_weight=True) for case in EACH),
    *(replace(case, dtype="float16") for case in EACH),
    *(replace(case, compute_dtype="float16") for case in EACH),
    *(replace(case, dtype="float16", compute_dtype="bfloat16") for case in EACH),
    replace(BOTH, dtype="float16", compute_dtype="bfloat16", biases="down", checkpoints=True),
    *(replace(case, target="trn3") for case in EACH),
    *(replace(case, strategy=HALVES, T=300) for case in EACH),
    *(replace(case, per_core_output=True, T=300) for case in EACH),
    replace(BOTH, per_core_output=True, strategy=HALVES, dtype="float16"),
    replace(BOTH, non_overlapping=True, strategy=HALVES, routing="two_halves"),
    replace(BOTH, shared_scales=True),
)
def test_every_option(case: Case) -> None:
    check(case)


@cases(
    *(replace(case, H=H, I=I) for case in EACH for H, I in ((128, 2), (384, 192), (384, 200), (640, 48), (1152, 600))),
    *(replace(case, I=1, cores=1) for case in EACH),
    *(replace(case, B=B, T=T) for case in EACH for B, T in ((100, 150), (256, 300), (512, 600), (600, 700))),
    *(replace(case, B=256, T=300, cores=1, padding_blocks=2) for case in EACH),
    *(replace(case, E=1, K=1, T=300, padding_blocks=0) for case in EACH),
    replace(BOTH, routing="empty_experts", E=6, padding_blocks=3),
    replace(BOTH, T=1, K=1),
)
def test_any_size(case: Case) -> None:
    check(case)


@cases(
    *(
        replace(BOTH, variant="shard_on_i", H=H, I=I, B=B)
        for H, I, B in ((128, 2, 64), (384, 101, 100), (640, 600, 300))
    ),
    *(replace(BOTH, variant="shard_on_i", scaling=mode) for mode in ExpertAffinityScaleMode),
    replace(BOTH, variant="shard_on_i", multiply_on_i=True, gate_upper=0.4, up_offset=1.0),
    replace(BOTH, variant="shard_on_i", H=1152, checkpoints=True),
    replace(BOTH, variant="shard_on_i_hybrid", T=600, E=3, static_blocks=1),
    replace(BOTH, variant="shard_on_i_dropping", T=200, B=200, H=256, I=80),
    replace(BOTH, variant="shard_on_i", I=2048, E=2, H=128),
)
def test_cores_that_share_a_block_agree_on_the_scale_of_each_token(case: Case) -> None:
    check(case)


@st.composite
def routed_cases(draw: st.DrawFn) -> tuple[Case, Any]:
    """A small case, and experts [T, K] with unrouted pairs anywhere."""
    T, E, B = draw(st.integers(1, 300)), draw(st.integers(1, 6)), draw(st.sampled_from([32, 128, 200, 256]))
    K, cores = draw(st.integers(1, min(E, 4))), draw(st.sampled_from([1, 2]))
    case = replace(
        draw(st.sampled_from(EACH)), T=T, H=128 * draw(st.integers(1, 5)), I=draw(st.integers(cores, 300)), E=E, K=K,
        B=B, cores=cores, padding_blocks=draw(st.integers(0, 3)), skip_token=draw(st.booleans()),
        scaling=draw(st.sampled_from(list(ExpertAffinityScaleMode))), activation=draw(st.sampled_from(list(ActFnType))),
        biases=draw(st.sampled_from(["both", "gate_up", "down", "none"])), skip_gate=draw(st.booleans()),
        strategy=draw(st.sampled_from(list(BlockShardStrategy))), seed=draw(st.integers(0, 99)),
    )  # fmt: skip
    return case, draw(expert_lists(T, E, K))


@settings(max_examples=40, deadline=None)
@given(routed_cases())
def test_any_routing_equals_the_reference(drawn: tuple[Case, Any]) -> None:
    case, ids = drawn
    weights = np.random.default_rng(case.seed).uniform(0.2, 1, ids.shape)
    assert_matches_reference(run(case, {**build_inputs(case), **route(case, ids, weights)}))


@cases(
    *(replace(case, H=2048, I=3200, E=2, K=1, biases="none") for case in EACH),
    replace(BOTH, H=2048, I=1456, E=2, B=512, T=300, cores=1),
)
def test_weights_that_do_not_fit_stream_through(case: Case) -> None:
    check(case)


@cases(
    *(replace(ALONE, variant="shard_on_i", I=I, E=2) for I in (2, 208, 337)),
    replace(ALONE, variant="shard_on_i", T=600, H=1280, B=512, scaling=ExpertAffinityScaleMode.PRE_SCALE),
    replace(ALONE, variant="shard_on_i_hybrid", T=500, E=3, static_blocks=1, padding_blocks=2),
    replace(ALONE, variant="shard_on_i_dropping", T=300, B=128),
)
def test_weights_alone_in_the_other_dense_variants(case: Case) -> None:
    check(case)


@cases(
    *(replace(case, T=300, static_blocks=static, conditions=1) for case in EACH for static in (0, 1, 3)),
    *(replace(case, T=500, static_blocks=0, conditions=0, strategy=HALVES, padding_blocks=2) for case in EACH),
    replace(BOTH, T=900, E=2, K=1, B=600, static_blocks=0, conditions=1),
    replace(BOTH, T=900, E=9, static_blocks=1, conditions=1, padding_blocks=4, shuffled=True),
    replace(BOTH, T=300, cores=1, static_blocks=0, conditions=1, scaling=ExpertAffinityScaleMode.PRE_SCALE_DELAYED),
)
def test_device_loops(case: Case) -> None:
    check(case)


@cases(
    *(replace(case, checkpoints=True) for case in EACH),
    replace(BOTH, checkpoints=True, B=600, T=700),
    replace(BOTH, checkpoints=True, H=384, I=208, gate_upper=0.4, up_lower=-0.3),
    replace(BOTH, checkpoints=True, skip_gate=True),
    replace(BOTH, checkpoints=True, multiply_on_i=True),
    replace(BOTH, checkpoints=True, T=300, static_blocks=0, conditions=1),
)
def test_checkpoints_hold_what_the_definition_gives(case: Case) -> None:
    check_checkpoints(check(case))


@cases(*(replace(case, E=1, K=1, T=300, padding_blocks=0) for case in EACH))
def test_cores_and_block_sizes_give_the_same_bits(case: Case) -> None:
    expected = check(case).output
    for changed in (replace(case, cores=1), replace(case, B=256), replace(case, B=100), replace(case, strategy=HALVES)):
        assert_same_bits(run(changed, build_inputs(case) | _routing(changed)).output, expected)


def _routing(case: Case) -> dict[str, Any]:
    """Of one expert: the draws of a case's other tensors do not depend on it."""
    names = ("token_position_to_id", "block_to_expert")
    return {name: build_inputs(case)[name] for name in names}


@cases(BOTH, replace(BOTH, T=300, static_blocks=0, conditions=1))
def test_the_largest_certified_rows_and_the_fewest_give_the_same_bits(case: Case) -> None:
    case = replace(case, H=2048)
    inputs = build_inputs(case)
    expected = run(case, inputs).output
    scales = [inputs.pop(name) for name in SCALES]
    rows = exact_rows(inputs["gate_up_proj_weight"], inputs["down_proj_weight"])
    assert rows > 2048, "codes of normal values are small enough for one sum"
    config = QuantizationConfig(*scales, rows)
    assert_same_bits(run(case, inputs, quantization_config=config).output, expected)


def test_scales_of_tokens_are_their_own() -> None:
    """A token a million times as large changes nobody else's result."""
    case = replace(BOTH, biases="none")
    inputs = build_inputs(case)
    expected = run(case, inputs).output
    large = inputs["hidden_states"].copy()
    large[7] *= 2.0**20
    found = run(case, {**inputs, "hidden_states": large}).output
    others = np.arange(case.T) != 7
    assert_same_bits(found[others], expected[others])


@pytest.mark.parametrize("biases", ["both", "none"])
@pytest.mark.parametrize("case", EACH, ids=str)
def test_a_scale_for_a_matrix_is_one_for_each_of_its_columns(case: Case, biases: str) -> None:
    inputs = build_inputs(replace(case, biases=biases))
    of_gate_up, of_down = (np.linspace(0.01, 0.02, case.E * n, dtype=np.float32).reshape(-1, n, 1) for n in (2, 1))
    matrices = {"gate_up_proj_scale": of_gate_up, "down_proj_scale": of_down[:, 0]}
    columns = {
        "gate_up_proj_scale": np.repeat(of_gate_up, case.I, axis=2).reshape(case.E, 1, -1),
        "down_proj_scale": np.repeat(of_down, case.H, axis=2),
    }
    found, expected = run(case, inputs | matrices), run(case, inputs | columns).output
    if biases == "none":
        assert_same_bits(found.output, expected)
    else:  # behind a scale of columns a bias is added after the affinity multiplies
        assert_matches(found, expected.astype(np.float32))


def test_tokens_are_quantised_once_whatever_the_number_of_experts() -> None:
    counts = []
    for E in (2, 6):
        recorder = Recorder()
        run(replace(BOTH, T=300, E=E, K=2, biases="none"), observers=[recorder])
        named = [e for e in recorder.events if any(a.storage.name == "moe_cte__token_codes" for a in e.writes)]
        counts.append(len(named))
    assert counts == [3, 3], "one transfer a tile of tokens"


def test_weights_stay_one_byte_wide_on_the_way() -> None:
    case = Case(T=128, H=512, I=512, E=1, K=1, padding_blocks=0, biases="none", cores=1)
    wide, narrow = (run(replace(case, weights=weights)).run.profile.hbm_read for weights in ("plain", "int8"))
    of_down = rows_read(False, case.B, False) * case.H
    weights, scales = 3 * case.H * case.I, 4 * (2 * case.I + of_down)
    assert wide - narrow == weights - scales


@pytest.mark.parametrize(("H", "transposes"), [(256, 1), (384, 2), (512, 2)])
def test_two_tiles_of_hidden_codes_share_a_transpose(H: int, transposes: int) -> None:
    recorder = Recorder()
    case = replace(BOTH, T=64, H=H, I=64, E=1, K=1, B=64, cores=1, padding_blocks=0, biases="none")
    run(case, observers=[recorder])
    turned = [event for event in recorder.events if event.opcode == "nc_transpose"]
    assert len(turned) == transposes + 1, "and one to find the largest value of each token"


@pytest.mark.parametrize(("I", "transfers"), [(192, 1), (200, 1), (201, 2)])
def test_tiles_of_the_inner_size_that_can_be_alike_come_in_one_transfer(I: int, transfers: int) -> None:
    recorder = Recorder()
    case = replace(BOTH, T=64, H=256, I=I, E=1, K=1, B=64, cores=1, padding_blocks=0, biases="none")
    run(case, observers=[recorder])
    loads = [e for e in recorder.events if any(a.storage.name == "down_proj_weight" for a in e.reads)]
    assert len(loads) == transfers


@pytest.mark.parametrize(("B", "engines"), [(64, {"vector", "scalar", "gpsimd"}), (65, {"vector", "scalar"})])
def test_gpsimd_converts_weights_where_it_has_few_rows_to_describe(B: int, engines: set[str]) -> None:
    recorder = Recorder()
    run(replace(BOTH, T=60, H=1024, B=B, E=1, K=1, padding_blocks=0, biases="none"), observers=[recorder])
    converted = [e for e in recorder.events if "converted_pieces" in str(e.location)]
    assert {e.engine for e in converted} == engines


@pytest.mark.parametrize("case", EACH, ids=str)
def test_half_the_scale_for_twice_the_codes_changes_nothing(case: Case) -> None:
    inputs = build_inputs(case)
    doubled = dict(inputs)
    for which in ("gate_up", "down"):
        weight, scale = f"{which}_proj_weight", f"{which}_proj_scale"
        inputs[weight] = inputs[weight] // 2
        doubled[weight], doubled[scale] = inputs[weight] * 2, inputs[scale] / 2
    assert_same_bits(run(case, doubled).output, run(case, inputs).output)
