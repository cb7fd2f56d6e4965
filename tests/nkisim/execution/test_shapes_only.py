"""numerics=False: the same events as ever, integers as ever, and no floating point value anywhere."""

import ml_dtypes
import numpy as np
import pytest
from support.device import random_values, store
from support.events import told

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import AccumulationError, ArgumentError, NotSimulated, OutOfBounds, UninitializedRead
from nkisim.observe import Recorder

ROWS = np.array([[3], [0], [7], [5]], np.int32)
TABLE = random_values((8, 16))
SQUARE = random_values((64, 64))


def product(x, y):
    """Sums of two products, a transpose, an activation."""
    a, b = nl.load(x), nl.load(y)
    total = nl.ndarray((64, 64), nl.float32, buffer=nl.psum)
    for k in range(2):
        nisa.nc_matmul(total, a, b, accumulate=k > 0)
    left = nl.ndarray((64, 64), nl.float32, buffer=nl.sbuf)
    nisa.activation(left, nl.silu, total, scale=2.0)
    turned = nl.ndarray((64, 64), nl.float32, buffer=nl.psum)
    nisa.nc_transpose(turned, left)
    return store(nl.copy(turned))


def gather(table, rows):
    """table[rows + 1] and table[rows], out-of-bounds rows dropped; the sum goes through fp32."""
    index = nl.load(rows)
    later = nl.ndarray((4, 1), nl.int32, buffer=nl.sbuf)
    one = nl.full((4, 1), 1.0, nl.float32)
    nisa.tensor_scalar(later, index, nl.add, one)
    tile = nl.zeros((4, 16), nl.float32)
    for chosen in (later, index):
        source = table.ap([[16, 4], [1, 16]], vector_offset=chosen)
        nisa.dma_copy(tile, source, oob_mode=nisa.oob_mode.skip)
    return store(tile)


def loop(table, rows):
    """As many turns as an integer argument says, each at the row that a register holds."""
    turns = nisa.register_alloc()
    nisa.register_load(turns, rows[0:1, 0:1])
    total = nl.zeros((1, 16), nl.float32)

    def body(i):
        row = nl.ndarray((1, 16), nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(row, table[nl.ds(i, 1), :])
        nisa.tensor_tensor(total, total, row, nl.add)

    nl.fori_loop(0, turns, body)
    return store(total)


def registers(x):
    """Sums that stay in the Scalar Engine between two instructions."""
    tile, out = nl.load(x), nl.ndarray((64, 1), nl.float32, buffer=nl.sbuf)
    for command in (nisa.reduce_cmd.reset_reduce, nisa.reduce_cmd.reduce):
        nisa.activation(tile, nl.exp, tile, reduce_op=nl.add, reduce_res=out, reduce_cmd=command)
    return store(out)


def exchange(x):
    """Each core sends its half to the other one, and writes what it received."""
    me = nl.program_id(0)
    result = nl.ndarray((64, 64), nl.float32, buffer=nl.shared_hbm)
    mine, theirs = nl.load(x[32 * me : 32 * me + 32, :]), nl.ndarray((32, 64), nl.float32, buffer=nl.sbuf)
    nisa.sendrecv(mine, theirs, 1 - me, 1 - me, pipe_id=0)
    nisa.dma_copy(result[32 * me : 32 * me + 32, :], theirs)
    nisa.core_barrier(result, (0, 1))
    return result


def told_rows(table, rows):
    """Each core gathers the rows that the other one names."""
    me = nl.program_id(0)
    mine, theirs = nl.load(rows[2 * me : 2 * me + 2, :]), nl.ndarray((2, 1), nl.int32, buffer=nl.sbuf)
    nisa.sendrecv(mine, theirs, 1 - me, 1 - me, pipe_id=0)
    result = nl.ndarray((4, 16), nl.float32, buffer=nl.shared_hbm)
    tile = nl.ndarray((2, 16), nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(tile, table.ap([[16, 2], [1, 16]], vector_offset=theirs, indirect_dim=0))
    nisa.dma_copy(result[2 * me : 2 * me + 2, :], tile)
    nisa.core_barrier(result, (0, 1))
    return result


KERNELS = {
    "product": (product, (SQUARE, SQUARE), 1),
    "gather": (gather, (TABLE, ROWS), 1),
    "loop": (loop, (TABLE, ROWS), 1),
    "registers": (registers, (SQUARE,), 1),
    "exchange": (exchange, (SQUARE,), 2),
    "exchanged integers": (told_rows, (TABLE, ROWS), 2),
}


def events_of(kernel, arguments, cores, numerics):
    recorder = Recorder()
    nkisim.Simulator("trn2", cores, observers=[recorder], numerics=numerics).run(kernel, *arguments)
    return told(recorder.events)


def without_memory(argument):
    """The same shape, all elements one; integers as they are."""
    repeated = np.broadcast_to(np.ones((), argument.dtype), argument.shape)
    return argument if argument.dtype.kind == "i" else repeated


@pytest.mark.parametrize("name", KERNELS)
def test_the_events_do_not_depend_on_numerics(name):
    kernel, arguments, cores = KERNELS[name]
    expected = events_of(kernel, arguments, cores, numerics=True)
    assert events_of(kernel, arguments, cores, numerics=False) == expected
    assert events_of(kernel, [without_memory(a) for a in arguments], cores, numerics=False) == expected


def both(x, rows):
    """A result of each kind: floats, integers, integers that follow from floats."""
    follow = nl.ndarray((8, 16), nl.int32, buffer=nl.sbuf)
    nisa.tensor_copy(follow, nl.load(x))
    doubled = nl.load(rows)
    nisa.tensor_scalar(doubled, doubled, nl.multiply, 2.0)
    return store(nl.load(x)), store(doubled), store(follow)


def test_integers_are_computed_and_what_follows_from_floats_is_nan_or_minus_one():
    floats, integers, follow = nkisim.Simulator("trn2", numerics=False).run(both, TABLE, ROWS).outputs
    assert floats.shape == TABLE.shape
    assert np.isnan(floats).all()
    np.testing.assert_array_equal(integers, 2 * ROWS)
    assert (follow == -1).all()


def test_arguments_stay_as_they_are():
    def overwrite(x):
        nisa.dma_copy(x, nl.zeros((8, 16), nl.bfloat16))
        return x

    data = TABLE.astype(ml_dtypes.bfloat16)
    before = data.copy()
    nkisim.Simulator("trn2", numerics=False).run(overwrite, data)
    np.testing.assert_array_equal(data, before)


def index_from_floats(table, x):
    rows = nl.ndarray((4, 1), nl.int32, buffer=nl.sbuf)
    nisa.tensor_copy(rows, nl.load(x))
    tile = nl.ndarray((4, 16), nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(tile, table.ap([[16, 4], [1, 16]], vector_offset=rows))
    return store(tile)


def register_from_floats(table, x):
    rows = nl.ndarray((4, 1), nl.int32, buffer=nl.sbuf)
    nisa.tensor_copy(rows, nl.load(x))
    nisa.register_load(nisa.register_alloc(), rows[0:1, 0:1])
    return table


@pytest.mark.parametrize(
    ("kernel", "what"), [(index_from_floats, "runtime indices"), (register_from_floats, "registers")]
)
def test_addresses_that_follow_from_floats_are_refused_by_name(kernel, what):
    with pytest.raises(NotSimulated, match=f"without numerics, {what} depend on integer arguments") as raised:
        nkisim.Simulator("trn2", numerics=False).run(kernel, TABLE, ROWS.astype(np.float32))
    assert raised.value.where.file == __file__
    nkisim.Simulator("trn2").run(kernel, TABLE, ROWS.astype(np.float32))


def reads_what_nobody_wrote(x):
    tile = nl.ndarray((8, 32), nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(tile[:, 0:16], x)
    return store(nl.copy(tile))


def adds_to_what_no_matmul_wrote(x):
    tile, total = nl.load(x), nl.ndarray((16, 16), nl.float32, buffer=nl.psum)
    nisa.nc_matmul(total, tile, tile, accumulate=False)
    nisa.tensor_copy(total[0:8, :], tile)
    nisa.nc_matmul(total, tile, tile, accumulate=True)
    return x


def leaves_its_table(x):
    rows = nl.full((4, 1), 6, nl.int32)
    nisa.tensor_scalar(rows, rows, nl.add, 2.0)
    tile = nl.ndarray((4, 16), nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(tile, x.ap([[16, 4], [1, 16]], vector_offset=rows))
    return x


@pytest.mark.parametrize(
    ("kernel", "error"),
    [
        (reads_what_nobody_wrote, UninitializedRead),
        (adds_to_what_no_matmul_wrote, AccumulationError),
        (leaves_its_table, OutOfBounds),
    ],
)
def test_mistakes_are_found_without_values(kernel, error):
    for numerics in (True, False):
        with pytest.raises(error):
            nkisim.Simulator("trn2", numerics=numerics).run(kernel, TABLE)


def test_late_transfers_need_values():
    with pytest.raises(ArgumentError, match="late transfers change values"):
        nkisim.Simulator("trn2", dma="late", numerics=False)
    with pytest.raises(ArgumentError, match="comparing results needs their values"):
        nkisim.Simulator("trn2", numerics=False).compare_dma_orders(both, TABLE, ROWS)


def test_a_gather_whose_rows_are_all_skipped_touches_nothing():
    """Also where its columns start behind the first, in an argument that has no memory."""

    def kernel(table, rows):
        tile = nl.zeros((4, 8), nl.float32)
        source = table.ap([[16, 4], [1, 8]], offset=8, vector_offset=nl.load(rows), indirect_dim=0)
        nisa.dma_copy(tile, source, oob_mode=nisa.oob_mode.skip)
        return store(tile)

    nowhere = np.full((4, 1), -1, np.int32)
    for numerics in (True, False):
        out = nkisim.Simulator("trn2", numerics=numerics).run(kernel, TABLE, nowhere).outputs
        assert not out.any()
