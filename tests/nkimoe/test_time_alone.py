"""A launch for its time alone builds the program that a launch with detectors builds, bit for bit."""

from dataclasses import replace

import pytest
from support.case import Case
from support.gemm_cases import BF16, drawn, int8_drawn
from support.gradients import backward_arguments
from support.inputs import build_inputs
from support.same_programs import assert_same, issued_in_full, profiles

from nkimoe import moe_cte_backward
from nkimoe.cli.experiment import PAIRS, TOKENS, Progress, Setup, arguments_of, layer_of
from nkimoe.models import Model
from nkimoe.moe_cte import moe_cte
from nkimoe.ops import fused_moe_gemm
from nkimoe.routing.made_up import UNIFORM
from nkimoe.routing.rule import RoutingRule
from nkimoe.spec import BlockShardStrategy

SILENT = Progress(lambda name, total: None, lambda: None)
SMALL = Setup(
    "small", 1, 256, "shard_on_block", "trn2", 2, 128, "bf16", "a text", numerics=False, routing=UNIFORM,
    sizes=Model(512, 256, 4, RoutingRule(2), "none"),
)  # fmt: skip
LAYERS = {
    "blocks on HI_LO": SMALL,
    "blocks on PING_PONG": replace(SMALL, strategy=BlockShardStrategy.PING_PONG),
    "one core": replace(SMALL, lnc=1),
    "tokens in slots": replace(SMALL, slots=TOKENS),
    "fp8 rows": replace(SMALL, weights="fp8-row"),
    "fp8 with one scale": replace(SMALL, weights="fp8-static"),
    "fp8 blocks": replace(SMALL, weights="fp8-block"),
    "int8 activations": replace(SMALL, weights="int8"),
    "columns": replace(SMALL, variant="shard_on_i"),
    "columns, fp8 rows": replace(SMALL, variant="shard_on_i", weights="fp8-row"),
    "hybrid": replace(SMALL, variant="shard_on_i_hybrid"),
    "hybrid, tokens in slots": replace(SMALL, variant="shard_on_i_hybrid", slots=TOKENS),
    "a rank of experts": replace(SMALL, slots=TOKENS, ep=2),
    "a rank of experts, hybrid": replace(SMALL, variant="shard_on_i_hybrid", slots=TOKENS, ep=2),
    "mxfp4 blocks": replace(SMALL, target="trn3", variant="shard_on_block_mx", weights="mxfp4"),
    "mxfp8 columns": replace(SMALL, target="trn3", variant="shard_on_i_mx", weights="mxfp8"),
    "mxfp4 hybrid": replace(SMALL, target="trn3", variant="shard_on_i_mx_hybrid", weights="mxfp4"),
    "dequantised": replace(SMALL, variant="shard_on_block_mx", weights="mxfp4", dequantise=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_the_same_program(name):
    setup = LAYERS[name]
    assert_same(*profiles(setup.target, setup.lnc, moe_cte, **arguments_of(setup, layer_of(setup, SILENT))))


def test_a_layer_that_drops_tokens_has_the_same_program():
    case = Case(variant="shard_on_i_dropping", T=200, H=256, I=80, B=100)
    assert_same(*profiles("trn2", 2, moe_cte, **build_inputs(case), **case.options()))


@pytest.mark.parametrize("cores", [1, 2])
def test_a_backward_pass_has_the_same_program(cores):
    assert_same(*profiles("trn2", cores, moe_cte_backward, **backward_arguments(Case(T=200, H=256, I=128, E=3, B=128))))


@pytest.mark.parametrize("arguments", [drawn(200, 384, 256, 2, 3, BF16), int8_drawn(200, 384, 256, 2, 3, "int8_w8a8")])
def test_a_grouped_gemm_has_the_same_program(arguments):
    found = []

    def launched(kernel, *args):
        found.append(profiles("trn2", 2, kernel, *args))
        raise StopIteration

    with pytest.raises(StopIteration):
        fused_moe_gemm.launched_by(launched)(**arguments)
    assert_same(*found[0])


@pytest.mark.parametrize("slots", [PAIRS, TOKENS])
def test_few_instructions_of_a_layer_run_their_guards(monkeypatch, slots):
    """Twice as many blocks of the same forms: the PE has no others in the second half."""
    few, many = (
        issued_in_full(monkeypatch, moe_cte, **arguments_of(setup, layer_of(setup, SILENT)))
        for setup in (replace(SMALL, slots=slots, tokens=tokens) for tokens in (512, 1024))
    )
    assert many["nc_matmul"].all_issued > few["nc_matmul"].all_issued
    for opcode in ("nc_matmul", "nc_transpose"):
        assert many[opcode].in_full == few[opcode].in_full
    assert many["nc_matmul"].in_full < 0.1 * many["nc_matmul"].all_issued
