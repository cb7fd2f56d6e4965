"""Tuned tables: what a file holds, which row a call finds, and which of two rows stays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gemm_cases import drawn
from support.tuned_rows import CHOICES, LAYER, tuned_row

from nkimoe import RequestError
from nkimoe.ops import fused_moe_gemm
from nkimoe.ops.tuned_choices import choices_of
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split, default_choices
from nkimoe.planning.grouped_gemm.pieces import ProjectionSizes
from nkimoe.tuning import LayerKey, TunedTable, read_table
from nkimoe.tuning.layer_key import buckets
from nkimoe.tuning.tuned_row import COLUMNS
from nkimoe.tuning.writer import add_to_table
from nkisim import Simulator
from nkisim.timing import CLOCK

ONE = replace(LAYER, act_type="none", use_g1u1=False)


def found(layer, *rows):
    return TunedTable(rows).on("trn2", 2).row(layer)


def test_a_file_gives_back_the_rows_that_were_written(tmp_path):
    rows = [tuned_row(), tuned_row(ONE), tuned_row(replace(LAYER, token=1, doweight_stage1=True), 0.5)]
    add_to_table(tmp_path / "t.csv", rows[:2])
    add_to_table(tmp_path / "t.csv", rows[2:])
    assert [*read_table(tmp_path / "t.csv")] == rows
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_the_key_is_that_of_aiters_table_behind_target_and_lnc():
    assert COLUMNS[:14] == (
        "target", "lnc", "token", "model_dim", "inter_dim", "expert", "topk", "act_type", "dtype", "q_dtype_a",
        "q_dtype_w", "q_type", "use_g1u1", "doweight_stage1",
    )  # fmt: skip


def test_of_one_key_the_faster_row_stays(tmp_path):
    for us in (9.0, 8.0, 10.0):
        table = add_to_table(tmp_path / "t.csv", [tuned_row(us=us)])
    assert [row.whole.us for row in table] == [8.0]


def test_a_row_of_a_newer_clock_stays_however_slow():
    old, new = replace(tuned_row(us=8.0), clock="1.9"), replace(tuned_row(us=9.0), clock="1.10")
    assert [*TunedTable([old, new])] == [*TunedTable([new, old])] == [new]


@pytest.mark.parametrize(
    ("tokens", "those"),
    [(1, [1]), (2, [2]), (3, [4]), (128, [128]), (129, [256]), (32767, [32768]), (131071, [32768]),
     (10**6, [131072, 32768])],
)  # fmt: skip
def test_tokens_are_rounded_up_to_a_power_of_two_and_down_to_a_tier(tokens, those):
    assert buckets(tokens) == those


def test_a_call_finds_the_row_of_its_bucket():
    row = tuned_row()
    assert [found(replace(LAYER, token=token), row) is row for token in (64, 65, 128, 129)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_the_exact_key_comes_before_that_of_another_activation():
    silu, gelu = tuned_row(us=9.0), tuned_row(replace(LAYER, act_type="gelu"), us=1.0)
    assert found(LAYER, silu, gelu) is silu
    assert found(replace(LAYER, act_type="swiglu"), silu, gelu) is gelu  # the faster of both


def test_smaller_tiers_come_last():
    large, small = replace(LAYER, token=131072), replace(LAYER, token=32768)
    other = tuned_row(replace(large, act_type="gelu"))
    assert found(replace(LAYER, token=200000), tuned_row(small), other) is other
    row = tuned_row(small)
    assert found(replace(LAYER, token=200000), row) is row
    assert found(replace(LAYER, token=32767), tuned_row(large)) is None


@given(st.sampled_from([name for name in COLUMNS[3:14] if name not in ("act_type", "dtype")]))
def test_any_other_difference_is_another_layer(name):
    value = getattr(LAYER, name)
    changed = (not value) if isinstance(value, bool) else value + (1 if isinstance(value, int) else "x")
    assert found(replace(LAYER, **{name: changed}), tuned_row()) is None


@pytest.mark.parametrize(("target", "lnc"), [("trn2", 1), ("trn3", 2)])
def test_rows_of_another_target_or_number_of_cores_are_not_found(target, lnc):
    assert TunedTable([tuned_row()]).on(target, lnc).row(LAYER) is None


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("target", "gfx942", "line 2, target: is trn2, trn3; got 'gfx942'"),
        ("lnc", "3", "line 2, lnc: is 1 to 2; got 3"),
        ("token", "0", "line 2, token: is 1 or more; got 0"),
        ("token", "100", "line 2, token: is a power of two up to 32768, or 131072; got 100"),
        ("block_size", "200", "line 2, block_size: is a multiple of 32; got 200"),
        ("width1", "513", "line 2, width1: is 1 to 512; got 513"),
        ("at_once2", "", "line 2, at_once2: is a number; got ''"),
        ("split2", "rows", "line 2, split2: is blocks, columns, whole blocks; got 'rows'"),
        ("act_type", "none", "line 2, act_type: is silu, gelu, swiglu; got 'none'"),
        ("q_type", "per_token", "line 2, q_type: is of a quantisation of nkimoe.ops; got bfloat16, bfloat16"),
        ("use_g1u1", "yes", "line 2, use_g1u1: is 0, 1; got 'yes'"),
        ("us", "nan", "line 2, us: is positive; got nan"),
        ("clock", "new", "line 2, clock: is a version; got 'new'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_line_and_column(tmp_path, column, value, said):
    row = tuned_row().as_text() | {column: value}
    (tmp_path / "t.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row[name] for name in COLUMNS) + "\n")
    with pytest.raises(RequestError, match=said.replace("(", r"\(")):
        read_table(tmp_path / "t.csv")


def test_a_table_of_aiter_is_not_taken_for_ours(tmp_path):
    (tmp_path / "t.csv").write_text("cu_num,token\n80,4\n")
    with pytest.raises(RequestError, match="read_peer_table"):
        read_table(tmp_path / "t.csv")


def test_a_broken_line_is_refused(tmp_path):
    add_to_table(tmp_path / "t.csv", [tuned_row()])
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.rstrip().rpartition(",")[0] + "\n")
    with pytest.raises(RequestError, match="line 2: has 32 values"):
        read_table(tmp_path / "t.csv")


def test_a_file_that_is_no_table_is_left_alone(tmp_path):
    (tmp_path / "t.csv").write_text("text\n")
    with pytest.raises(RequestError, match="has the columns"):
        add_to_table(tmp_path / "t.csv", [tuned_row()])
    assert (tmp_path / "t.csv").read_text() == "text\n"


def test_a_call_without_a_row_runs_as_without_a_table():
    sizes = [ProjectionSizes(200, 384, 2), ProjectionSizes(300, 200, 1)]
    other, rows = replace(LAYER, topk=2), TunedTable([tuned_row()]).on("trn2", 2)
    assert rows.row(other) is None
    assert choices_of(None, 256, 4, sizes) == default_choices(256, 4, sizes)
    assert choices_of(rows.row(LAYER), 256, 4, sizes) == CHOICES
    assert choices_of(rows.row(LAYER), 256, 4, sizes[:1]) == CHOICES[:1]


def test_a_row_that_does_not_fit_on_chip_is_refused_by_name():
    huge = GemmChoice(4096, 128, 1, Split.BLOCKS)
    layer = LayerKey(64, 4096, 128, 4, 2, "silu", "bfloat16", "bfloat16", "bfloat16", "no", True, False)
    rows = TunedTable([tuned_row(layer, choices=(huge, huge))]).on("trn2", 2)
    simulator = Simulator("trn2", 2, numerics=False)
    gemm = fused_moe_gemm.launched_by(simulator.run)
    with pytest.raises(RequestError, match="tuned: leaves room for a piece of 128 columns on trn2; got blocks of 4096"):
        gemm(**drawn(64, 256, 4096, 2, 4), epilogue="silu", tuned=rows)


def test_a_path_is_refused_with_what_to_pass():
    arguments = drawn(8, 16, 16, 1, 2)
    with pytest.raises(RequestError, match=r"tuned: is TunedRows or None; got str. Pass nkimoe.tuning.read_table"):
        fused_moe_gemm(**arguments, tuned="t.csv")
    with pytest.raises(RequestError, match="target: is trn2, trn3; got 'gfx942'"):
        TunedTable().on("gfx942", 2)
    with pytest.raises(RequestError, match="lnc: is 1 or 2; got 4"):
        TunedTable().on("trn2", 4)


def test_rows_say_who_predicted_them():
    row = tuned_row()
    assert (row.clock, row.as_text()["clock"]) == (CLOCK, CLOCK)
    assert np.isfinite([row.whole.low, row.whole.high]).all()
