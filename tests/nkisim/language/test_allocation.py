"""Creating tensors, and the functions of tiles built on the instructions."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import DtypeError, PartitionError, ShapeError


def ndarray(shape=(4, 4), dtype="float32", buffer=nl.sbuf, **options):
    return nl.ndarray(shape, dtype, buffer=buffer, **options)


@pytest.mark.parametrize("shape", [(), (4, 0), (4, -1), (4, 2.0), ("4", 4)])
def test_refuses_a_shape_that_is_none(trn2, refuses, shape):
    trn2.attempt(lambda: ndarray([np.int64(4), 4]))
    with refuses(ShapeError, "NKI102", str(shape)):
        trn2.attempt(lambda: ndarray(shape))


@pytest.mark.parametrize("dtype", ["float64", np.int64, None, "bf16"])
def test_refuses_a_data_type_nki_does_not_have(trn2, refuses, dtype):
    trn2.attempt(lambda: ndarray(dtype=np.float16))
    with refuses(DtypeError, "NKI103", repr(dtype)):
        trn2.attempt(lambda: ndarray(dtype=dtype))


def test_refuses_on_chip_tensors_of_one_dimension_or_too_many_partitions(trn2, refuses):
    trn2.attempt(lambda: ndarray((128, 1)))
    trn2.attempt(lambda: ndarray(300, buffer=nl.shared_hbm))
    with refuses(ShapeError, "NKI102", "(300,)"):
        trn2.attempt(lambda: ndarray(300))
    with refuses(PartitionError, "NKI202", "(129, 1)"):
        trn2.attempt(lambda: ndarray((129, 1)))


@pytest.mark.parametrize(("buffer", "limit"), [(nl.sbuf, 212984), (nl.psum, 16384)])
def test_refuses_tensors_larger_than_a_partition(trn2, refuses, buffer, limit):
    trn2.attempt(lambda: ndarray((128, limit), "uint8", buffer))
    with refuses(ShapeError, "NKI102", f"{limit + 1} bytes"):
        trn2.attempt(lambda: ndarray((1, limit + 1), "uint8", buffer))


@pytest.mark.parametrize("buffer", [nl.sbuf, nl.psum, nl.private_hbm, nl.shared_hbm, nl.hbm, "sbuf", "shared_hbm"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "float8_e4m3"])
def test_full_fills_any_memory(trn2, buffer, dtype):
    def kernel():
        made = nl.full((7, 33), 3, dtype, buffer=buffer)
        return made if made.buffer.is_hbm else store(nl.copy(made))

    assert (trn2.outputs(kernel).astype(np.float32) == 3).all()


def test_full_fills_large_and_long_tensors_in_hbm(trn2):
    for shape in ((3, 16384), (40000,), (5, 7, 999)):
        assert (trn2.outputs(lambda shape=shape: nl.ones(shape, nl.bfloat16, buffer=nl.shared_hbm)) == 1).all()


def test_zeros_and_their_like(trn2):
    def kernel():
        x = psum((4, 6))
        like, empty = nl.zeros_like(x, dtype=nl.int8, buffer=nl.sbuf), nl.empty_like(x)
        assert (empty.shape, empty.dtype, empty.buffer) == ((4, 6), nl.float32, nl.psum)
        assert (like.shape, like.dtype, like.buffer) == ((4, 6), nl.int8, nl.sbuf)
        assert nl.zeros_like(x).buffer is nl.psum
        return store(like), store(nl.zeros((2, 3), nl.float32))

    assert all(not out.any() for out in trn2.outputs(kernel))


def test_a_constant_lives_in_shared_hbm_on_both_cores(trn2, tmp_path):
    data = random_values((3, 5), ml_dtypes.bfloat16)
    file = tmp_path / "constant.npy"
    np.save(file, random_values((2, 2)))

    def kernel():
        constant, saved = nl.shared_constant(data), nl.shared_constant(str(file))
        assert constant.buffer is saved.buffer is nl.shared_hbm
        return constant, saved

    for cores in (1, 2):
        constant, saved = trn2.outputs(kernel, cores=cores)
        np.testing.assert_array_equal(constant, data)
        np.testing.assert_array_equal(saved, np.load(file))


def test_refuses_a_constant_of_a_type_nki_does_not_have(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float64"):
        trn2.attempt(lambda: nl.shared_constant(np.zeros(3)))


@pytest.mark.parametrize("dtype", ["uint8", "bfloat16", "float32"])
def test_an_identity_matrix(trn2, dtype):
    def kernel():
        given = ndarray((9, 9), dtype)
        assert nl.shared_identity_matrix(9, dtype, dst=given) is given
        return store(nl.shared_identity_matrix(9, dtype)), store(given)

    for out in trn2.outputs(kernel):
        np.testing.assert_array_equal(out.astype(np.float32), np.eye(9))


def test_load_and_store_cast_between_hbm_and_sbuf(trn2):
    data = random_values((5, 7))

    def kernel(array, out):
        loaded = nl.load(array, dtype=nl.bfloat16)
        assert (loaded.buffer, loaded.dtype) == (nl.sbuf, nl.bfloat16)
        assert nl.load(out[0].reshape((7,))).shape == (1, 7)
        assert nl.store(out, loaded) is out

    out = np.zeros((5, 7), np.float32)
    trn2.run(kernel, data, out)
    np.testing.assert_array_equal(out, data.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_operators_work_on_tiles_and_numbers(trn2):
    left, right = random_values((5, 7)), random_values((5, 7), seed=1)

    def kernel(a, b):
        x, y = nl.load(a), nl.load(b)
        results = [nl.add(x, y), nl.subtract(x, 2.0), nl.subtract(2.0, x), nl.abs(x), nl.rsqrt(nl.square(x))]
        results += [nl.copy(x, dtype=nl.bfloat16), nl.maximum(x, y, dtype=nl.float16), nl.exp(x)]
        return [store(r) for r in results]

    add, minus, reverse, absolute, root, copied, largest, exp = trn2.outputs(kernel, left, right)
    np.testing.assert_array_equal(add, left + right)
    np.testing.assert_array_equal(minus, left - 2)
    np.testing.assert_array_equal(reverse, 2 - left)
    np.testing.assert_array_equal(absolute, abs(left))
    np.testing.assert_allclose(root, 1 / abs(left), rtol=1e-5)
    np.testing.assert_array_equal(copied, left.astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(largest, np.maximum(left, right).astype(np.float16))
    np.testing.assert_allclose(exp, np.exp(left), rtol=1e-6)


def test_tile_sizes_follow_the_target(trn2, trn3):
    sizes = nl.tile_size
    assert (sizes.pmax, sizes.psum_bank_fmax, sizes.psum_bank_fmax_bytes) == (128, 512, 2048)
    assert (sizes.gemm_stationary_fmax, sizes.gemm_moving_fmax, sizes.bn_stats_fmax) == (128, 512, 512)
    assert sizes.psum_fmax == 512

    def seen():
        return (
            sizes.psum_num_banks, sizes.sbuf_size_bytes, sizes.sbuf_fmax_bytes, sizes.sbuf_fmax,
            sizes.total_available_sbuf_size,
        )  # fmt: skip

    assert trn2.outputs(seen) == (8, 28 * 2**20, 212984, 53246, 212984)
    assert trn3.outputs(seen)[:2] == (8, 32 * 2**20)
    assert seen() == trn3.outputs(seen)


def test_buffers_know_what_they_are(trn2):
    assert nl.hbm is nl.private_hbm
    for buffer in (nl.sbuf, nl.psum, nl.private_hbm, nl.shared_hbm):
        assert nl.is_on_chip(buffer) is (buffer in (nl.sbuf, nl.psum))
        assert nl.is_hbm(buffer) is not nl.is_on_chip(buffer)
        assert nl.is_sbuf(buffer) is (buffer is nl.sbuf)
        assert nl.is_psum(buffer) is (buffer is nl.psum)


def test_a_configuration_object_takes_keywords_positions_and_defaults():
    class Config(nl.NKIObject):
        rows: int
        columns: int = 4

    config = Config(3, name="x")
    assert (config.rows, config.columns, config.name) == (3, 4, "x")
    assert Config(rows=1, columns=2).columns == 2


def test_device_print_shows_values_and_core(trn2, capsys):
    def body():
        nl.device_print("sum", tile((1, 3), "int32"))
        with nl.no_reorder():
            nisa.memset(tile((1, 3)), 1)

    trn2.attempt(body)
    assert capsys.readouterr().out == "sum (core 0)\n[[0 0 0]]\n"


def test_tensors_in_hbm_need_no_partitions(trn2):
    trn2.attempt(lambda: hbm((1000, 3)))
