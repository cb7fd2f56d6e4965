"""A grouped GEMM whose blocks meet all columns before the next one: what moves, when that is chosen, and the bits."""

from dataclasses import replace

import numpy as np
import pytest
from support.gemm_cases import BF16, drawn
from support.tuned_rows import tuned_row

from nkimoe.ops import fused_moe_gemm
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split, default_choices
from nkimoe.planning.grouped_gemm.pieces import Operands, ProjectionSizes
from nkimoe.tuning import LayerKey, TunedTable
from nkimoe.tuning.stages import Stages
from nkisim import Simulator

M, COLUMNS, K, CHOICES, E = 200, 384, 256, 2, 3
KEY = LayerKey(256, K, COLUMNS, E, CHOICES, "silu", "bfloat16", "bfloat16", "bfloat16", "no", True, False)
BIAS = np.random.default_rng(1).standard_normal((E, 2 * COLUMNS)).astype(np.float32)
ARGUMENTS = drawn(M, 2 * COLUMNS, K, CHOICES, E, BF16) | {"epilogue": "silu", "bias": BIAS}
WEIGHT_BYTES = 2 * 2 * COLUMNS * K  # of an expert


def run(split, at_once, size=256, numerics=False):
    """The result in pieces of 96 columns, and what the simulator says of the run on one core."""
    choice = GemmChoice(size, 96, at_once, split)
    rows = TunedTable([tuned_row(KEY, choices=(choice, choice))]).on("trn2", 2)
    runs = []

    def launched(*args, **kwargs):
        runs.append(Simulator("trn2", 1, numerics=numerics).run(*args, **kwargs))
        return runs[0].outputs

    return fused_moe_gemm.launched_by(launched)(**ARGUMENTS, tuned=rows), runs[0].profile


@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize("size", [64, 160, 256])
def test_whole_blocks_give_the_bits_of_passes(size, at_once):
    found, expected = (run(split, at_once, size, True)[0] for split in (Split.WHOLE_BLOCKS, Split.BLOCKS))
    np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))


def test_whole_blocks_keep_no_tokens_in_hbm():
    (_, whole), (_, passes), (_, one_pass) = run(Split.WHOLE_BLOCKS, 1), run(Split.BLOCKS, 1), run(Split.BLOCKS, 4)
    assert whole.hbm_written == one_pass.hbm_written < passes.hbm_written


def test_whole_blocks_load_the_weights_of_an_expert_once_a_block():
    counts = np.bincount(ARGUMENTS["topk_ids"].ravel(), minlength=E)
    surplus = int(np.sum(-(-counts // 64))) - E
    whole, one_pass = run(Split.WHOLE_BLOCKS, 1, 64)[1], run(Split.BLOCKS, 4, 64)[1]
    assert whole.hbm_read - one_pass.hbm_read >= surplus * WEIGHT_BYTES > 0


def choice_of(pairs, experts, projection, blocks=None):
    (choice,) = default_choices(pairs, experts, [projection], blocks)
    return choice


def test_experts_with_a_block_each_meet_all_columns_at_once():
    choice = choice_of(4096, 16, ProjectionSizes(8192, 5120, 1))
    assert (choice.block_size, choice.split) == (288, Split.WHOLE_BLOCKS)


@pytest.mark.parametrize(
    ("pairs", "experts", "projection"),
    [
        (65536, 16, ProjectionSizes(8192, 5120, 1)),  # many blocks an expert
        (32768, 128, ProjectionSizes(768, 2048, 1)),  # all columns are on chip
        (100, 4, ProjectionSizes(8192, 5120, 1)),  # few blocks
        (4096, 16, ProjectionSizes(8192, 5120, 1, operands=Operands.CONVERTED)),
    ],
)
def test_others_make_passes(pairs, experts, projection):
    assert choice_of(pairs, experts, projection).split is None


def test_tokens_that_all_choose_one_expert_make_passes():
    choice = choice_of(4096, 1, ProjectionSizes(8192, 5120, 1), lambda size: -(-4096 // size))
    assert (choice.block_size, choice.split) == (256, None)


def test_weights_that_are_converted_come_in_passes_whatever_a_row_says():
    layer = replace(KEY, q_dtype_w="int8", q_type="per_token")
    choice = GemmChoice(128, 96, 1, Split.WHOLE_BLOCKS)
    assert Stages(KEY, "trn2", 2).plan(0, choice).split is Split.WHOLE_BLOCKS
    assert Stages(layer, "trn2", 2).plan(0, choice).split is Split.COLUMNS


def test_blocks_are_of_whole_tiles_where_few_tokens_take_as_long_as_many():
    sizes = {each: choice_of(4096, 8, ProjectionSizes(2048, 2048, 2, operands=each)).block_size for each in Operands}
    assert sizes == {Operands.PLAIN: 288, Operands.CONVERTED: 288, Operands.CODED: 256}
