"""What NKI 0.1 forbids is found, and what it allows is not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkisim.legacy.nki as nki
import nkisim.legacy.nki.isa as nisa
import nkisim.legacy.nki.language as nl
from nkisim.errors import (
    ArgumentError,
    NotSimulated,
    OutOfBounds,
    PartitionError,
    ShapeError,
    SimulationError,
    UninitializedRead,
)

X = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)


def run(body: Callable[[Any, Any], None], x: Any = X) -> Any:
    """`body(x, out)` in a kernel."""

    @nki.jit
    def kernel(x: Any) -> Any:
        out = nl.zeros(x.shape, dtype=nl.float32, buffer=nl.shared_hbm)
        body(x, out)
        return out

    return kernel(x)


def masked_copy(x: Any, out: Any, limit: int) -> None:
    i_p, i_f = nl.arange(128)[:, None], nl.arange(64)[None, :]
    nl.store(out[i_p, i_f], nl.load(x[i_p + 8, i_f], mask=i_p < limit), mask=i_p < limit)


def test_an_index_tensor_may_leave_the_tensor_where_it_is_masked() -> None:
    assert np.array_equal(run(lambda x, out: masked_copy(x, out, 120))[:120], X[8:])


def test_an_index_tensor_that_leaves_the_tensor_unmasked_is_found() -> None:
    with pytest.raises(OutOfBounds, match="wherever no mask excludes them"):
        run(lambda x, out: masked_copy(x, out, 121))


def test_a_slice_that_leaves_the_tensor_is_found() -> None:
    with pytest.raises(OutOfBounds):
        run(lambda x, out: nl.load(x[:, 32:96]))


@pytest.mark.parametrize("rows", [128, 129])
def test_a_tile_has_at_most_128_partitions(rows: int) -> None:
    def body(x: Any, out: Any) -> None:
        nl.ndarray((2, nl.par_dim(rows), 8), dtype=nl.float32, buffer=nl.sbuf)

    if rows == 128:
        run(body)
    else:
        with pytest.raises(PartitionError, match="at most 128"):
            run(body)


@pytest.mark.parametrize("columns", [512, 513])
def test_a_product_has_at_most_512_columns(columns: int) -> None:
    def body(x: Any, out: Any) -> None:
        left = nl.zeros((nl.par_dim(128), 64), dtype=nl.float32)
        nl.matmul(left, nl.zeros((nl.par_dim(128), columns), dtype=nl.float32), transpose_x=True)

    if columns == 512:
        run(body)
    else:
        with pytest.raises(ShapeError, match="512"):
            run(body)


def test_reading_what_was_never_written_is_found() -> None:
    def body(x: Any, out: Any) -> None:
        nl.store(out, nl.copy(nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)))

    with pytest.raises(UninitializedRead):
        run(body)


def test_what_a_mask_excludes_is_not_a_number() -> None:
    def body(x: Any, out: Any) -> None:
        nl.store(out, nl.square(nl.load(x), mask=nl.arange(128)[:, None] < 64))

    result = run(body)
    assert np.array_equal(result[:64], X[:64] ** 2)
    assert np.isnan(result[64:]).all()


def test_a_mask_that_is_no_box_touches_its_elements_alone() -> None:
    lower = np.tril(np.ones((128, 64), bool))

    def body(x: Any, out: Any) -> None:
        tile = nl.full((128, 64), 3, dtype=nl.float32, buffer=nl.sbuf)
        i_p, i_f = nl.arange(128)[:, None], nl.arange(64)[None, :]
        nl.store(out, tile)
        nl.store(out[i_p, i_f], nl.load(x), mask=i_p >= i_f)

    assert np.array_equal(run(body), np.where(lower, X, 3))


def test_a_mask_of_another_shape_is_found() -> None:
    with pytest.raises(ArgumentError, match="shape of what it masks"):
        run(lambda x, out: nl.load(x, mask=nl.arange(100)[:, None] < 3))


def test_a_tile_that_was_assigned_keeps_its_own_values() -> None:
    def body(x: Any, out: Any) -> None:
        source = nl.copy(nl.load(x))
        copy = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
        copy[...] = source
        source[...] = 0.0
        source += 1.0
        nl.store(out, copy - source)

    assert np.array_equal(run(body), X - 1)


def test_a_product_that_was_added_keeps_its_own_values() -> None:
    def body(x: Any, out: Any) -> None:
        ones = nl.ones((nl.par_dim(64), 128), dtype=nl.float32)
        total = nl.zeros((nl.par_dim(128), 64), dtype=nl.float32, buffer=nl.psum)
        first = nl.matmul(ones, nl.ones((nl.par_dim(64), 64), dtype=nl.float32), transpose_x=True)
        total += first
        total += nl.matmul(ones, nl.ones((nl.par_dim(64), 64), dtype=nl.float32), transpose_x=True)
        nl.store(out, nl.copy(total) + nl.copy(first))

    assert (run(body) == 192).all()


@pytest.mark.parametrize(
    ("left", "right", "result"),
    [
        (np.float16, np.float32, "float32"),
        (np.float16, np.int32, "float16"),
        (np.int8, np.uint8, "int16"),
        (np.uint8, np.uint16, "uint16"),
        (np.int32, np.uint32, "float32"),
    ],
)
def test_results_have_the_promoted_type(left: Any, right: Any, result: str) -> None:
    def body(x: Any, out: Any) -> None:
        a, b = nl.zeros((128, 4), dtype=left), nl.zeros((128, 4), dtype=right)
        assert nl.add(a, b).dtype == nisa.tensor_tensor(a, b, np.add).dtype == result

    run(body)


def test_a_column_serves_all_free_dimensions() -> None:
    def body(x: Any, out: Any) -> None:
        cube = nl.load(x).reshape((128, 4, 16))
        nl.store(out, (cube + nl.load(x)[:, 0:1]).reshape((128, 64)))

    assert np.array_equal(run(body), X + X[:, :1])


def test_tiles_that_do_not_fit_each_other_are_found() -> None:
    with pytest.raises(ShapeError, match="equal or 1"):
        run(lambda x, out: nl.add(nl.load(x), nl.load(x)[:, 0:3]))


def test_a_name_serves_every_pass_of_a_loop_and_every_program() -> None:
    @nki.jit
    def kernel(x: nki.tensor) -> nki.tensor:
        out = nl.ndarray(x.shape, dtype=nl.float32, buffer=nl.shared_hbm, name="out")
        for _ in nl.affine_range(2):
            tile = nl.ndarray((nl.par_dim(128), 64), dtype=nl.float32, buffer=nl.sbuf, name="tile")
            tile[...] = nl.load(x)
            nl.store(out, tile)
        return out

    assert np.array_equal(kernel[2](X), X)


def test_a_benchmark_of_what_has_no_time_refuses_percentiles() -> None:
    @nki.benchmark
    def kernel(x: Any) -> Any:
        out = nl.zeros(x.shape, dtype=nl.float32, buffer=nl.shared_hbm)
        i_p, i_f = nl.arange(128)[:, None], nl.arange(64)[None, :]
        nl.store(out[i_p, i_f], nl.load(x), mask=i_p >= i_f)
        return out

    with pytest.warns(UserWarning, match="predicted"):
        kernel(X)
    assert kernel.benchmark_result.nc_latency.predicted_us > 0
    with pytest.raises(NotSimulated, match="has a time"):
        kernel.benchmark_result.nc_latency.get_latency_percentile(50)


def test_an_unknown_mode_is_found() -> None:
    with pytest.raises(ArgumentError, match="mode is one of"):
        nki.jit(mode="fast")


def test_an_instruction_outside_of_kernels_is_found() -> None:
    with pytest.raises(SimulationError, match="inside a kernel"):
        nl.ndarray((128, 4), dtype=nl.float32, buffer=nl.shared_hbm)
