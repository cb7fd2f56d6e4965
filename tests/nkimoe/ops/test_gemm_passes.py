"""What a grouped GEMM does once however many passes it makes, and what few tokens of a block cost."""

import pytest
from support.gemm_cases import BF16, drawn
from support.sums import assert_same_sums
from support.tuned_rows import tuned_row

from nkimoe.ops import fused_moe_gemm
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.tuning import LayerKey, TunedTable
from nkisim import Simulator

M, COLUMNS, K, CHOICES, E = 200, 384, 256, 2, 3
KEY = LayerKey(256, K, COLUMNS, E, CHOICES, "silu", "bfloat16", "bfloat16", "bfloat16", "no", True, False)
ARGUMENTS = drawn(M, 2 * COLUMNS, K, CHOICES, E, BF16) | {"epilogue": "silu"}


def run(block_size, at_once, numerics=False):
    """The result, and what the simulator says of the run."""
    choice = GemmChoice(block_size, 96, at_once, Split.BLOCKS)
    rows = TunedTable([tuned_row(KEY, choices=(choice, choice))]).on("trn2", 2)
    runs = []

    def launched(*args, **kwargs):
        runs.append(Simulator("trn2", 1, numerics=numerics).run(*args, **kwargs))
        return runs[0].outputs

    result = fused_moe_gemm.launched_by(launched)(**ARGUMENTS, tuned=rows)
    return result, runs[0].profile


def test_tokens_are_gathered_and_transposed_in_the_first_pass_alone():
    (_, once), (_, often) = run(160, 4), run(160, 1)
    assert often.opcodes["nc_transpose"] == once.opcodes["nc_transpose"]
    assert often.opcodes["nc_matmul"] == once.opcodes["nc_matmul"]


@pytest.mark.parametrize("size", [32, 64, 96, 160, 288])
def test_blocks_that_are_no_whole_tiles_give_the_same_bits(size):
    found, expected = (run(each, 4, numerics=True)[0] for each in (size, 128))
    assert_same_sums(found, expected)


def test_a_quarter_of_the_tokens_takes_the_pe_less_than_half_of_the_time():
    busy = {size: run(size, 4)[1].engines["tensor"].busy_us / -(-M // size) for size in (32, 64, 96, 128)}
    assert busy[32] < 0.5 * busy[128]
