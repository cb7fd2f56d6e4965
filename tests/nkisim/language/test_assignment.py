"""`tensor[key] = value`, on chip and in HBM."""

import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, OutOfBounds, ShapeError


def test_assigns_parts_of_a_tile_from_tiles_in_sbuf_and_psum(trn2):
    def kernel(data):
        source, total = nl.load(data), nl.ndarray((8, 12), nl.float32, buffer=nl.psum)
        both = nl.ndarray((8, 12), nl.float32)
        both[:, 0:4] = nl.multiply(source, 2)
        both[:, 4:8] = source
        total[:, 0:4] = source
        both[:, 8:12] = total[:, 0:4]
        return store(both)

    data = random_values((8, 4))
    np.testing.assert_array_equal(trn2.outputs(kernel, data), np.concatenate([2 * data, data, data], 1))


def test_assigns_parts_of_hbm_by_dma_and_loads_from_it(trn2):
    def kernel(data):
        out, source = nl.ndarray((8, 8), nl.float32, buffer=nl.shared_hbm), tile((8, 4))
        source[...] = data
        out[:, 0:4] = nl.multiply(source, 2)
        out[:, 4:8] = data
        return out

    data = random_values((8, 4))
    run = trn2.run(kernel, data)
    np.testing.assert_array_equal(run.outputs, np.concatenate([2 * data, data], 1))


@pytest.mark.parametrize("shape", [(8, 1), (1, 4), (1, 1)])
def test_repeats_sizes_of_one(trn2, shape):
    def kernel(data):
        out = tile((8, 4))
        out[...] = nl.load(data)
        return store(out)

    data = random_values(shape)
    np.testing.assert_array_equal(trn2.outputs(kernel, data), np.broadcast_to(data, (8, 4)))


@pytest.mark.parametrize("value", [0, 1.5, np.float32(2)])
def test_sets_a_part_on_chip_to_a_number(trn2, value):
    def body(dst):
        dst[:, 0:2] = 7
        dst[:, 2:4] = value

    wanted = np.repeat([7, value], 2).astype(np.float32)
    np.testing.assert_array_equal(trn2.compute(body, (8, 4), "float32"), np.broadcast_to(wanted, (8, 4)))


def test_converts_to_the_type_of_the_part(trn2):
    def body(dst, source):
        dst[...] = source

    got = trn2.compute(body, (8, 4), "int32", np.full((8, 4), 2.5, np.float32))
    np.testing.assert_array_equal(got, np.full((8, 4), 2, np.int32))


@pytest.mark.parametrize(
    ("make", "key", "value", "error", "code"),
    [
        (lambda: tile((8, 4)), slice(0, 9), 0, OutOfBounds, "NKI204"),
        (lambda: tile((8, 4)), slice(None), "zeros", ArgumentError, "NKI101"),
        (lambda: tile((8, 4)), slice(None), np.zeros((8, 4)), ArgumentError, "NKI101"),
        (lambda: tile((8, 4)), slice(None), lambda: tile((8, 3)), ShapeError, "NKI102"),
        (lambda: tile((8, 4)), slice(0, 4), lambda: tile((8, 4)), ShapeError, "NKI102"),
        (lambda: hbm((8, 4)), slice(None), 0, ArgumentError, "NKI101"),
        (lambda: hbm((8, 4)), slice(None), lambda: psum((8, 4)), BufferRuleError, "NKI104"),
    ],
)
def test_refuses_what_no_copy_can_do(trn2, refuses, make, key, value, error, code):
    def body():
        make()[key] = value() if callable(value) else value

    with refuses(error, code):
        trn2.attempt(body)
