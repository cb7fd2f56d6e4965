"""How much of a partition one instruction addresses: elements, dimensions, steps."""

import pytest
from support.device import psum, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ShapeError, ViewError


def fill(shape, dtype, buffer=nl.sbuf):
    nisa.memset(nl.ndarray(shape, dtype, buffer=buffer), 0)


def test_an_instruction_addresses_64_ki_elements_of_sbuf(trn2, trn3, refuses):
    for device in (trn2, trn3):
        device.attempt(lambda: fill((1, 65536), "int8"))
        with refuses(ShapeError, "NKI102", "65537"):
            device.attempt(lambda: fill((1, 65537), "int8"))


def test_an_instruction_addresses_4_ki_elements_of_psum_before_trn3(trn2, trn3, refuses):
    trn2.attempt(lambda: fill((1, 4096), "bfloat16", nl.psum))
    trn3.attempt(lambda: fill((1, 8192), "bfloat16", nl.psum))
    with refuses(ShapeError, "NKI102", "4098"):
        trn2.attempt(lambda: fill((1, 4098), "bfloat16", nl.psum))
    with refuses(ShapeError, "NKI102", "8200"):
        trn3.attempt(lambda: fill((1, 8200), "int8", nl.psum))


def test_what_a_broadcast_repeats_counts_once(trn2, refuses):
    """As public kernels read a PSUM column 6144 times."""

    def copy(columns, times):
        source = psum((1, columns, 1)).broadcast(2, times)
        nisa.tensor_copy(nl.ndarray((1, columns, times), nl.int8), source)

    trn2.attempt(lambda: copy(2, 6144))
    with refuses(ShapeError, "NKI102", "dst has 65538"):
        trn2.attempt(lambda: copy(2, 32769))


def test_an_access_has_four_free_dimensions(trn2, refuses):
    def copy(dims):
        source = tile((2, *[3] * dims))
        view = source[(slice(None), *[slice(0, 2)] * dims)]
        nisa.tensor_copy(nl.ndarray(view.shape, nl.float32), view)

    trn2.attempt(lambda: copy(4))
    with refuses(ViewError, "NKI201", "[81, 2]", "src has 5"):
        trn2.attempt(lambda: copy(5))


@pytest.mark.parametrize("view", [
    lambda t: t,
    lambda t: t[:, :, :, :, 0:1],
    lambda t: t[:, 1:2, :, 0:2, :],
    lambda t: t.reshape((2, 162)).reshape((2, 1, 2, 3, 27, 1)),
])  # fmt: skip
def test_dimensions_that_one_step_describes_count_as_one(trn2, view):
    trn2.attempt(lambda: nisa.memset(view(tile((2, 2, 3, 3, 9))), 1))


def test_a_step_is_a_16_bit_number(trn2, refuses):
    def copy(step):
        wide = tile((1, 2, step), "int8")
        nisa.tensor_copy(nl.ndarray((1, 2, 1), nl.int8), wide[:, :, 0:1])

    trn2.attempt(lambda: copy(32767))
    with refuses(ViewError, "NKI201", "src steps 32768"):
        trn2.attempt(lambda: copy(32768))


def test_matmul_operands_are_accesses_too(trn2, refuses):
    def multiply(dims):
        source = tile((4, *[3] * dims), "bfloat16")
        moving = source[(slice(None), *[slice(0, 2)] * dims)]
        nisa.nc_matmul(psum((8, 2**dims)), tile((4, 8), "bfloat16"), moving, accumulate=False)

    trn2.attempt(lambda: multiply(4))
    with refuses(ViewError, "NKI201", "moving has 5"):
        trn2.attempt(lambda: multiply(5))


@pytest.mark.parametrize("argument", ["offset", "channel_multiplier"])
def test_numbers_of_an_affine_pattern_are_int32(trn2, refuses, argument):
    from nkisim.errors import ArgumentError

    def generate(value):
        nisa.iota(nl.ndarray((2, 4), nl.int32), [[1, 4]], **{argument: value})

    trn2.attempt(lambda: generate(-(2**31)))
    for value in (2**31, 0.5):
        with refuses(ArgumentError, "NKI101", repr(value)):
            trn2.attempt(lambda value=value: generate(value))
