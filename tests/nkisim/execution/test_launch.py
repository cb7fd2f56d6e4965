"""Launching: grids, cores, the environment, what comes back, and what is left behind."""

import threading

import numpy as np
import pytest
from support.device import random_values, store, tile

import nkisim
import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, LaunchError, UninitializedRead


@nki.jit
def who():
    """One row a core: its id, how many there are, and the grid's dimensions."""
    out = nl.ndarray((2, 3), nl.int32, buffer=nl.shared_hbm)
    row = tile((1, 3), "int32")
    for column, value in enumerate((nl.program_id(0), nl.num_programs(0), nl.program_ndim())):
        nisa.memset(row[:, column : column + 1], value)
    nisa.dma_copy(out[nl.ds(nl.program_id(), 1), :], row)
    if nl.num_programs() == 1:
        nisa.dma_copy(out[1:2, :], row)
    return out


def test_a_plain_call_runs_one_core_without_a_grid():
    np.testing.assert_array_equal(who(), [[0, 1, 0]] * 2)


def test_a_grid_of_one_is_one_core_with_a_dimension():
    np.testing.assert_array_equal(who[1](), [[0, 1, 1]] * 2)


@pytest.mark.parametrize("grid", [2, (2,)])
def test_a_grid_of_two_runs_both_cores_of_a_pair(grid):
    np.testing.assert_array_equal(who[grid](), [[0, 2, 1], [1, 2, 1]])
    np.testing.assert_array_equal(nki.simulate(who[grid])(), [[0, 2, 1], [1, 2, 1]])


def test_choosing_a_grid_does_not_change_the_kernel():
    assert who[2].grid == (2,)
    assert who.grid == ()
    assert who[2].__name__ == who.__name__ == "who"
    assert who.__doc__.startswith("One row")


@pytest.mark.parametrize("grid", [3, 0, (2, 1), (1, 1)])
def test_refuses_a_grid_no_logical_core_has(refuses, grid):
    with refuses(LaunchError, "NKI303", str(grid).strip("()")):
        who[grid]()


@pytest.mark.parametrize("grid", [2.0, "2", True, None])
def test_refuses_a_grid_that_is_not_a_number(refuses, grid):
    with refuses(LaunchError, "NKI303", repr(grid)):
        who[grid]


def test_a_grid_may_be_a_numpy_integer():
    assert who[np.int64(2)].grid == (2,)


def test_the_environment_chooses_the_cores(monkeypatch):
    monkeypatch.setenv("NEURON_LOGICAL_NC_CONFIG", "2")
    np.testing.assert_array_equal(who(), [[0, 2, 1], [1, 2, 1]])
    np.testing.assert_array_equal(who[2](), [[0, 2, 1], [1, 2, 1]])


def test_refuses_a_grid_the_environment_contradicts(monkeypatch, refuses):
    monkeypatch.setenv("NEURON_LOGICAL_NC_CONFIG", "1")
    with refuses(LaunchError, "NKI303", "kernel[2] with NEURON_LOGICAL_NC_CONFIG=1"):
        who[2]()
    monkeypatch.setenv("NEURON_LOGICAL_NC_CONFIG", "two")
    with refuses(LaunchError, "NKI303", "'two'"):
        who()


def test_refuses_an_axis_the_grid_does_not_have(trn2, refuses):
    for question in (nl.program_id, nl.num_programs):
        trn2.attempt(lambda question=question: question(0), cores=2)
        with refuses(ArgumentError, "NKI101", "axis 1"):
            trn2.attempt(lambda question=question: question(1), cores=2)
    trn2.attempt(lambda: nl.num_programs(None))


def test_a_kernel_called_in_a_kernel_is_inlined(trn2, refuses):
    @nki.jit
    def twice(x):
        dst = tile(x.shape)
        nisa.tensor_scalar(dst, x, nl.multiply, 2.0)
        return dst

    def outer(array, grid):
        inner = twice if grid is None else twice[grid]
        return store(inner(nl.load(array)))

    data = random_values((5, 7))
    np.testing.assert_array_equal(trn2.outputs(outer, data, None), data * 2)
    with refuses(LaunchError, "NKI303", "[2]"):
        trn2.run(outer, data, 2)


def test_refuses_an_instruction_outside_a_kernel(refuses):
    assert not nkisim.is_running()
    with refuses(LaunchError, "NKI303", "outside any launch"):
        nl.ndarray((4, 4), nl.float32)


def test_refuses_to_simulate_what_cannot_be_called(refuses):
    with refuses(ArgumentError, "NKI101", "42"):
        nki.simulate(42)


def test_refuses_to_return_an_on_chip_tensor(refuses):
    assert not nki.simulate(lambda: store(tile((4, 4))))().any()
    with refuses(LaunchError, "NKI303", "buffer=sbuf"):
        nki.simulate(lambda: tile((4, 4)))()


def test_what_a_kernel_returns_is_refused_at_the_line_where_the_kernel_begins():
    def kernel():
        return tile((4, 4))

    with pytest.raises(LaunchError) as caught:
        nki.simulate(kernel)()
    assert caught.value.where == (__file__, kernel.__code__.co_firstlineno)


def test_refuses_to_return_elements_that_were_never_written(trn2, refuses):
    def kernel(rows):
        out = nl.ndarray((4, 4), nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(out[0:rows], tile((rows, 4)))
        return out

    assert not trn2.outputs(kernel, 4).any()
    with refuses(UninitializedRead, "NKI401", "element (3, 0) of shape (4, 4)", "shared_hbm"):
        trn2.run(kernel, 3)


def test_a_kernel_may_return_any_structure_of_tensors(trn2):
    def kernel(array):
        tensor = store(nl.load(array))
        return {"a": tensor, "b": [tensor, 7]}, (array, "text"), None

    data = random_values((3, 4))
    first, second, third = trn2.outputs(kernel, data)
    for got in (first["a"], first["b"][0], second[0]):
        np.testing.assert_array_equal(got, data)
    assert (first["b"][1], second[1], third) == (7, "text", None)


def test_the_same_launch_gives_the_same_bits_every_time(trn2):
    def kernel(array):
        out = nl.ndarray((2, 128, 64), nl.float32, buffer=nl.shared_hbm)
        me, other = nl.program_id(), 1 - nl.program_id()
        total = nl.load(array[me])
        for _ in range(3):
            nisa.dma_copy(out[me], total)
            nisa.core_barrier(out, (0, 1))
            nisa.tensor_tensor(total, total, nl.load(out[other]), nl.add)
            nisa.core_barrier(out, (0, 1))
        return out

    data = random_values((2, 128, 64))
    results = {trn2.outputs(kernel, data, cores=2).tobytes() for _ in range(5)}
    assert len(results) == 1


def test_a_kernel_may_name_a_check_of_its_inputs(trn2):
    def kernel(x, limit=3):
        return x

    seen = []

    def check_inputs(x, limit):
        seen.append((type(x), limit))
        if x.max() > limit:
            raise ValueError(f"{x.max()} is above {limit}")

    kernel.check_inputs = check_inputs
    trn2.run(kernel, np.ones(4, np.float32))
    assert seen == [(np.ndarray, 3)]
    with pytest.raises(ValueError, match=r"4\.0 is above 3"):
        trn2.run(kernel, np.full(4, 4, np.float32))


def test_problems_become_warnings_on_request(monkeypatch):
    monkeypatch.setenv("NKISIM_FINDINGS", "report")

    @nki.jit
    def kernel():
        return nl.ndarray((4, 4), nl.float32, buffer=nl.shared_hbm)

    with pytest.warns(RuntimeWarning, match="NKI401"):
        assert np.isnan(kernel()).all()
    monkeypatch.delenv("NKISIM_FINDINGS")
    with pytest.raises(UninitializedRead):
        kernel()


def test_the_target_comes_from_the_environment(monkeypatch):
    @nki.jit
    def version():
        return nisa.get_nc_version(), nisa.get_nc_sub_version()

    assert version() == (nisa.nc_version.gen4, 0)
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "gen3")
    assert version() == (nisa.nc_version.gen3, 0)
    assert nisa.get_nc_version() is nisa.nc_version.gen3
    assert nisa.nc_version.gen2 < nisa.nc_version.gen3 <= nisa.nc_version.gen4
    assert nisa.nc_version.gen4 > nisa.nc_version.gen3 >= nisa.nc_version.gen3


def test_a_finished_launch_leaves_no_thread_and_no_running_kernel(trn2):
    before = threading.active_count()
    trn2.attempt(lambda: None, cores=2)
    assert threading.active_count() == before
    assert not nkisim.is_running()
