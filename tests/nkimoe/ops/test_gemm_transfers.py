"""What GpSimd describes for a grouped GEMM, and what comes before the first rows can be gathered."""

import numpy as np
import pytest
from support.gemm_cases import BF16, check_gemm, drawn
from support.tuned_rows import tuned_row

from nkimoe.kernels.grouped_gemm.rows_in_runs import RUN_COLUMNS
from nkimoe.ops import fused_moe_gemm
from nkimoe.ops.gemm_tables import by_partition
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.tuning import LayerKey, TunedTable
from nkisim import Simulator

M, COLUMNS, CHOICES, E = 200, 384, 2, 3


def transfers(size, K=256, at_once=4):
    """(how many GpSimd describes, descriptors of each table of slots, blocks) on one core, blocks of `size` slots."""
    key = LayerKey(256, K, COLUMNS, E, CHOICES, "none", "bfloat16", "bfloat16", "bfloat16", "no", False, False)
    choice = GemmChoice(size, 96, at_once, Split.BLOCKS)
    rows = TunedTable([tuned_row(key, choices=(choice,))]).on("trn2", 2)
    arguments, profiles = drawn(M, COLUMNS, K, CHOICES, E, BF16), []

    def launched(*args, **kwargs):
        run = Simulator("trn2", 1, numerics=False).run(*args, **kwargs)
        profiles.append(run.profile)
        return run.outputs

    fused_moe_gemm.launched_by(launched)(**arguments, tuned=rows)
    made = [(task, cost) for task, cost in profiles[0].prediction.timeline.transfers()]
    described = sum(task.queue == "gpsimd" for task, _ in made)
    tables = [cost.descriptors for task, cost in made if task.location.file.endswith("grouped_gemm/routing.py")]
    blocks = int(np.sum(-(-np.bincount(arguments["topk_ids"].ravel(), minlength=E) // size)))
    return described, tables, blocks


@pytest.mark.parametrize(("size", "together"), [(32, 4), (64, 2), (96, 1)])
def test_small_tiles_of_several_blocks_share_a_scatter(size, together):
    described, _, blocks = transfers(size)
    assert described == blocks + -(-blocks // together)


def test_each_pass_scatters_its_own_columns_of_small_tiles():
    described, _, blocks = transfers(32, at_once=1)
    assert described == blocks + 4 * -(-blocks // 4)


def test_a_last_tile_beside_whole_ones_shares_a_scatter_too():
    described, _, blocks = transfers(160)
    assert described == 2 * blocks + blocks + -(-blocks // 4)


def test_long_rows_are_gathered_a_run_of_columns_at_a_time():
    (short, _, blocks), (long, _, _) = (transfers(128, K, 1) for K in (RUN_COLUMNS, RUN_COLUMNS + 128))
    assert long - short == blocks


def test_long_rows_are_whole():
    check_gemm(2, **drawn(20, 130, RUN_COLUMNS + 300, 2, 2))


@pytest.mark.parametrize("size", [128, 160])
def test_a_table_of_slots_is_a_run_of_hbm_for_each_partition(size):
    assert transfers(size)[1] == [128, 128, 128]


@pytest.mark.parametrize("size", [3, 128, 160])
def test_tables_of_torch_lie_as_those_of_numpy(size):
    torch = pytest.importorskip("torch")
    table = np.arange(4 * size, dtype=np.int32)
    found = by_partition(torch.from_numpy(table), size)
    assert found.is_contiguous()
    np.testing.assert_array_equal(found.numpy(), by_partition(table, size))


def test_a_slot_is_on_its_partition_of_its_tile():
    turned = by_partition(np.arange(320), 160)
    assert turned.shape == (128, 4)
    assert (turned[5, 2], turned[31, 3]) == (165, 319)
