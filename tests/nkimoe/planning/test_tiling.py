"""Sizes are cut so that what is on chip fits: the estimate is never below what the simulator measures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.case import Case, cases
from support.launch import plan_of, run

from nkimoe import ExpertAffinityScaleMode
from nkimoe.planning.problem import Problem
from nkimoe.planning.shares import half_of_each_mx_block
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.tiling import GOOD_ROW_BYTES, Demand, ceil_div, choose_tiling, even_width, spans

PRE_SCALE, PRE_SCALE_DELAYED = ExpertAffinityScaleMode.PRE_SCALE, ExpertAffinityScaleMode.PRE_SCALE_DELAYED
SMALL = Case(T=150, H=128, I=48, E=2, K=1, padding_blocks=0)
CLAMPED = {"gate_upper": 1.0, "gate_lower": -1.0, "up_upper": 1.0, "up_lower": -1.0}
SWEEP = (
    SMALL,
    replace(SMALL, T=2000, E=1, I=16),
    *(
        replace(SMALL, H=H, B=B, scaling=mode)
        for H in (128, 1280)
        for B in (128, 512, 640)
        for mode in (PRE_SCALE, PRE_SCALE_DELAYED)
    ),
    *(replace(SMALL, H=384, I=I, skip_weight=keep) for I in (16, 208, 1408) for keep in (False, True)),
    *(replace(SMALL, H=2048, I=I, biases=biases) for I in (128, 528) for biases in ("none", "both")),
    *(replace(SMALL, H=512, I=144, compute_dtype="float32", scaling=mode, B=384) for mode in ExpertAffinityScaleMode),
    replace(SMALL, scaling=PRE_SCALE_DELAYED, B=512, **CLAMPED),
    replace(SMALL, scaling=PRE_SCALE_DELAYED, B=512, dtype="float16", **CLAMPED),
    replace(SMALL, H=2048, I=2064, T=70),
    replace(SMALL, H=8192, I=48, T=70, scaling=PRE_SCALE),
    replace(SMALL, H=8192, I=208, T=70, E=1, accumulating=False),
    *(
        replace(SMALL, variant="shard_on_i", H=H, I=I, B=B)
        for H, I in ((128, 48), (1280, 400))
        for B in (128, 512, 640)
    ),
    replace(SMALL, variant="shard_on_i", H=2048, I=1040, compute_dtype="float32", scaling=PRE_SCALE),
)
LARGE = (
    replace(SMALL, H=7168, I=2048, B=512, T=300),
    replace(SMALL, H=8192, I=2000, B=1024, T=600, scaling=PRE_SCALE),
    replace(SMALL, H=1024, I=16384, E=1),
    replace(SMALL, H=4096, I=192, B=1024, T=1500, scaling=PRE_SCALE_DELAYED),
    replace(SMALL, H=3072, I=1536, B=512, T=300, compute_dtype="float32"),
    replace(SMALL, variant="shard_on_i", H=3072, I=3072, B=512, T=600),
    replace(SMALL, variant="shard_on_i", H=7168, I=2048, B=512, T=600),
)


def load_of(H: int, I: int, item: int = 2, peers: int = 0) -> Demand:
    """Of a core that has all of H and I to itself, or half of both."""
    cores = peers + 1
    return Demand(ceil_div(I, cores), H // cores, H // cores, peers, 20, item, item, item, item, item * H // cores)


@cases(*SWEEP, slow=LARGE)
def test_the_estimate_is_never_below_the_measured_peak(case: Case) -> None:
    outcome = run(case)
    estimate = plan_of(case, outcome.inputs).tiling.sbuf_bytes
    assert outcome.run.profile.sbuf_peak_bytes <= estimate <= TARGETS[case.target].sbuf_bytes
    assert outcome.run.profile.psum_peak_banks <= 8


@pytest.mark.parametrize(
    ("item", "B", "peers", "rows"), [(2, 128, 0, 1024), (1, 128, 0, 2048), (1, 64, 0, 1024), (1, 128, 1, 1024)]
)
def test_pieces_of_fp8_are_longer_where_blocks_share_experts(item: int, B: int, peers: int, rows: int) -> None:
    problem = Problem(T=1000, H=4096, B=B, E=8, N=40, I=512, rows=1000, cores=2)
    load = replace(load_of(4096, 512, peers=peers), gate_up_item=item, down_item=item)
    tiling = choose_tiling(problem, load, TARGETS["trn2"].sbuf_bytes)
    assert (tiling.gate_up_rows, tiling.down_columns) == (rows, rows)


@pytest.mark.parametrize(("block", "rows"), [(0, 96), (128, 128)])
def test_tiles_of_I_are_alike_unless_blocks_of_weights_share_a_scale(block: int, rows: int) -> None:
    problem = Problem(T=1000, H=2048, B=128, E=8, N=40, I=192, rows=1000, cores=2)
    load = replace(load_of(2048, 192), gate_up_block=block, down_block=block)
    assert choose_tiling(problem, load, TARGETS["trn2"].sbuf_bytes).inner_rows == rows


@given(
    H=st.integers(1, 64).map(lambda n: 128 * n),
    I=st.integers(1, 512).map(lambda n: 16 * n),
    B=st.integers(1, 8).map(lambda n: 128 * n),
    itemsize=st.sampled_from([2, 4]),
    peers=st.sampled_from([0, 1]),
)
def test_pieces_fit_and_cover(H: int, I: int, B: int, itemsize: int, peers: int) -> None:
    H, I = (H, min(I, 4096)) if itemsize == 2 else (min(H, 2048), min(I, 2048))
    problem = Problem(T=1000, H=H, B=B, E=8, N=40, I=I, rows=1000, cores=2)
    load = load_of(H, I, itemsize, peers)
    tiling = choose_tiling(problem, load, TARGETS["trn2"].sbuf_bytes)
    assert tiling.sbuf_bytes <= TARGETS["trn2"].sbuf_bytes
    assert 1 <= tiling.token_tiles <= problem.tiles_per_block
    assert tiling.gate_up_columns == load.inner or tiling.gate_up_columns % 128 == 0
    assert tiling.down_columns <= load.written
    assert (load.gathered // 128) % tiling.row_group == 0
    gate_up = ceil_div(load.inner, tiling.gate_up_columns) * ceil_div(H, tiling.gate_up_rows)
    down = (peers + 1) * ceil_div(load.written, tiling.down_columns)
    assert tiling.weights_fit is ((tiling.gate_up_tiles, tiling.down_tiles) == (gate_up, down))
    assert tiling.gate_up_rows == H or tiling.gate_up_rows % (128 * tiling.row_group) == 0
    assert tiling.transposes_per_bank * 128 * itemsize == 2048


@given(H=st.integers(1, 64).map(lambda n: 128 * n), I=st.integers(1, 256).map(lambda n: 16 * n))
def test_rows_of_weights_are_long_runs_where_the_layout_allows(H: int, I: int) -> None:
    tiling = choose_tiling(Problem(100, H, 128, 2, 4, I, 100, 2), load_of(H, I), TARGETS["trn2"].sbuf_bytes)
    longest_group = next(g for g in (8, 4, 2, 1) if (H // 128) % g == 0)
    if tiling.gate_up_columns >= I:  # gate and up of a row are one run
        assert tiling.row_group * 2 * I * 2 >= GOOD_ROW_BYTES or tiling.row_group == longest_group
    else:
        assert tiling.gate_up_columns * 2 >= GOOD_ROW_BYTES // 8


@pytest.mark.parametrize("capacity", [60_000, 100_000, 150_000, 212_984])
def test_less_memory_gives_a_smaller_cut(capacity: int) -> None:
    problem = Problem(T=1000, H=2048, B=512, E=8, N=16, I=1024, rows=1000, cores=2)
    assert choose_tiling(problem, load_of(2048, 1024), capacity).sbuf_bytes <= capacity


@given(total=st.integers(0, 3000), size=st.integers(1, 700), start=st.integers(0, 50))
def test_spans_are_contiguous_and_complete(total: int, size: int, start: int) -> None:
    pieces = spans(total, size, start)
    assert [i for p in pieces for i in range(p.start, p.stop)] == list(range(start, start + total))
    assert all(0 < p.size <= size for p in pieces)
    assert all(p.size == size for p in pieces[:-1])


@given(total=st.integers(1, 5000), most=st.sampled_from([128, 512, 768]))
def test_even_pieces_are_no_more_than_needed(total: int, most: int) -> None:
    width = even_width(total, most)
    assert width <= most
    assert width == total or width % 128 == 0
    assert ceil_div(total, width) == ceil_div(total, most)


@pytest.mark.parametrize(
    ("I", "columns"), [(1536, (1024, 512)), (768, (512, 256)), (512, (256, 256)), (192, (128, 64)), (96, (64, 32))]
)
def test_cores_divide_whole_tiles_of_I_for_mx_and_a_single_tile_in_blocks(I: int, columns: tuple[int, int]) -> None:
    problem = Problem(T=100, H=1024, B=128, E=2, N=4, I=I, rows=100, cores=2)
    assert tuple(half_of_each_mx_block(problem, core).inner.size for core in range(2)) == columns
