"""`.indirect()`: gather and scatter of columns on the engines of NeuronCore-v4."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import (
    ArgumentError,
    BufferRuleError,
    DtypeError,
    DuplicateRow,
    EngineError,
    NotSimulated,
    OutOfBounds,
    PartitionError,
    ShapeError,
    TargetError,
    UninitializedRead,
    ViewError,
)

CHOSEN = [5, 0, 19, 7, 2, 11, 3, 16, 1, 8, 4, 12, 6, 13, 9, 10, 14, 18, 15, 17]


def snake(chosen, rows, group=16):
    """An index tile that holds `chosen` down the partitions of each group, then along the columns."""
    index = np.zeros((rows, -(-len(chosen) // group)), np.int32)
    for i, column in enumerate(chosen):
        index[i % group :: group, i // group] = column
    return index


@pytest.mark.parametrize("rows", [16, 32, 128])
@pytest.mark.parametrize("count", [1, 16, 20])
def test_gathers_columns_in_the_order_of_the_offsets(trn3, rows, count):
    x, index = random_values((rows, 20)), snake(CHOSEN, rows)

    def copy(dst, data, offsets):
        nisa.tensor_copy(dst, data.indirect(offsets, count))

    np.testing.assert_array_equal(trn3.compute(copy, (rows, count), "float32", x, index), x[:, CHOSEN[:count]])


@pytest.mark.parametrize("buffer", [nl.sbuf, nl.psum])
def test_scatters_columns_and_leaves_the_others_alone(trn3, buffer):
    x, index = random_values((32, 3)), snake([4, 1, 6], 32)

    def scatter(dst, data, offsets):
        nisa.memset(dst, 9)
        nisa.tensor_copy(dst.indirect(offsets, 3), data)

    expected = np.full((32, 8), 9, np.float32)
    expected[:, [4, 1, 6]] = x
    np.testing.assert_array_equal(trn3.compute(scatter, (32, 8), "float32", x, index, buffer=buffer), expected)


def test_free_dimensions_count_as_one_and_a_slice_is_its_own_tile(trn3):
    x, index = random_values((16, 4, 6)), snake([13, 2], 16)

    def copy(dst, data, offsets):
        nisa.tensor_copy(dst[:, 0:2], data.indirect(offsets, 2))
        nisa.tensor_copy(dst[:, 2:4], data[:, :, 3].indirect(snake_of(1, 0), 2))

    def snake_of(*chosen):
        made = tile((16, 1), "int32")
        nisa.iota(made, [[0, 1]], chosen[0], chosen[1] - chosen[0])
        return made

    got = trn3.compute(copy, (16, 4), "float32", x, index)
    np.testing.assert_array_equal(got[:, 0:2], x.reshape(16, 24)[:, [13, 2]])
    np.testing.assert_array_equal(got[:, 2:4], x[:, [1, 0], 3])


EVERY = {
    "activate2": lambda d, x: nisa.activate2(d, nl.copy, x, 2.0, 1.0, nl.multiply, nl.add),
    "activation": lambda d, x: nisa.activation(d, nl.copy, x, bias=1.0, scale=2.0),
    "activation_reduce": lambda d, x: nisa.activation_reduce(d, nl.copy, x, nl.add, tile((32, 1)), 1.0, 2.0),
    "tensor_scalar": lambda d, x: nisa.tensor_scalar(d, x, nl.multiply, 2.0, op1=nl.add, operand1=1.0),
    "tensor_scalar_reduce": lambda d, x: nisa.tensor_scalar_reduce(d, x, nl.multiply, 2.0, nl.add, tile((32, 1))),
    "tensor_tensor": lambda d, x: nisa.tensor_tensor(d, x, tile(x.shape), nl.subtract),
    "exponential": lambda d, x: nisa.exponential(d, x),
    "tensor_scalar_cumulative": lambda d, x: nisa.tensor_scalar_cumulative(d, x, nl.multiply, nl.add, 2.0),
}
MEANS = {
    "tensor_scalar_reduce": lambda x: 2 * x, "tensor_tensor": lambda x: x, "exponential": np.exp,
    "tensor_scalar_cumulative": lambda x: np.cumsum(2 * x, axis=1, dtype=np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_every_documented_instruction_gathers_and_scatters(trn3, name):
    x, there, here = random_values((32, 20)), snake(CHOSEN[:6], 32), snake([7, 3, 5, 1, 0, 2], 32)

    def both(dst, data, a, b):
        nisa.memset(dst, 0)
        EVERY[name](dst.indirect(b, 6), data.indirect(a, 6))

    expected = np.zeros((32, 8), np.float32)
    expected[:, [7, 3, 5, 1, 0, 2]] = MEANS.get(name, lambda v: 2 * v + 1)(x[:, CHOSEN[:6]])
    np.testing.assert_allclose(trn3.compute(both, (32, 8), "float32", x, there, here), expected, rtol=1e-6, atol=1e-6)


def test_reduces_and_selects_what_it_gathers(trn3):
    x, index = random_values((16, 20)), snake(CHOSEN[:5], 16)
    wanted = (x > 0).astype(np.uint8)

    def body(dst, data, offsets, predicate):
        nisa.memset(dst, 0)
        nisa.tensor_reduce(dst[:, 0:1], nl.add, data.indirect(offsets, 5), 1)
        nisa.tensor_copy_predicated(dst[:, 1:6], tile_of(7.0), predicate.indirect(offsets, 5))

    def tile_of(value):
        made = tile((16, 5))
        nisa.memset(made, value)
        return made

    got = trn3.compute(body, (16, 6), "float32", x, index, wanted)
    np.testing.assert_allclose(got[:, 0], x[:, CHOSEN[:5]].sum(axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(got[:, 1:], 7.0 * wanted[:, CHOSEN[:5]])


def test_the_tensor_engine_reads_offsets_from_32_partitions(trn3):
    a, b = (random_values((64, 40), ml_dtypes.bfloat16, seed) for seed in (1, 2))
    left, right, into = [33, 2, 39, 0], [*range(39, 1, -1)], [3, 1, 2, 0]

    def kernel(x, y, i, j, k):
        total = psum((4, 64))
        moving = nl.load(y).indirect(nl.load(j), 38)
        nisa.nc_matmul(total[:, 0:38], nl.load(x).indirect(nl.load(i), 4), moving, accumulate=False)
        narrow = nl.ndarray((4, 4), nl.float32, buffer=nl.psum)
        nisa.nc_matmul(narrow.indirect(nl.load(k), 4), nl.load(x)[:, 0:4], nl.load(y)[:, 0:4], accumulate=False)
        result = tile((4, 42))
        nisa.tensor_copy(result[:, 0:38], total[:, 0:38])
        nisa.tensor_copy(result[:, 38:], narrow)
        return store(result)

    index = [snake(left, 64, 32), snake(right, 64, 32), snake(into, 4, 32)]
    got = trn3.outputs(kernel, a, b, *index)
    x, y = a.astype(np.float32), b.astype(np.float32)
    np.testing.assert_allclose(got[:, :38], x[:, left].T @ y[:, right], rtol=1e-5, atol=1e-4)
    plain = x[:, 0:4].T @ y[:, 0:4]
    np.testing.assert_allclose(got[:, 38:][:, into], plain, rtol=1e-5, atol=1e-4)


def test_mx_data_and_scales_share_their_offsets(trn3, refuses):
    values = random_values((64, 40), ml_dtypes.bfloat16)

    def multiply(x, i, j):
        data, scales = nl.ndarray((64, 10), nl.float8_e4m3fn_x4), nl.ndarray((64, 10), nl.uint8)
        nisa.quantize_mx(data, nl.load(x), scales)
        offsets, others = nl.load(i), nl.load(j)
        direct, gathered = (nl.ndarray((4, 10), nl.float32, buffer=nl.psum) for _ in range(2))
        nisa.nc_matmul_mx(direct, data[:, 2:6], data, scales[:, 2:6], scales)
        nisa.nc_matmul_mx(gathered, data.indirect(offsets, 4), data, scales.indirect(others, 4), scales)
        return tuple(store(nl.copy(t)) for t in (direct, gathered))

    index = snake([2, 3, 4, 5], 64, 32)
    with refuses(ArgumentError, "NKI101", "differ"):
        trn3.outputs(multiply, values, index, index)

    def shared(x, i):
        data, scales = nl.ndarray((64, 10), nl.float8_e4m3fn_x4), nl.ndarray((64, 10), nl.uint8)
        nisa.quantize_mx(data, nl.load(x), scales)
        offsets = nl.load(i)
        direct, gathered = (nl.ndarray((4, 10), nl.float32, buffer=nl.psum) for _ in range(2))
        nisa.nc_matmul_mx(direct, data[:, 2:6], data, scales[:, 2:6], scales)
        nisa.nc_matmul_mx(gathered, data.indirect(offsets, 4), data, scales.indirect(offsets, 4), scales)
        return tuple(store(nl.copy(t)) for t in (direct, gathered))

    direct, gathered = trn3.outputs(shared, values, index)
    np.testing.assert_array_equal(gathered, direct)


def view(shape=(32, 8), count=2, dtype="float32", index=None, buffer=nl.sbuf, **options):
    offsets = tile((32, 1), "int32") if index is None else index()
    return tile(shape, dtype, buffer, **options).indirect(offsets, count)


def take(source):
    nisa.tensor_copy(tile(source.shape, source.dtype), source)


def test_refuses_tiles_and_offsets_that_cannot_be(trn2, trn3, refuses):
    trn3.attempt(lambda: take(view(count=1)))
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(lambda: take(view(count=1)))
    for tensor in (lambda: hbm((32, 8)), lambda: view(count=1)):
        with refuses(BufferRuleError, "NKI104"):
            trn3.attempt(lambda tensor=tensor: tensor().indirect(tile((32, 1), "int32"), 1))
    for index, error, code in [
        (lambda: psum((32, 1)), BufferRuleError, "NKI104"), (lambda: tile((32, 1)), DtypeError, "NKI103"),
        (lambda: tile((16, 1), "int32"), ShapeError, "NKI102"),
        (lambda: tile((32, 1, 1), "int32"), ShapeError, "NKI102"),
    ]:  # fmt: skip
        with refuses(error, code):
            trn3.attempt(lambda index=index: take(view(index=index)))
    with refuses(ArgumentError, "NKI101", "0"):
        trn3.attempt(lambda: view(count=0))
    with refuses(ShapeError, "NKI102", "17 offsets"):
        trn3.attempt(lambda: take(view((32, 20), count=17)))
    with refuses(ShapeError, "NKI102", "32 offsets"):
        trn3.attempt(lambda: take(view(count=None)))
    with refuses(ShapeError, "NKI102"):
        trn3.attempt(lambda: tile((32, 4, 8))[:, :, 0:3].indirect(tile((32, 1), "int32"), 1))


@pytest.mark.parametrize("again", [
    lambda v: v[:, 0:1], lambda v: v[:, 1], lambda v: v.reshape((32, 1, 2)), lambda v: v.expand_dim(1),
    lambda v: v.ap([[8, 32], [1, 2]]), lambda v: v.slice(1, 0, 1), lambda v: v.view(nl.int32),
])  # fmt: skip
def test_columns_are_chosen_once(trn3, refuses, again):
    with refuses(ViewError, "NKI201"):
        trn3.attempt(lambda: again(view()))


def test_refuses_offsets_outside_unwritten_or_different_by_group(trn3, refuses):
    def gather(x, i):
        return store(nl.copy(nl.load(x).indirect(nl.load(i), 2)))

    x = random_values((32, 8))
    for bad in (8, -1):
        with refuses(OutOfBounds, "NKI204", f"{bad} at 1"):
            trn3.run(gather, x, snake([0, bad], 32))
    with refuses(UninitializedRead, "NKI401"):
        trn3.attempt(lambda: take(view(index=lambda: nl.ndarray((32, 1), nl.int32))))
    index = snake([0, 1], 32)
    index[17] = 5
    with refuses(NotSimulated, "NKI001", "from partition 16"):
        trn3.run(gather, x, index)


def test_finds_columns_scattered_twice(trn3, refuses):
    with refuses(DuplicateRow, "NKI404", "positions [0, 1]"):
        trn3.attempt(lambda: nisa.tensor_copy(view(), tile((32, 2))))


def test_refuses_other_operands_and_engines(trn3, refuses):
    with refuses(ArgumentError, "NKI101", "data2"):
        trn3.attempt(lambda: nisa.tensor_tensor(tile((32, 2)), tile((32, 2)), view(), nl.add))
    with refuses(ArgumentError, "NKI101", "src"):
        trn3.attempt(lambda: nisa.max8(tile((32, 8)), view((32, 8), 8, index=lambda: tile((32, 1), "int32"))))
    with refuses(EngineError, "NKI105", "gpsimd"):
        trn3.attempt(lambda: nisa.tensor_copy(tile((32, 2)), view(), engine=nisa.engine.gpsimd))
    with refuses(BufferRuleError, "NKI104", "PSUM"):
        trn3.attempt(lambda: nisa.activation(view(count=1, buffer=nl.psum), nl.copy, tile((32, 1))))


def multiply(stationary=None, moving=None, dtype="bfloat16", **options):
    left = tile((32, 4), dtype) if stationary is None else stationary()
    right = tile((32, 2), dtype) if moving is None else moving()
    nisa.nc_matmul(psum((left.shape[1], right.shape[1])), left, right, accumulate=False, **options)


def test_refuses_matmuls_that_exclude_indirection(trn3, refuses):
    indirect = {"moving": lambda: view(dtype="bfloat16")}
    trn3.attempt(lambda: multiply(**indirect))
    with refuses(ArgumentError, "NKI101", "(32, 0)"):
        trn3.attempt(lambda: multiply(**indirect, tile_position=(32, 0), tile_size=(32, 128)))
    with refuses(DtypeError, "NKI103", "float32"):
        trn3.attempt(lambda: multiply(moving=view, dtype="float32"))
    with refuses(ArgumentError, "NKI101", "moving is"):
        trn3.attempt(lambda: nisa.nc_matmul(psum((4, 32), "bfloat16"), tile((32, 4), "bfloat16"),
                                            view((32, 32), 32, "bfloat16"), is_transpose=True))  # fmt: skip


def test_operands_with_addresses_start_where_their_offsets_do(trn3, refuses):
    def placed(data_at, index_at, **options):
        offsets = tile((16, 1), "int32", address=(index_at, 0))
        return tile((16, 8), address=(data_at, 64)).indirect(offsets, 1)

    def at(partition):
        return tile((16, 1), address=(partition, 256))

    trn3.attempt(lambda: nisa.tensor_copy(at(0), placed(32, 32)))
    with refuses(PartitionError, "NKI202", "32 and 0"):
        trn3.attempt(lambda: nisa.tensor_copy(at(0), placed(32, 0)))
    trn3.attempt(lambda: nisa.tensor_copy(placed(0, 64), at(64)))
    with refuses(PartitionError, "NKI202", "64 and 32"):
        trn3.attempt(lambda: nisa.tensor_copy(placed(0, 64), at(32)))


def test_offsets_with_an_address_start_at_a_quadrant(trn3, refuses):
    def gather(partition):
        offsets = nl.ndarray((32, 1), nl.int32, address=(partition, 0))
        nisa.memset(offsets[32 - partition % 32 :] if partition % 32 else offsets, 0)
        take(tile((32, 8)).indirect(offsets, 1))

    trn3.attempt(lambda: gather(32))
    with refuses(PartitionError, "NKI202", "partition 16"):
        trn3.attempt(lambda: gather(16))
