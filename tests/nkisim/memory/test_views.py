"""The named views: what they give, and what they refuse."""

import numpy as np
import pytest
from support.device import hbm, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, OutOfBounds, ShapeError, ViewError
from nkisim.memory import read, resolve


def test_a_fresh_tensor_is_dense(trn2):
    def body():
        t = nl.ndarray((128, 64), nl.float32, buffer=nl.sbuf, name="weights")
        assert (t.shape, t.strides, t.offset, t.dtype) == ((128, 64), (64, 1), 0, nl.float32)
        assert (t.buffer, t.ndim, t.size, t.name) == (nl.sbuf, 2, 128 * 64, "weights")
        assert t.is_contiguous()
        assert not t.is_indirect()
        assert t.get_pattern() == [[64, 128], [1, 64]]

    trn2.attempt(body)


def test_contiguity_ignores_the_partition_stride_on_chip_but_not_in_hbm(trn2):
    def body():
        chip, main = tile((8, 4, 6)), hbm((8, 4, 6))
        assert chip[:, 1:2].is_contiguous()
        assert not main[:, 1:2].is_contiguous()
        assert main[1:3].is_contiguous()
        assert not chip.permute((0, 2, 1)).is_contiguous()
        assert not chip[:, :, ::2].is_contiguous()
        assert not chip[:, 0:1].broadcast(1, 3).is_contiguous()
        assert chip.reshape((8, 2, 12)).is_contiguous()

    trn2.attempt(body)


def test_rearrange_splits_reorders_and_merges(trn2):
    data = random_values((6, 24))

    def kernel(array):
        t = nl.load(array)
        split = t.rearrange(("b", ("h", "w")), ("b", "w", "h"), {"h": 4})
        np.testing.assert_array_equal(read(resolve(split)), data.reshape(6, 4, 6).transpose(0, 2, 1))
        merged = array.rearrange((("a", "b"), "c"), ("a", ("b", "c")), {"a": 2})
        np.testing.assert_array_equal(read(resolve(merged)), data.reshape(2, 3 * 24))
        assert t.rearrange(("p", "f"), ("p", "f")).layout == t.layout

    trn2.run(kernel, data)


@pytest.mark.parametrize(
    ("source", "target", "sizes"),
    [
        (("b", "h", "w"), ("b", "w", "h"), {}),
        (("b", ("h", "w")), ("b", "h"), {"h": 4}),
        (("b", "b"), ("b", "b"), {}),
        (("b", ("h", "w", "v")), ("b", "h", "w", "v"), {"h": 4}),
    ],
)
def test_refuses_a_rearrange_whose_names_do_not_fit(trn2, refuses, source, target, sizes):
    with refuses(ArgumentError, "NKI101", str(source[1])):
        trn2.attempt(lambda: tile((6, 24)).rearrange(source, target, sizes))


@pytest.mark.parametrize("sizes", [{"h": 5}, {"h": 4, "w": 5}])
def test_refuses_a_rearrange_whose_sizes_do_not_divide_the_dimension(trn2, refuses, sizes):
    with refuses(ShapeError, "NKI102", "24 elements"):
        trn2.attempt(lambda: tile((6, 24)).rearrange(("b", ("h", "w")), ("b", "w", "h"), sizes))


@pytest.mark.parametrize("dims", [(1, 0, 2), (0, 1), (0, 1, 1), (0, 1, 3)])
def test_refuses_a_permutation_that_moves_partitions_or_is_none(trn2, refuses, dims):
    trn2.attempt(lambda: tile((8, 4, 6)).permute((0, 2, 1)))
    with refuses(ViewError, "NKI201", str(dims)):
        trn2.attempt(lambda: tile((8, 4, 6)).permute(dims))


def test_hbm_may_be_permuted_freely(trn2):
    trn2.attempt(lambda: hbm((8, 4, 6)).permute((2, 0, 1)))


def test_refuses_to_reshape_across_partitions(trn2, refuses):
    trn2.attempt(lambda: tile((8, 6)).reshape((8, 2, 3)))
    trn2.attempt(lambda: hbm((8, 6)).reshape((16, 3)))
    with refuses(ViewError, "NKI201", "(8, 6) to (16, 3)"):
        trn2.attempt(lambda: tile((8, 6)).reshape((16, 3)))


@pytest.mark.parametrize("shape", [(8, 7), (8, -1, -1), (8, -6), (), (8, 0, -1), (8, -1), (8, 2, -1)])
def test_refuses_a_reshape_to_another_number_of_elements(trn2, refuses, shape):
    trn2.attempt(lambda: tile((8, 6)).reshape((8, 2, 3)))
    with refuses(ShapeError, "NKI102", "48 elements"):
        trn2.attempt(lambda: tile((8, 6)).reshape(shape))


def test_refuses_a_reshape_that_would_copy(trn2, refuses):
    trn2.attempt(lambda: tile((8, 4, 6))[:, 1:3].reshape((8, 12)))
    with refuses(ViewError, "NKI201", "shape (8, 4, 3) with strides (24, 6, 1)"):
        trn2.attempt(lambda: tile((8, 4, 6))[:, :, :3].reshape((8, 12)))
    with refuses(ViewError, "NKI201", "strides (24, 1, 6)"):
        trn2.attempt(lambda: tile((8, 4, 6)).permute((0, 2, 1)).flatten_dims(1, 2))


def test_refuses_to_flatten_backwards_or_the_partition_dimension(trn2, refuses):
    trn2.attempt(lambda: tile((8, 4, 6)).flatten_dims(-2, -1))
    with refuses(ViewError, "NKI201", "2 to 1"):
        trn2.attempt(lambda: tile((8, 4, 6)).flatten_dims(2, 1))
    with refuses(ViewError, "NKI201", "dim 0"):
        trn2.attempt(lambda: tile((8, 4, 6)).flatten_dims(0, 1))


def test_reshape_dim_infers_one_size(trn2, refuses):
    trn2.attempt(lambda: _check_shape(tile((8, 24)).reshape_dim(1, (4, -1)), (8, 4, 6)))
    trn2.attempt(lambda: _check_shape(tile((8, 24)).reshape_dim(0, (8,)), (8, 24)))
    with refuses(ShapeError, "NKI102", "24 elements to shape (5, -1)"):
        trn2.attempt(lambda: tile((8, 24)).reshape_dim(1, (5, -1)))
    with refuses(ViewError, "NKI201", "dim 0"):
        trn2.attempt(lambda: tile((8, 24)).reshape_dim(0, (2, 4)))


def _check_shape(tensor, shape):
    assert tensor.shape == shape


def test_broadcast_reads_an_element_many_times(trn2):
    def kernel(array):
        wide = nl.load(array).expand_dim(2).broadcast(2, 4)
        dst = nl.ndarray((5, 3, 4), nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst, wide)
        return store(dst)

    data = random_values((5, 3))
    np.testing.assert_array_equal(trn2.outputs(kernel, data), np.repeat(data[:, :, None], 4, axis=2))


def test_refuses_to_broadcast_a_size_other_than_one_or_the_partitions(trn2, refuses):
    trn2.attempt(lambda: tile((1, 1, 6)).broadcast(1, 4))
    with refuses(ShapeError, "NKI102", "dim 2 of (1, 1, 6)"):
        trn2.attempt(lambda: tile((1, 1, 6)).broadcast(2, 4))
    with refuses(ViewError, "NKI201", "dim 0"):
        trn2.attempt(lambda: tile((1, 1, 6)).broadcast(0, 4))
    trn2.attempt(lambda: hbm((1, 6)).broadcast(0, 4))


def test_refuses_to_squeeze_or_expand_the_partition_dimension(trn2, refuses):
    trn2.attempt(lambda: _check_shape(tile((1, 1, 6)).squeeze_dim(1).expand_dim(2), (1, 6, 1)))
    with refuses(ViewError, "NKI201", "dim 0"):
        trn2.attempt(lambda: tile((1, 1, 6)).squeeze_dim(0))
    with refuses(ViewError, "NKI201", "dim 0"):
        trn2.attempt(lambda: tile((1, 1, 6)).expand_dim(0))
    with refuses(ShapeError, "NKI102", "dim 2"):
        trn2.attempt(lambda: tile((1, 1, 6)).squeeze_dim(2))
    trn2.attempt(lambda: _check_shape(hbm((1, 6)).squeeze_dim(0).expand_dim(0), (1, 6)))


def test_on_chip_views_keep_two_dimensions(trn2, refuses):
    trn2.attempt(lambda: _check_shape(tile((8, 3)).select(1, 2), (8, 1)))
    trn2.attempt(lambda: _check_shape(tile((8, 3, 2)).select(1, 2), (8, 2)))
    trn2.attempt(lambda: _check_shape(tile((8, 3)).select(0, 0), (1, 3)))
    with refuses(ViewError, "NKI201", "(8,) from (8, 1)"):
        trn2.attempt(lambda: tile((8, 1)).squeeze_dim(1))
    with refuses(ViewError, "NKI201", "(8,) from (8, 1)"):
        trn2.attempt(lambda: tile((8, 1)).reshape((8,)))
    with refuses(ViewError, "NKI201", "(8,)"):
        trn2.attempt(lambda: tile((8, 1)).ap([[1, 8]]))
    trn2.attempt(lambda: _check_shape(hbm((8,)).select(0, 2), (1,)))


@pytest.mark.parametrize("arguments", [(1, 0, 7), (1, 3, 3), (1, -2, 3), (1, 0, 6, 0)])
def test_refuses_a_slice_outside_the_dimension(trn2, refuses, arguments):
    trn2.attempt(lambda: tile((8, 6)).slice(1, 0, 6, 5))
    with refuses(OutOfBounds, "NKI204", f"slice({', '.join(map(str, arguments))}"):
        trn2.attempt(lambda: tile((8, 6)).slice(*arguments))


def test_refuses_a_dimension_the_tensor_does_not_have(trn2, refuses):
    with refuses(ViewError, "NKI201", "dim 2 of shape (8, 6)"):
        trn2.attempt(lambda: tile((8, 6)).slice(2, 0, 1))
    with refuses(OutOfBounds, "NKI204", "slice(1, 6, 7, 1)"):
        trn2.attempt(lambda: tile((8, 6)).select(1, 6))


@pytest.mark.parametrize(
    ("old", "new", "shape"),
    [
        ("float32", "uint8", (6, 32)),
        ("float32", "int32", (6, 8)),
        ("uint8", "float32", (6, 2)),
        ("int32", "bfloat16", (6, 16)),
    ],
)
def test_view_reinterprets_the_bits(trn2, old, new, shape):
    data = random_values((6, 8), np.dtype(old))

    def kernel(array):
        seen = nl.load(array).view(new)
        assert (seen.shape, seen.dtype) == (shape, new)
        np.testing.assert_array_equal(read(resolve(seen)).view(np.uint8), data.view(np.uint8))
        return store(seen)

    assert trn2.outputs(kernel, data).tobytes() == data.tobytes()


def test_view_of_a_slice_keeps_its_place(trn2):
    data = random_values((6, 16), np.uint8)

    def kernel(array):
        t = nl.load(array)
        np.testing.assert_array_equal(
            read(resolve(t[:, 4:12].view(nl.uint32))), np.ascontiguousarray(data[:, 4:12]).view(np.uint32)
        )

    trn2.run(kernel, data)


@pytest.mark.parametrize(
    "cut",
    [
        lambda t: t[:, 0:6],
        lambda t: t[:, 1:5],
        lambda t: t[:, ::2],
        lambda t: t.reshape((6, 4, 4)).permute((0, 2, 1)),
    ],
)
def test_refuses_to_reinterpret_what_is_not_contiguous_or_aligned(trn2, refuses, cut):
    trn2.attempt(lambda: tile((6, 16), "uint8")[:, 4:8].view(nl.float32))
    with refuses(ViewError, "NKI201", "as float32"):
        trn2.attempt(lambda: cut(tile((6, 16), "uint8")).view(nl.float32))
