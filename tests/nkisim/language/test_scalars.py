"""NkiScalar: integers computed on the device, in arithmetic, addresses and loop bounds."""

import numpy as np
import pytest
from support.device import hbm, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, LoopError, RegisterError, ShapeError
from nkisim.execution.scalars import NkiScalar


def computed(device, function, *values):
    """What `function` of loaded scalars gives, stored back."""

    def kernel(array):
        numbers = nl.load(array)
        scalars = [nisa.scalar_load(numbers[:, nl.ds(i, 1)]) for i in range(len(values))]
        out = tile((1, 1), "int32")
        nisa.scalar_store(out, function(*scalars))
        return store(out)

    return int(device.outputs(kernel, np.array([values], np.int32))[0, 0])


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: 3 + a,
        lambda a, b: 3 - a * 4 + 1,
        lambda a, b: 5 * b - 2,
        lambda a, b: -a,
        lambda a, b: +b,
    ],
)
def test_scalars_add_subtract_and_multiply(trn2, function):
    assert computed(trn2, function, 17, -5) == function(17, -5)


@pytest.mark.parametrize(
    ("function", "wrapped"),
    [
        (lambda a, b: a * a, 1410065408),
        (lambda a, b: b + 1, -(2**31)),
    ],
)
def test_arithmetic_wraps_around_at_32_bits(trn2, function, wrapped):
    assert computed(trn2, function, 100000, 2**31 - 1) == wrapped


def test_64_bit_scalars_keep_their_width():
    wide = NkiScalar(100000, "int64")
    assert (wide * wide).read() == 10**10
    with pytest.raises(DtypeError, match="int64 and int32"):
        _ = wide + NkiScalar(1)


@pytest.mark.parametrize(
    "use",
    [
        bool,
        int,
        range,
        float,
        abs,
        lambda s: s == 3,
        lambda s: s < 3,
        lambda s: s >= 3,
        lambda s: s > 3,
        lambda s: s // 2,
        lambda s: s % 2,
        lambda s: s / 2,
        lambda s: s << 1,
        lambda s: s & 1,
        lambda s: ~s,
        lambda s: s + 1.5,
        lambda s: s + True,
        lambda s: s + nisa.register_alloc(1),
        lambda s: nisa.register_move(s, 3),
    ],
)
def test_refuses_to_be_a_python_value(trn2, refuses, use):
    with refuses(RegisterError, "NKI301"):
        trn2.attempt(lambda: use(NkiScalar(1)))


@pytest.mark.parametrize("use", [bool, int, range, lambda r: r == 3, lambda r: r != 3])
def test_a_register_refuses_too(trn2, refuses, use):
    with refuses(RegisterError, "NKI301"):
        trn2.attempt(lambda: use(nisa.register_alloc(1)))


def test_refuses_comparisons_as_scalars(refuses):
    with refuses(RegisterError, "NKI301", "comparison"):
        NkiScalar(1, "int32", True)


def test_a_scalar_addresses_and_bounds(trn2):
    def kernel(data, count):
        cells, n = hbm((1, 12), "int32"), nisa.scalar_load(nl.load(count))
        row = nl.load(data)

        def body(i):
            assert isinstance(i, NkiScalar)
            nisa.dma_copy(cells[:, nl.ds(i * 2 + 1, 1)], row[:, nl.ds(i, 1)])

        nl.fori_loop(0, n - 1, body)
        nisa.dma_copy(cells[:, nl.ds(0, 1)], row.ap([[12, 1], [1, 1]], scalar_offset=n, indirect_dim=1))
        nisa.dma_copy(cells[:, nl.ds(11, 1)], row.select(1, n + 1))
        return cells

    data = np.arange(10, 22, dtype=np.int32)[None]
    cells = trn2.outputs(kernel, data, np.array([[4]], np.int32))[0]
    assert cells.tolist() == [14, 10, 0, 11, 0, 12, 0, 0, 0, 0, 0, 15]


def test_a_register_as_bound_gives_registers(trn2):
    seen = []
    trn2.attempt(lambda: nl.fori_loop(0, nisa.register_alloc(2), lambda i: seen.append(type(i).__name__)))
    trn2.attempt(lambda: nl.fori_loop(NkiScalar(0), 1, lambda i: seen.append(type(i).__name__)))
    assert seen == ["VirtualRegister", "VirtualRegister", "LoopValue"]


def test_refuses_a_bound_of_64_bits(trn2, refuses):
    with refuses(DtypeError, "NKI103", "int64"):
        trn2.attempt(lambda: nl.fori_loop(0, NkiScalar(3, "int64"), lambda i: None))


def test_refuses_a_body_that_returns_something(trn2, refuses):
    with refuses(LoopError, "NKI302", "7"):
        trn2.attempt(lambda: nl.fori_loop(0, 2, lambda i: 7))


@pytest.mark.parametrize(
    "loop", [lambda: nl.fori_loop(0, 2, lambda i: None), lambda: nl.while_loop(nisa.register_alloc(0), lambda r: r)]
)
def test_refuses_a_device_loop_in_a_fixed_order(trn2, refuses, loop):
    def body():
        with nl.no_reorder():
            nisa.memset(tile((1, 1)), 1)
        loop()  # after the block it is fine
        with nl.no_reorder():
            loop()

    with refuses(LoopError, "NKI302"):
        trn2.attempt(body)


@pytest.mark.parametrize(
    ("make", "error", "code"),
    [
        (lambda: tile((1, 2), "int32"), ShapeError, "NKI102"),
        (lambda: tile((1, 1), "int32", nl.psum), BufferRuleError, "NKI104"),
        (lambda: tile((1, 1), "uint32"), DtypeError, "NKI103"),
        (lambda: tile((1, 1), "float32"), DtypeError, "NKI103"),
    ],
)
def test_refuses_to_load_or_store_anything_but_one_signed_integer(trn2, refuses, make, error, code):
    with refuses(error, code):
        trn2.attempt(lambda: nisa.scalar_load(make()))
    with refuses(error, code):
        trn2.attempt(lambda: nisa.scalar_store(make(), NkiScalar(1)))


def test_refuses_to_store_a_python_int_or_another_width(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "5"):
        trn2.attempt(lambda: nisa.scalar_store(tile((1, 1), "int32"), 5))
    with refuses(DtypeError, "NKI103", "int64 into int32"):
        trn2.attempt(lambda: nisa.scalar_store(tile((1, 1), "int32"), NkiScalar(5, "int64")))
    with pytest.raises(DtypeError, match="uint8"):
        NkiScalar(5, "uint8")


def test_loads_and_stores_are_events(trn2):
    events = trn2.attempt(lambda: nisa.scalar_store(tile((1, 1), "int32"), nisa.scalar_load(tile((1, 1), "int32"))))
    assert [e.opcode for e in events if "scalar" in e.opcode] == ["scalar_load", "scalar_store"]
