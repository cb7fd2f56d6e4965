"""Looking into a running kernel: taps, device_print, print, breakpoint."""

import sys

import ml_dtypes
import numpy as np
import pytest
from support.device import psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import Simulator
from nkisim.errors import ArgumentError, BufferRuleError


def doubles_by_rows(x):
    """Each block of two rows goes through one tile, which two instructions fill."""
    result = nl.ndarray(x.shape, nl.float32, buffer=nl.shared_hbm, name="result")
    rows, twice = nl.ndarray((2, x.shape[1]), nl.float32, name="rows"), nl.ndarray((2, x.shape[1]), nl.float32)
    half = x.shape[1] // 2
    for block in range(x.shape[0] // 2):
        start = 2 * block
        nisa.dma_copy(rows[:, :half], x[start : start + 2, :half])
        nisa.dma_copy(rows[:, half:], x[start : start + 2, half:])
        nisa.tensor_scalar(twice, rows, nl.multiply, 2.0)
        nisa.dma_copy(result[start : start + 2, :], twice)
    return result


X = random_values((6, 8))


def test_a_tap_takes_a_tensor_complete_whenever_it_is_used():
    run = Simulator("trn2", tap=["rows"]).run(doubles_by_rows, X)
    assert list(run.taps) == ["rows"]
    assert len(run.taps["rows"]) == 3
    for block, snapshot in enumerate(run.taps["rows"]):
        np.testing.assert_array_equal(snapshot.values, X[2 * block : 2 * block + 2])
        assert snapshot.core == 0
        assert "test_taps.py" in str(snapshot.where)


def test_a_tap_takes_what_nobody_read_when_the_launch_ends():
    run = Simulator("trn2", tap=["res*"]).run(doubles_by_rows, X)
    (snapshot,) = run.taps["result"]
    np.testing.assert_array_equal(snapshot.values, 2 * X)


def test_a_run_without_taps_has_none():
    assert Simulator("trn2").run(doubles_by_rows, X).taps == {}


def test_a_tap_may_be_a_function_of_the_values():
    run = Simulator("trn2", tap={"rows": np.max, "result": np.shape}).run(doubles_by_rows, X)
    assert [s.values for s in run.taps["rows"]] == [X[i : i + 2].max() for i in (0, 2, 4)]
    assert [s.values for s in run.taps["result"]] == [X.shape]


def test_a_sum_in_progress_is_not_taken_by_its_own_accumulation():
    def kernel(x):
        total, loaded = nl.ndarray((8, 8), nl.float32, buffer=nl.psum, name="total"), nl.load(x)
        for i in range(3):
            nisa.nc_matmul(total, loaded, loaded, accumulate=i > 0)
        return store(nl.copy(total))

    run = Simulator("trn2", tap=["total"]).run(kernel, X)
    (snapshot,) = run.taps["total"]
    np.testing.assert_allclose(snapshot.values, 3 * X.T @ X, rtol=1e-5, atol=1e-5)


def test_arguments_are_tapped_by_name_once_the_kernel_wrote_them():
    def kernel(x, state):
        nisa.dma_copy(state, nl.load(x))
        return x

    run = Simulator("trn2", tap=["x", "state"]).run(kernel, X, np.zeros_like(X))
    assert list(run.taps) == ["state"]
    np.testing.assert_array_equal(run.taps["state"][0].values, X)


def test_both_cores_are_told_apart():
    def kernel(x):
        mine = nl.ndarray((6, 8), nl.float32, name="mine")
        nisa.dma_copy(mine, x)
        nisa.tensor_scalar(mine, mine, nl.add, float(nl.program_id(0)))
        nisa.tensor_copy(tile((6, 8)), mine)
        return x

    run = Simulator("trn2", 2, tap=["mine"]).run(kernel, X)
    assert [s.core for s in run.taps["mine"]] == [0, 1]
    for snapshot in run.taps["mine"]:
        np.testing.assert_array_equal(snapshot.values, X + snapshot.core)


def test_taps_go_to_a_folder(tmp_path):
    def kernel(x):
        low = nl.ndarray((6, 8), nl.bfloat16, name="low")
        nisa.dma_copy(low, x)
        return store(low)

    Simulator("trn2", tap=["rows"]).run(doubles_by_rows, X).save_taps(tmp_path)
    Simulator("trn2", tap=["low"]).run(kernel, X).save_taps(str(tmp_path))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.npy")) == [
        "low/core_0/0000.npy", "rows/core_0/0000.npy", "rows/core_0/0001.npy", "rows/core_0/0002.npy",
    ]  # fmt: skip
    np.testing.assert_array_equal(np.load(tmp_path / "rows/core_0/0001.npy"), X[2:4])
    rounded = X.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(np.load(tmp_path / "low/core_0/0000.npy"), rounded)


@pytest.mark.parametrize("tap", ["rows", [1]])
def test_refuses_a_tap_that_is_no_list_of_names(refuses, tap):
    with refuses(ArgumentError, "NKI101", repr(tap)):
        Simulator("trn2", tap=tap)


def test_device_print_shows_the_values_and_the_core(trn2, capsys):
    def kernel(x):
        nl.device_print("my tile", nl.load(x))
        return x

    trn2.run(kernel, np.array([[1.5, -2.0]], np.float32), cores=2)
    assert capsys.readouterr().out == "my tile (core 0)\n[[ 1.5 -2. ]]\nmy tile (core 1)\n[[ 1.5 -2. ]]\n"


def test_device_print_fills_the_folders_of_the_runtime(trn2, tmp_path, monkeypatch):
    monkeypatch.setenv("NEURON_RT_DEBUG_OUTPUT_DIR", str(tmp_path))

    def kernel(x):
        for i in range(2):
            nl.device_print("tile", nl.load(x[i : i + 1, :]))
        return x

    trn2.run(kernel, X)
    for i in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"tile/core_0/{i}/tensor.npy"), X[i : i + 1])


def test_device_print_refuses_psum_and_a_prefix_that_is_no_string(trn2, refuses):
    trn2.attempt(lambda: nl.device_print("sbuf", tile((2, 2))))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: nl.device_print("psum", psum((2, 2))))
    with refuses(ArgumentError, "NKI101", "3"):
        trn2.attempt(lambda: nl.device_print(3, tile((2, 2))))


def test_print_shows_tensors_and_registers_with_their_values(trn2, capsys):
    def kernel(x):
        loaded = nl.load(x)
        print(loaded)
        print(nisa.register_alloc(7))
        print(nl.ndarray((1, 2), nl.float32, name="fresh"))
        return x

    trn2.run(kernel, np.array([[1.5, -2.0]], np.float32))
    shown = capsys.readouterr().out
    assert "shape=(1, 2), dtype=float32, buffer=sbuf" in shown
    assert "[[ 1.5 -2. ]]" in shown
    assert "VirtualRegister(7)" in shown
    assert "name='fresh')\n[[nan nan]]" in shown


def test_the_repr_of_a_tile_has_its_first_values(trn2):
    shown = []

    def kernel(x):
        loaded, fresh = nl.load(x), nl.ndarray((2, 3), nl.bfloat16, name="fresh")
        shown.extend(map(repr, (loaded, loaded[1:, :2], fresh)))
        nisa.memset(fresh[:1], 2.0)
        shown.append(repr(fresh))
        return x

    trn2.run(kernel, np.array([[1.5, -2, 0], [3, 4, 5]], np.float32))
    whole, part, fresh, half = shown
    assert whole == "NkiTensor(shape=(2, 3), dtype=float32, buffer=sbuf, name='', values=[1.5, -2.0, 0.0, 3.0, ...])"
    assert part.endswith("values=[3.0, 4.0])")
    assert fresh == "NkiTensor(shape=(2, 3), dtype=bfloat16, buffer=sbuf, name='fresh', values unwritten)"
    assert half.endswith("values=[2, 2, 2, nan, ...], unwritten at [1, 0])")


def test_without_numerics_the_repr_says_that_nothing_was_computed():
    shown = []

    def kernel(x):
        shown.append(repr(nl.load(x)))
        return x

    Simulator("trn2", numerics=False).run(kernel, np.ones((1, 2), np.float32))
    assert shown[0].endswith("buffer=sbuf, name='', values not computed)")


def test_a_snapshot_says_which_instruction_wrote_it_in_which_call():
    def kernel(x):
        result = nl.ndarray((6, 8), nl.float32, buffer=nl.shared_hbm)
        for block in range(3):
            nisa.dma_copy(result[2 * block : 2 * block + 2, :], doubled(x[2 * block : 2 * block + 2, :], block))
        return result

    def doubled(part, block):
        rows = nl.ndarray((2, 8), nl.float32, name=f"rows_{block}")
        nisa.dma_copy(rows, part)
        return rows

    taps = Simulator("trn2", tap=["rows_*"]).run(kernel, X).taps
    assert [taken[0].written.calls for taken in taps.values()] == [(0, 0), (0, 1), (0, 2)]
    assert {taken[0].written.location.line for taken in taps.values()} == {doubled.__code__.co_firstlineno + 2}


def test_breakpoint_stops_in_the_kernel_with_its_tensors_at_hand(trn2, monkeypatch):
    stops = []

    def hook():
        frame = sys._getframe(1)
        stops.append((frame.f_code.co_name, str(frame.f_locals["loaded"])))

    monkeypatch.setattr(sys, "breakpointhook", hook)

    def kernel(x):
        loaded = nl.load(x)
        breakpoint()
        return store(loaded)

    trn2.run(kernel, np.array([[1.5, -2.0]], np.float32))
    ((where, shown),) = stops
    assert where == "kernel"
    assert "[[ 1.5 -2. ]]" in shown


def test_without_numerics_there_is_nothing_to_tap_and_nothing_to_show(refuses, capsys):
    def kernel(x):
        loaded = nl.load(x)
        nl.device_print("loaded", loaded)
        print(x)
        return x

    Simulator("trn2", numerics=False).run(kernel, np.ones((1, 2), np.float32))
    assert capsys.readouterr().out.count("[[nan nan]]") == 2
    with refuses(ArgumentError, "NKI101", "numerics=False"):
        Simulator("trn2", tap=["loaded"], numerics=False)
