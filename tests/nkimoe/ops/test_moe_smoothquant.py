"""`moe_smoothquant` gives the codes and scales of NumPy: the peer's shapes, cases by hand, and what must not matter."""

import ml_dtypes
import nki
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.row_cases import assert_equal_codes, layer

from nkimoe.ops import moe_smoothquant
from nkimoe.reference.row_quantisation import moe_smoothquant_reference
from nkisim import Simulator

SMOKE = [
    (99, 13), (17, 16), (1, 100), (4, 128), (80, 127), (22, 255, 256), (7, 599), (19, 512), (33, 313, 1000), (11, 510),
    (171, 676, 818), (91, 636), (12, 768, 800), (100, 766, 812), (31, 1024), (64, 1000, 1004), (8, 1501), (3, 1826),
    (5, 2040), (7, 2734), (1, 3182), (9, 4096), (3, 8192), (1, 10547), (3, 17134),
]  # fmt: skip
FP8 = {"trn2": "float8_e4m3", "trn3": "float8_e4m3fn"}


def pitched(x, stride):
    """The same rows, `stride` elements apart; what lies between them is not a number."""
    wide = np.full((len(x), stride), np.nan, x.dtype)
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


def between_rows(q, stride):
    """What lies behind all rows of a view but the last, up to the next."""
    return np.lib.stride_tricks.as_strided(q, (len(q) - 1, stride), (stride, 1))[:, q.shape[1] :].ravel()


@pytest.mark.parametrize("out", ["int8", "fp8"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", SMOKE, ids=str)
def test_the_peers_shapes_give_the_codes_of_the_definition(shape, dtype, out):
    T, H, stride = (*shape, shape[1])[:3]
    x, smooth, ids = layer(T, H, dtype=dtype)
    run = Simulator("trn2").run(moe_smoothquant, pitched(x, stride), smooth, ids, out=out, out_stride=stride)
    expected = moe_smoothquant_reference(x, smooth, ids, out=FP8["trn2"] if out == "fp8" else out)
    assert_equal_codes(run.outputs, expected)
    assert run.outputs[0].strides == (stride, 1)
    assert run.profile.hbm_written == ids.size * (H + 4)


PITCHED = [shape for shape in SMOKE if len(shape) == 3]


@pytest.mark.parametrize("order", ["topk_major", "token_major"])
@pytest.mark.parametrize(("T", "H", "stride"), PITCHED, ids=str)
def test_what_lies_between_rows_of_codes_is_not_written(T, H, stride, order, monkeypatch):
    monkeypatch.setenv("NKISIM_UNWRITTEN_BYTE", "0x5A")
    x, smooth, ids = layer(T, H)
    q, scale = moe_smoothquant[2](x, smooth, ids, order=order, out_stride=stride)
    assert_equal_codes((q, scale), moe_smoothquant_reference(x, smooth, ids, order=order))
    assert set(between_rows(q, stride).tolist()) == {0x5A}


def test_without_tokens_there_are_no_rows_to_lie_apart():
    q, _ = moe_smoothquant(*layer(0, 24), out_stride=32)
    assert q.shape == (0, 24)


@pytest.mark.parametrize("H", [80, 168, 344, 924, 1078, 1996])
def test_seven_hundred_tokens_on_two_cores(H):
    x, smooth, ids = layer(700, H)
    assert_equal_codes(moe_smoothquant[2](x, smooth, ids), moe_smoothquant_reference(x, smooth, ids))


@pytest.mark.parametrize("rounding", ["rne", "trunc", "away"])
@pytest.mark.parametrize("zero_row", ["eps", "plus"])
@pytest.mark.parametrize("order", ["topk_major", "token_major"])
def test_every_combination_of_options(rounding, zero_row, order):
    x, smooth, ids = layer(140, 300)
    x[3], ids[5, 1], ids[7] = 0, -1, 32
    options = {"rounding": rounding, "zero_row": zero_row, "order": order}
    assert_equal_codes(
        moe_smoothquant[2](x, smooth, ids, **options), moe_smoothquant_reference(x, smooth, ids, **options)
    )


@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_fp8_is_the_e4m3_of_the_target(target):
    x, smooth, ids = layer(40, 513)
    found = Simulator(target, 2).run(moe_smoothquant, x, smooth, ids, out="fp8").outputs
    assert_equal_codes(found, moe_smoothquant_reference(x, smooth, ids, out=FP8[target]))


@pytest.mark.parametrize(
    ("T", "H", "E", "k"),
    [(3, 7168, 256, 8), (2, 16384, 8, 2), (2, 16384, 256, 2), (130, 33, 43, 3), (5, 40, 300, 6), (6, 1, 1, 1)],
    ids=["as DeepSeek-V3", "wide rows", "wide rows of many experts", "two tiles of parts", "gathered", "one of all"],
)
def test_sizes_that_change_where_smooth_rows_come_from(T, H, E, k):
    x, smooth, ids = layer(T, H, E, k)
    ids[0, 0], ids[-1, -1] = -1, E
    assert_equal_codes(moe_smoothquant[2](x, smooth, ids), moe_smoothquant_reference(x, smooth, ids))


@pytest.mark.parametrize("rounding", ["rne", "trunc"])
@pytest.mark.parametrize(("H", "E"), [(20000, 4), (40001, 8)])
def test_rows_that_do_not_fit_go_in_windows_of_columns(H, E, rounding):
    x, smooth, ids = layer(5, H, E, k=2, dtype="float32")
    x[1], x[2, -1], ids[3, 0] = 0, 7, -1
    found = Simulator("trn2", 2).run(moe_smoothquant, x, smooth, ids, rounding=rounding).outputs
    assert_equal_codes(found, moe_smoothquant_reference(x, smooth, ids, rounding=rounding))


def test_more_experts_than_pairs_and_an_expert_twice():
    x, smooth, ids = layer(2, 64, E=100, k=3)
    ids[1] = ids[1, 0]
    q, scale = moe_smoothquant(x, smooth, ids, order="token_major")
    assert_equal_codes((q, scale), moe_smoothquant_reference(x, smooth, ids, order="token_major"))
    np.testing.assert_array_equal(q[3], q[5])


def test_a_row_for_each_choice_is_quantised_as_that_row():
    x, smooth, ids = layer(140, 70)
    each = np.stack([x * factor for factor in (1, 2, -1, 0.5, 4)], axis=1).astype(x.dtype)
    assert_equal_codes(moe_smoothquant[2](each, smooth, ids), moe_smoothquant_reference(each, smooth, ids))


@pytest.mark.parametrize("order", ["topk_major", "token_major"])
def test_without_tokens_there_are_no_rows(order):
    q, scale = moe_smoothquant(*layer(0, 24), order=order)
    assert (q.shape, q.dtype, scale.shape, scale.dtype) == ((0, 24), np.int8, (0,), np.float32)


def test_two_tokens_by_hand():
    x = np.array([[1, -2, 4], [127, 63.5, 0]], ml_dtypes.bfloat16)
    smooth = np.array([[1, 1, 1], [2, 1, 0.25]], np.float32)
    q, scale = moe_smoothquant(x, smooth, np.array([[0, 1], [0, 1]], np.int32))
    expected = [[32, -64, 127], [127, 64, 0], [127, -127, 64], [127, 32, 0]]  # 63.5 is a tie, which goes to 64
    np.testing.assert_array_equal(q, expected)
    np.testing.assert_array_equal(scale, np.array([4, 127, 2, 254], np.float32) / np.float32(127))


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        ("rne", [127, 0, 2, 2, 4, 0, -2, -2, -126, 1, 0]),
        ("away", [127, 1, 2, 3, 4, -1, -2, -3, -127, 1, 0]),
        ("trunc", [127, 0, 1, 2, 3, 0, -1, -2, -126, 0, 0]),
    ],
)
def test_ties_go_where_the_rounding_says(rounding, expected):
    x = np.array([[127, 0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, -126.5, 0.75, 0.25]], np.float32)
    ones, ids = np.ones((1, x.shape[1]), np.float32), np.zeros((1, 1), np.int32)
    q, scale = moe_smoothquant(x, ones, ids, rounding=rounding)
    np.testing.assert_array_equal(q, [expected])
    np.testing.assert_array_equal(scale, [1])


@pytest.mark.parametrize("rounding", ["rne", "trunc", "away"])
@pytest.mark.parametrize(("zero_row", "scale_of_zeros"), [("eps", np.float32(1e-7) / np.float32(127)), ("plus", 1e-12)])
def test_a_row_of_zeros_has_codes_of_zero_and_a_finite_scale(rounding, zero_row, scale_of_zeros):
    x, smooth, ids = layer(3, 50)
    x[1] = 0
    q, scale = moe_smoothquant(x, smooth, ids, rounding=rounding, zero_row=zero_row)
    assert not q[1::3].any()
    np.testing.assert_array_equal(scale[1::3], np.full(5, scale_of_zeros, np.float32))


@pytest.mark.parametrize("E", [32, 300], ids=["selected", "gathered"])
@pytest.mark.parametrize("foreign", [-1, -(2**31), 300, 2**24 + 1, 2**31 - 1])
def test_ids_of_no_expert_leave_zeros_and_change_nothing_else(foreign, E):
    x, smooth, ids = layer(20, 40, E)
    q, scale = moe_smoothquant(x, smooth, ids, order="token_major")
    ids[4, 2] = ids[6] = foreign
    other_q, other_scale = moe_smoothquant(x, smooth, ids, order="token_major")
    skipped = np.zeros(100, np.bool_)
    skipped[[22, *range(30, 35)]] = True
    assert not other_q[skipped].any()
    assert not other_scale[skipped].any()
    np.testing.assert_array_equal(other_q[~skipped], q[~skipped])
    np.testing.assert_array_equal(other_scale[~skipped], scale[~skipped])


@pytest.mark.parametrize("rounding", ["rne", "trunc", "away"])
def test_products_near_the_end_of_fp32_have_codes_and_a_finite_scale(rounding):
    x = np.array([[2.0**100, -(2.0**100), 1]], ml_dtypes.bfloat16)
    smooth, ids = np.full((1, 3), 2.0**27, np.float32), np.zeros((1, 1), np.int32)
    q, scale = moe_smoothquant(x, smooth, ids, rounding=rounding)
    np.testing.assert_array_equal(q, [[127, -127, 0]])
    np.testing.assert_array_equal(scale, np.float32(2.0**127) / np.float32(127))


def test_rows_below_eps_have_coarser_codes():
    x = np.array([[1e-8, -6e-8]], np.float32)
    q, _ = moe_smoothquant(x, np.ones((1, 2), np.float32), np.zeros((1, 1), np.int32))
    np.testing.assert_array_equal(q, [[13, -76]])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(-12, 12), st.integers(0, 2**31))
def test_powers_of_two_scale_the_scale_and_nothing_else(T, H, exponent, seed):
    x, smooth, ids = layer(T, H, E=5, k=2, dtype="float32", seed=seed)
    q, scale = moe_smoothquant(x, smooth, ids)
    other_q, other_scale = moe_smoothquant(x, smooth * np.float32(2.0**exponent), ids)
    np.testing.assert_array_equal(other_q, q)
    np.testing.assert_array_equal(other_scale, scale * np.float32(2.0**exponent))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.sampled_from([1, 2]), st.integers(0, 2**31))
def test_tokens_and_cores_do_not_see_each_other(T, H, cores, seed):
    x, smooth, ids = layer(T, H, E=7, k=3, seed=seed)
    order = np.random.default_rng(seed).permutation(T)
    q, scale = moe_smoothquant(x, smooth, ids)
    other_q, other_scale = moe_smoothquant[cores](x[order], smooth, ids[order])
    np.testing.assert_array_equal(other_q.reshape(3, T, H), q.reshape(3, T, H)[:, order])
    np.testing.assert_array_equal(other_scale.reshape(3, T), scale.reshape(3, T)[:, order])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 150), st.integers(1, 70), st.integers(1, 50), st.sampled_from(["rne", "trunc", "away"]),
    st.integers(0, 2**31),
)  # fmt: skip
def test_any_sizes_give_the_codes_of_the_definition(T, H, E, rounding, seed):
    x, smooth, ids = layer(T, H, E, min(E, 3), "float16", seed)
    found = moe_smoothquant[2](x, smooth, ids, rounding=rounding)
    assert_equal_codes(found, moe_smoothquant_reference(x, smooth, ids, rounding=rounding))


def test_codes_stay_within_127_in_either_direction():
    x, smooth, ids = layer(200, 300, dtype="float32")
    for rounding in ("rne", "trunc", "away"):
        q, _ = moe_smoothquant(x, smooth, ids, rounding=rounding)
        assert np.abs(q.astype(np.int32)).max() == 127


@pytest.mark.parametrize(("T", "H", "E"), [(300, 90, 32), (300, 90, 300), (3, 20000, 4)], ids=str)
def test_late_transfers_change_nothing(T, H, E):
    assert not Simulator("trn2", 2).compare_dma_orders(moe_smoothquant, *layer(T, H, E, k=3)).findings


@nki.jit
def unchecked(x, smooth_scale, topk_ids):
    """Inside another kernel, as on a device: no host sees the values."""
    return moe_smoothquant(x, smooth_scale, topk_ids)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_stays_in_its_row(bad):
    x, smooth, ids = layer(6, 30, k=1)
    q, scale = moe_smoothquant(x, smooth, ids)
    x[2, 5] = bad
    other_q, other_scale = unchecked(x, smooth, ids)
    rest = np.arange(6) != 2
    np.testing.assert_array_equal(other_q[rest], q[rest])
    np.testing.assert_array_equal(other_scale[rest], scale[rest])
    assert other_q[2, 5] == (0 if np.isnan(bad) else 127)
