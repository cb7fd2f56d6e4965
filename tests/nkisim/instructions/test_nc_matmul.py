"""nc_matmul: products, accumulation, transposes, and every limit of the Tensor Engine."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import dtype_of
from nkisim.errors import (
    AccumulationError,
    ArgumentError,
    BufferRuleError,
    DtypeError,
    NotSimulated,
    PartitionError,
    PsumBankError,
    ShapeError,
    TargetError,
)

DOUBLE = nisa.matmul_perf_mode.double_row


def matmul(k=8, m=8, n=8, dtypes=("bfloat16", "bfloat16"), out="float32", **options):
    """One matmul of zeros."""
    dst = nl.ndarray((m, n), out, buffer=nl.psum)
    nisa.nc_matmul(dst, tile((k, m), dtypes[0]), tile((k, n), dtypes[1]), **options)


@pytest.mark.parametrize(("k", "m", "n"), [(1, 1, 1), (7, 3, 5), (128, 128, 512), (127, 65, 131), (33, 128, 1)])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3])
def test_multiplies_in_float32(trn2, k, m, n, dtype):
    left, right = random_values((k, m), dtype), random_values((k, n), dtype, seed=1)
    got = trn2.compute(nisa.nc_matmul, (m, n), "float32", left, right, buffer=nl.psum)
    expected = left.astype(np.float64).T @ right.astype(np.float64)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.sqrt(k))


def test_flattens_the_free_dimensions(trn2):
    left, right = random_values((9, 2, 3)), random_values((9, 4, 5), seed=1)
    got = trn2.compute(nisa.nc_matmul, (6, 2, 10), "float32", left, right, buffer=nl.psum)
    expected = left.reshape(9, 6).T @ right.reshape(9, 20)
    np.testing.assert_allclose(got.reshape(6, 20), expected, rtol=1e-5, atol=1e-5)


def test_a_view_may_be_an_operand(trn2):
    left, right = random_values((9, 4)), random_values((9, 10), seed=1)

    def body(dst, a, b):
        nisa.nc_matmul(dst, a[:, ::2], b[:, 1:6])

    got = trn2.compute(body, (2, 5), "float32", left, right, buffer=nl.psum)
    np.testing.assert_allclose(got, left[:, ::2].T @ right[:, 1:6], rtol=1e-5, atol=1e-5)


def test_double_row_contracts_over_two_rows_a_partition(trn2):
    left, right = (random_values((11, 2, n), ml_dtypes.float8_e4m3, seed=n) for n in (5, 7))

    def body(dst, a, b):
        nisa.nc_matmul(dst, a, b, perf_mode=DOUBLE)

    got = trn2.compute(body, (5, 7), "float32", left, right, buffer=nl.psum)
    a, b = left.astype(np.float64).reshape(22, 5), right.astype(np.float64).reshape(22, 7)
    np.testing.assert_allclose(got, a.T @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["double_row", DOUBLE])
def test_a_mode_may_be_named(trn2, refuses, mode):
    event = trn2.attempt(
        lambda: nisa.nc_matmul(
            psum((4, 6)), tile((8, 2, 4), "float8_e4m3"), tile((8, 2, 6), "float8_e4m3"), perf_mode=mode
        )
    )[-1]
    assert event.details["double_row"]
    with refuses(ArgumentError, "NKI101", "'double_column'"):
        trn2.attempt(lambda: matmul(perf_mode="double_column"))


@pytest.mark.parametrize("flags", [(None, None, None), (False, True, True), (False, None, True), (None, True, None)])
def test_accumulates_from_the_second_matmul_on(trn2, flags):
    left, right = random_values((3, 8, 5)), random_values((3, 8, 6), seed=1)

    def body(dst, *tiles):
        for i, flag in enumerate(flags):
            nisa.nc_matmul(dst, tiles[i], tiles[3 + i], accumulate=flag)

    got = trn2.compute(body, (5, 6), "float32", *left, *right, buffer=nl.psum)
    np.testing.assert_allclose(got, np.einsum("ikm,ikn->mn", left, right), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("flag", [False, np.False_, 0])
def test_overwrites_when_told_to(trn2, flag):
    left, right = random_values((8, 5)), random_values((8, 6), seed=1)

    def body(dst, a, b):
        nisa.nc_matmul(dst, a, b)
        nl.copy(dst)
        nisa.nc_matmul(dst, a, b, accumulate=flag)

    got = trn2.compute(body, (5, 6), "float32", left, right, buffer=nl.psum)
    np.testing.assert_allclose(got, left.T @ right, rtol=1e-5, atol=1e-5)


def test_each_part_of_a_tile_accumulates_for_itself(trn2):
    left, right = random_values((8, 5)), random_values((8, 6), seed=1)

    def body(dst, a, b):
        for _ in range(2):
            nisa.nc_matmul(dst[:, 0], a, b)
        nisa.nc_matmul(dst[:, 1], a, b)

    got = trn2.compute(body, (5, 2, 6), "float32", left, right, buffer=nl.psum)
    np.testing.assert_allclose(got, np.stack([2 * left.T @ right, left.T @ right], 1), rtol=1e-5, atol=1e-5)


def test_a_new_tensor_at_an_old_address_starts_afresh(trn2):
    left, right = random_values((8, 5)), random_values((8, 6), seed=1)

    def body(dst, a, b):
        for _ in range(3):
            total = nl.ndarray((5, 6), nl.float32, buffer=nl.psum, address=(0, 2048))
            for _ in range(2):
                nisa.nc_matmul(total, a, b)
            nisa.tensor_copy(dst, total)

    got = trn2.compute(body, (5, 6), "float32", left, right)
    np.testing.assert_allclose(got, 2 * left.T @ right, rtol=1e-5, atol=1e-5)


def test_tensors_that_take_turns_at_an_address_start_afresh_each(trn2):
    left, right = random_values((8, 5)), random_values((8, 6), seed=1)

    def body(dst, a, b):
        totals = [nl.ndarray((5, 6), nl.float32, buffer=nl.psum, address=(0, 2048)) for _ in range(3)]
        for total in totals:
            for _ in range(2):
                nisa.nc_matmul(total, a, b)
            nisa.tensor_copy(dst, total)

    got = trn2.compute(body, (5, 6), "float32", left, right)
    np.testing.assert_allclose(got, 2 * left.T @ right, rtol=1e-5, atol=1e-5)


def test_a_matmul_over_what_another_tensor_copied_to_its_address_starts_a_group(trn2):
    left, right = random_values((8, 5)), random_values((8, 6), seed=1)

    def body(dst, a, b):
        total = nl.ndarray((5, 6), nl.float32, buffer=nl.psum, address=(0, 2048))
        other = nl.ndarray((8, 6), nl.float32, buffer=nl.psum, address=(0, 2048))
        nisa.tensor_copy(other, b)
        nl.copy(other)
        nisa.nc_matmul(total, a, b)
        nisa.tensor_copy(dst, total)

    got = trn2.compute(body, (5, 6), "float32", left, right)
    np.testing.assert_allclose(got, left.T @ right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [0, -0.0, 1])
def test_matmuls_add_up_after_zeros_and_are_refused_after_other_values(trn2, refuses, value):
    left, right = random_values((8, 5)), random_values((8, 6), seed=1)

    def body(dst, a, b):
        nisa.memset(dst, value)
        for _ in range(2):
            nisa.nc_matmul(dst[:, 0:4], a, b[:, 0:4])
        nisa.nc_matmul(dst, a, b)

    if value:
        with refuses(AccumulationError, "NKI205", "values that no matmul wrote"):
            trn2.compute(body, (5, 6), "float32", left, right, buffer=nl.psum)
        return
    got = trn2.compute(body, (5, 6), "float32", left, right, buffer=nl.psum)
    wanted = left.T @ right * np.repeat([3, 1], [4, 2]).astype(np.float32)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_refuses_to_accumulate_onto_memory_nothing_wrote(trn2, refuses):
    trn2.attempt(lambda: matmul(accumulate=None))
    with refuses(AccumulationError, "NKI205", "never written"):
        trn2.attempt(lambda: matmul(accumulate=True))


@pytest.mark.parametrize("flag", [None, True])
def test_refuses_to_accumulate_onto_what_no_matmul_wrote_before_neuroncore_v4(trn2, trn3, refuses, flag):
    def body(flag):
        dst = nl.ones((8, 8), nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst, tile((8, 8)), tile((8, 8)), accumulate=flag)

    trn2.attempt(lambda: body(False))
    trn3.attempt(lambda: body(flag))
    with refuses(AccumulationError, "NKI205", "values that no matmul wrote"):
        trn2.attempt(lambda: body(flag))


@pytest.mark.parametrize("address", [None, (0, 2048)])
def test_windows_that_overlap_in_part_add_up_where_they_do_and_overwrite_the_rest(trn2, refuses, address):
    a, b = random_values((8, 8)), random_values((8, 12), seed=1)

    def body(out, left, right, flag=None):
        dst = nl.ndarray((8, 20), nl.float32, buffer=nl.psum, address=address)
        for start in (0, 8):
            nisa.nc_matmul(dst[:, start : start + 12], left, right, accumulate=flag)
        nisa.tensor_copy(out, dst)

    wanted = np.zeros((8, 20), np.float32)
    for start in (0, 8):
        wanted[:, start : start + 12] += a.T @ b
    np.testing.assert_allclose(trn2.compute(body, (8, 20), "float32", a, b), wanted, rtol=1e-5, atol=1e-5)
    with refuses(AccumulationError, "NKI205", "never written"):
        trn2.compute(lambda *operands: body(*operands, flag=True), (8, 20), "float32", a, b)


def test_what_another_tensor_wrote_into_a_part_of_a_sum_is_no_term_of_it(trn2):
    a, b = random_values((8, 8)), random_values((8, 8), seed=1)

    def body(out, left, right):
        total, other = (nl.ndarray((8, 8), nl.float32, buffer=nl.psum, address=(0, 2048)) for _ in range(2))
        nisa.nc_matmul(total, left, right)
        nl.copy(total)
        nisa.nc_transpose(other[:, 0:4], right[0:4])
        nl.copy(other[:, 0:4])
        nisa.nc_matmul(total, left, right)
        nisa.tensor_copy(out, total)

    wanted = a.T @ b * np.repeat([1, 2], 4).astype(np.float32)
    np.testing.assert_allclose(trn2.compute(body, (8, 8), "float32", a, b), wanted, rtol=1e-5, atol=1e-5)


def test_refuses_to_add_onto_a_window_of_which_no_matmul_wrote_a_part(trn2, refuses):
    def body():
        dst = nl.ndarray((8, 8), nl.float32, buffer=nl.psum)
        nisa.memset(dst[:, 0:4], 1)
        nisa.nc_matmul(dst, tile((8, 8)), tile((8, 8)))

    with refuses(AccumulationError, "NKI205", "values that no matmul wrote"):
        trn2.attempt(body)


@pytest.mark.parametrize(("value", "notes"), [(None, []), (True, ["NKI409"])])
def test_adds_to_zeros_when_told_to_with_a_note_before_neuroncore_v4(trn2, trn3, value, notes):
    a = random_values((8, 8))

    def kernel(array):
        left, total = nl.load(array), nl.zeros((8, 8), nl.float32, buffer=nl.psum)
        for _ in range(2):
            nisa.nc_matmul(total, left, left, accumulate=value)
        return store(nl.copy(total))

    run = trn2.run(kernel, a)
    np.testing.assert_allclose(run.outputs, 2 * a.T @ a, rtol=1e-5, atol=1e-5)
    assert [finding.code for finding in run.findings] == notes
    assert not trn3.run(kernel, a).findings


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int32])
def test_transposes_bit_for_bit(trn2, dtype):
    data = random_values((9, 5), dtype)
    if dtype is np.float32:
        data[0, :4] = np.nan, np.inf, -0.0, 1e-42

    def body(dst, a):
        eye = nl.shared_identity_matrix(9, dst.dtype)
        turned = nl.ndarray((5, 9), dst.dtype, buffer=nl.psum)
        nisa.nc_matmul(turned, a, eye, is_transpose=True)
        nisa.tensor_copy(dst, turned)

    got = trn2.compute(body, (5, 9), dtype_of(dtype), data)
    assert got.tobytes() == np.ascontiguousarray(data.T).tobytes()


def test_refuses_a_transpose_by_anything_but_an_identity(trn2, refuses):
    with refuses(NotSimulated, "NKI001", "another moving tile"):
        trn2.attempt(lambda: matmul(is_transpose=True, out="bfloat16"))


@pytest.mark.parametrize("options", [{"accumulate": True}, {"perf_mode": DOUBLE}])
def test_refuses_a_transpose_that_accumulates_or_doubles_rows(trn2, refuses, options):
    with refuses(ArgumentError, "NKI101", "accumulate="):
        trn2.attempt(lambda: matmul(is_transpose=True, out="bfloat16", **options))


def test_refuses_a_transpose_into_another_type(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float32 and bfloat16"):
        trn2.attempt(lambda: matmul(is_transpose=True))


def test_refuses_a_matmul_whose_stationary_operand_has_more_than_128_columns(trn2, refuses):
    trn2.attempt(lambda: matmul(m=128))
    with refuses(ShapeError, "NKI102", "129"):
        trn2.attempt(lambda: nisa.nc_matmul(psum((128, 8)), tile((8, 129)), tile((8, 8))))


def test_refuses_a_matmul_whose_moving_operand_has_more_than_512_columns(trn2, refuses):
    trn2.attempt(lambda: matmul(n=512))
    with refuses(ShapeError, "NKI102", "513"):
        trn2.attempt(lambda: matmul(n=513))


@pytest.mark.parametrize(("out", "most"), [("float32", 4096), ("bfloat16", 8192)])
def test_neuroncore_v4_moves_up_to_all_of_psum(trn3, refuses, out, most):
    trn3.attempt(lambda: matmul(n=most, out=out))
    with refuses(ShapeError, "NKI102", str(most + 1)):
        trn3.attempt(lambda: nisa.nc_matmul(psum((8, 8), out), tile((8, 8)), tile((8, most + 1))))


def test_refuses_operands_of_unequal_contraction(trn2, refuses):
    with refuses(ShapeError, "NKI102", "8 and 9"):
        trn2.attempt(lambda: nisa.nc_matmul(psum((8, 8)), tile((8, 8)), tile((9, 8))))


@pytest.mark.parametrize("shape", [(8, 7), (7, 8), (16, 4)])
def test_refuses_a_destination_of_another_shape(trn2, refuses, shape):
    with refuses(ShapeError, "NKI102", f"{shape} for 8 and 8"):
        trn2.attempt(lambda: nisa.nc_matmul(nl.ndarray(shape, nl.float32, nl.psum), tile((8, 8)), tile((8, 8))))


def test_refuses_operands_outside_sbuf_and_destinations_outside_psum(trn2, refuses):
    for dst, left, right in ((tile, tile, tile), (psum, psum, tile), (psum, tile, psum), (psum, hbm, tile)):
        with refuses(BufferRuleError, "NKI104"):
            trn2.attempt(
                lambda dst=dst, left=left, right=right: nisa.nc_matmul(dst((8, 8)), left((8, 8)), right((8, 8)))
            )


@pytest.mark.parametrize("pair", [("float32", "bfloat16"), ("float8_e4m3", "tfloat32")])
def test_refuses_to_mix_32_bit_with_narrower_operands(trn2, refuses, pair):
    trn2.attempt(lambda: matmul(dtypes=("float32", "tfloat32")))
    trn2.attempt(lambda: matmul(dtypes=("float8_e5m2", "float16")))
    for order in (pair, pair[::-1]):
        with refuses(DtypeError, "NKI103", f"{order[0]} with {order[1]}"):
            trn2.attempt(lambda order=order: matmul(dtypes=order))


def test_refuses_both_kinds_of_e4m3_at_once(trn3, refuses):
    trn3.attempt(lambda: matmul(dtypes=("float8_e4m3fn", "float8_e5m2")))
    with refuses(DtypeError, "NKI103", "float8_e4m3 with float8_e4m3fn"):
        trn3.attempt(lambda: matmul(dtypes=("float8_e4m3", "float8_e4m3fn")))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float8_e8m0fnu", "float8_e4m3fn_x4"])
def test_refuses_operands_that_are_not_floats(trn2, refuses, dtype):
    with refuses(DtypeError, "NKI103", dtype):
        trn2.attempt(lambda: matmul(dtypes=(dtype, dtype)))


@pytest.mark.parametrize("out", ["bfloat16", "float16", "int32"])
def test_refuses_a_destination_that_is_not_float32_before_neuroncore_v4(trn2, trn3, refuses, out):
    trn3.attempt(lambda: matmul(out="bfloat16"))
    with refuses(DtypeError, "NKI103", out):
        trn2.attempt(lambda: matmul(out=out))


def test_refuses_double_row_of_wider_types_or_another_layout(trn2, refuses):
    def body(shape, dtype):
        nisa.nc_matmul(
            nl.ndarray((6, 6), nl.float32, nl.psum), tile(shape, dtype), tile(shape, dtype), perf_mode=DOUBLE
        )

    trn2.attempt(lambda: body((8, 2, 6), "float8_e5m2"))
    with refuses(DtypeError, "NKI103", "bfloat16"):
        trn2.attempt(lambda: body((8, 2, 6), "bfloat16"))
    with refuses(ShapeError, "NKI102", "(8, 3, 4)"):
        trn2.attempt(lambda: body((8, 3, 4), "float8_e5m2"))


def test_refuses_a_destination_that_straddles_a_bank(trn2, trn3, refuses):
    def body(start):
        wide = nl.ndarray((8, 1024), nl.float32, buffer=nl.psum)
        nisa.nc_matmul(wide[:, start : start + 256], tile((8, 8)), tile((8, 256)))

    trn2.attempt(lambda: body(256))
    trn2.attempt(lambda: body(512))
    trn3.attempt(lambda: body(384))
    with refuses(PsumBankError, "NKI203", "bytes 1536..2559 touch banks 0..1"):
        trn2.attempt(lambda: body(384))


def test_the_bank_of_a_destination_depends_on_its_address(trn2, refuses):
    def body(address):
        nisa.nc_matmul(nl.ndarray((8, 256), nl.float32, nl.psum, address=(0, address)), tile((8, 8)), tile((8, 256)))

    trn2.attempt(lambda: body(3072))

    def across():
        two = nl.ndarray((8, 1024), nl.float32, buffer=nl.psum, address=(0, 2048))
        nisa.nc_matmul(two[:, 384:640], tile((8, 8)), tile((8, 256)))

    with refuses(PsumBankError, "NKI203", "bytes 3584..4607 touch banks 1..2"):
        trn2.attempt(across)


def test_refuses_a_destination_that_repeats_elements(trn2, refuses):
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: nisa.nc_matmul(psum((8, 1)).broadcast(1, 8), tile((8, 8)), tile((8, 8))))


def test_refuses_operands_that_start_between_quadrants(trn2, refuses):
    def body(start):
        nisa.nc_matmul(
            psum((8, 8)), tile((64, 8))[start : start + 16], tile((64, 8))[start : start + 16], accumulate=False
        )

    trn2.attempt(lambda: body(32))
    with refuses(PartitionError, "NKI202", "stationary starts at partition 16"):
        trn2.attempt(lambda: body(16))


def test_refuses_to_tile_the_pe_array(trn2, refuses):
    for options in ({"tile_size": (64, 128)}, {"tile_position": (64, 0)}):
        with refuses(NotSimulated, "NKI001", "64"):
            trn2.attempt(lambda options=options: matmul(**options))


def test_float8_e4m3fn_needs_neuroncore_v4(trn2, trn3):
    trn3.attempt(lambda: matmul(dtypes=("float8_e4m3fn", "float8_e4m3fn")))
    with pytest.raises(TargetError, match="NKI106"):
        trn2.attempt(lambda: matmul(dtypes=("float8_e4m3fn", "float8_e4m3fn")))


def test_counts_multiply_accumulates(trn2):
    run = trn2.run(lambda: matmul(k=7, m=5, n=3))
    assert run.profile.macs == 7 * 5 * 3
    assert run.profile.instructions["tensor"] == 1


def test_overflow_and_nan_pass_silently(trn2):
    left = np.array([[3e38, np.inf, np.nan]], np.float32).T
    right = np.array([[3e38, 0, 1]], np.float32).T
    got = trn2.compute(nisa.nc_matmul, (1, 1), "float32", left, right, buffer=nl.psum)
    assert np.isnan(got).all()
